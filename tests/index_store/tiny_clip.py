"""Make tiny CLIP and SigLIP models on the spot, in the file formats of the real ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

SIDE = 32
CLIP_DIMENSION = 12
SIGLIP_DIMENSION = 16


def make_clip(folder: Path, seed: int = 0) -> Path:
    """Write a plain CLIP of transformers: byte tokenizer without merges, 32 x 32 pixels, 12 dimensions."""
    _prepare()
    import torch
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    folder.mkdir(parents=True)
    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: place for place, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer.from_pretrained(folder, model_max_length=16)
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {"vocab_size": 514, "max_position_embeddings": 16, "bos_token_id": 512, "eos_token_id": 513}
    config = CLIPConfig(
        text_config={**size, **text, "pad_token_id": 513, "projection_dim": CLIP_DIMENSION},
        vision_config={**size, "image_size": SIDE, "patch_size": 16, "projection_dim": CLIP_DIMENSION},
        projection_dim=CLIP_DIMENSION,
    )
    torch.manual_seed(seed)
    CLIPModel(config).save_pretrained(folder)
    pictures = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    CLIPProcessor(pictures, tokenizer).save_pretrained(folder)
    return folder


def make_siglip(folder: Path) -> Path:
    """Write a plain SigLIP of transformers: six words, 32 x 32 pixels, 16 dimensions, texts of 8 places."""
    _prepare()
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, SiglipConfig, SiglipImageProcessor, SiglipModel, SiglipProcessor

    words = ["<pad>", "</s>", "<unk>", "a", "red", "blue", "dog"]
    splitter = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>"))
    splitter.pre_tokenizer = pre_tokenizers.Whitespace()
    splitter.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=splitter,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=8,
        model_input_names=["input_ids"],
    )
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {"vocab_size": 7, "max_position_embeddings": 8, "bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0}
    torch.manual_seed(0)
    config = SiglipConfig(
        text_config={**size, **text, "projection_size": 16},
        vision_config={**size, "image_size": SIDE, "patch_size": 16},
    )
    SiglipModel(config).save_pretrained(folder)
    SiglipProcessor(SiglipImageProcessor(size={"height": SIDE, "width": SIDE}), tokenizer).save_pretrained(folder)
    return folder


def as_sentence_folder(plain: Path, folder: Path) -> Path:
    """Write the model in `plain` as sentence-transformers saves it."""
    _prepare()
    from sentence_transformers import SentenceTransformer

    SentenceTransformer(str(plain), device="cpu", local_files_only=True).save(str(folder))
    return folder


def as_old_sentence_folder(plain: Path, folder: Path) -> Path:
    """Lay out the model in `plain` as the hub's clip-ViT-B-32 is: in a folder below, named by its old module."""
    shutil.copytree(plain, folder / "0_CLIPModel")
    module = {"idx": 0, "name": "0", "path": "0_CLIPModel", "type": "sentence_transformers.models.CLIPModel"}
    (folder / "modules.json").write_text(json.dumps([module]))
    return folder


def put_into_cache(model: Path, cache: Path, repository: str) -> Path:
    """Lay out a model as the hub's libraries keep it in their cache."""
    kept = cache / f"models--{repository.replace('/', '--')}"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text("0123abcd")
    return Path(shutil.copytree(model, kept / "snapshots" / "0123abcd"))


@pytest.fixture(scope="session")
def plain_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain CLIP of transformers."""
    return make_clip(tmp_path_factory.mktemp("models") / "plain-clip")


@pytest.fixture(scope="session")
def sentence_clip(plain_clip: Path) -> Path:
    """The same model in a folder of sentence-transformers."""
    return as_sentence_folder(plain_clip, plain_clip.parent / "tiny-clip")


@pytest.fixture(scope="session")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain SigLIP of transformers."""
    return make_siglip(tmp_path_factory.mktemp("models") / "tiny-siglip")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty local cache of the hub."""
    for variable in ("SENTENCE_TRANSFORMERS_HOME", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def _prepare() -> None:
    pytest.importorskip("torch", reason="a model of transformers needs torch")
    from index_store.encoders.torchvision_shim import declare_missing_operators

    declare_missing_operators()

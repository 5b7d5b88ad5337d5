"""Make CLIP and SigLIP models of the published sizes with random weights, and photos and texts of every kind.

The published weights cannot be had everywhere; what surrounds them can be tried all the same. The vocabularies have the
published sizes, not the published words.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import string
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tests.demo_photos import main as copy_demo_photos
from tests.index_store.tiny_clip import _prepare
from tests.pictures import ORIENTED

CLIP_WORDS, SIGLIP_WORDS = 49_408, 32_000
MODES = ("RGB", "L", "LA", "RGBA", "P", "1", "CMYK", "I;16", "progressive")
SHAPES = ((300, 200), (200, 300), (224, 224), (1000, 90), (223, 640), (31, 17), (800, 600), (640, 480))


def make_true_clip(folder: Path, patch: int) -> Path:
    """Write ViT-B/32 or ViT-B/16 as transformers does: 151 or 150 million weights, 224 x 224 pixels, 77 places."""
    _prepare()
    import torch
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    folder.mkdir(parents=True)
    letters = sorted(ByteLevel.alphabet())
    singles = [*letters, *(f"{letter}</w>" for letter in letters)]
    pairs = list(itertools.islice(itertools.product(letters, singles), CLIP_WORDS - len(singles) - 2))
    words = [*singles, *(a + b for a, b in pairs), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: place for place, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in pairs))
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(vision_config={"patch_size": patch})).save_pretrained(folder)  # the defaults are ViT-B/32's
    CLIPProcessor(CLIPImageProcessor(), CLIPTokenizer.from_pretrained(folder)).save_pretrained(folder)
    return folder


def make_true_siglip(folder: Path) -> Path:
    """Write SigLIP base as transformers does: 203 million weights, 224 x 224 pixels, 64 places."""
    _prepare()
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, SiglipConfig, SiglipImageProcessor, SiglipModel, SiglipProcessor

    letters = string.ascii_letters + string.digits + string.punctuation + "▁"
    words = ["".join(parts) for size in (1, 2, 3) for parts in itertools.product(letters, repeat=size)]
    ranked = [(word, -float(len(word))) for word in words[: SIGLIP_WORDS - 3]]
    splitter = Tokenizer(models.Unigram([("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *ranked], unk_id=2))
    splitter.pre_tokenizer = pre_tokenizers.Metaspace()
    splitter.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    marks = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=splitter, model_max_length=64, model_input_names=["input_ids"], **marks
    )
    torch.manual_seed(0)
    SiglipModel(SiglipConfig(text_config={"bos_token_id": 1, "pad_token_id": 0})).save_pretrained(folder)
    processor = SiglipImageProcessor(size={"height": 224, "width": 224})
    SiglipProcessor(processor, tokenizer).save_pretrained(folder)
    return folder


def as_linked_sentence_folder(plain: Path, folder: Path) -> Path:
    """Lay out the model in `plain` as sentence-transformers' hub does, its files linked and not copied."""
    (folder / "0_CLIPModel").mkdir(parents=True)
    for file in plain.iterdir():
        os.link(file, folder / "0_CLIPModel" / file.name)
    module = {"idx": 0, "name": "0", "path": "0_CLIPModel", "type": "sentence_transformers.models.CLIPModel"}
    (folder / "modules.json").write_text(json.dumps([module]))
    return folder


def photos_of_all_kinds(folder: Path, count: int) -> list[Path]:
    """Write photos of every mode, orientation and shape, cut out of the demo's photographs; return their paths."""
    copy_demo_photos(str(folder / "demo"))
    sources = [Image.open(path).convert("RGB") for path in sorted((folder / "demo").glob("*.[jp][pn]g"))]
    chance, paths = np.random.default_rng(0), list[Path]()
    for number in range(count):
        source, size = sources[number % len(sources)], SHAPES[(number + number // len(MODES)) % len(SHAPES)]
        width, height = (min(side, whole) for side, whole in zip(size, source.size, strict=True))
        left = int(chance.integers(0, source.width - width + 1))
        top = int(chance.integers(0, source.height - height + 1))
        cut = source.crop((left, top, left + width, top + height))
        paths.append(_written(cut, MODES[number % len(MODES)], 1 + number % len(ORIENTED), folder / f"{number:03d}"))
    return paths


def _written(picture: Image.Image, mode: str, orientation: int, stem: Path) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = io.BytesIO()
    if mode in {"RGB", "CMYK", "progressive"}:
        kept = picture.convert("CMYK") if mode == "CMYK" else picture
        kept.save(content, "JPEG", quality=90, exif=exif, progressive=mode == "progressive")
    elif mode == "I;16":
        Image.fromarray(np.asarray(picture.convert("L"), dtype=np.uint16) * 257).save(content, "PNG", exif=exif)
    elif mode in {"LA", "RGBA"}:
        kept = picture.convert(mode)
        kept.putalpha(Image.linear_gradient("L").resize(kept.size))
        kept.save(content, "WEBP" if mode == "RGBA" else "PNG", exif=exif, lossless=True)
    else:
        picture.convert(mode).save(content, "PNG", exif=exif)
    path = stem.with_suffix(".jpg" if content.getvalue()[:2] == b"\xff\xd8" else ".img")
    path.write_bytes(content.getvalue())
    return path


def texts_of_all_kinds(count: int) -> list[str]:
    """Return texts: none at all, short, long, with emoji, in other scripts, with marks of the tokenizer."""
    fixed = [
        "",
        " ",
        "a",
        "a dog on the beach",
        "A DOG, ON THE BEACH!",
        "word " * 200,
        "x" * 3000,
        "👩‍👩‍👧 🏖️ 🇩🇪",
        "собака на пляже",
        "海辺の犬",
        "كلب على الشاطئ",
        "कुत्ता समुद्र तट पर",
        "e\u0301 \u00e9 ﬁ ½ Ⅳ",
        "<|endoftext|> a dog <|startoftext|>",
        "line\nbreak\ttab\u00a0space\u200bzero",
        "</s> a dog <pad>",
    ]
    return [*fixed, *itertools.islice(_combined(), max(0, count - len(fixed)))][:count]


def _combined() -> Iterator[str]:
    things = ("dog", "red car", "old man", "two boats", "snowy mountain", "cup of coffee", "犬", "кот", "🏔️")
    places = ("on the beach", "at night", "in a crowded street", "under a tree", "", "— close-up, 35 mm f/1.8")
    for number, (thing, place) in enumerate(itertools.product(things, places * 5)):
        yield f"{'the ' * (number % 7)}{thing} {place} {number if number % 3 else ''}"

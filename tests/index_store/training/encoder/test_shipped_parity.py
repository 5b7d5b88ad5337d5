"""The shipped encoder against the float towers it was exported from: as recorded, and measured where they are here."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from index_store.encoders.registry import encoder_card
from index_store.training.data.captions import read_captions

CHECKPOINT = os.environ.get("IMGSEARCH_ENCODER_CHECKPOINT", "")
"""The `towers.pt` that `imgsearch train encoder` wrote beside the files that ship; 110 MB, so it is not in git."""


def shipped_facts() -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((encoder_card().folder / "card.json").read_text(encoding="utf-8"))
    return facts


def test_card_records_that_export_and_original_agree() -> None:
    agreement = shipped_facts()["parity_cosine"]
    assert agreement["text"]["least"] >= 0.99
    assert agreement["photo"]["least"] >= 0.98


@pytest.mark.slow
@pytest.mark.needs_data
@pytest.mark.skipif(not CHECKPOINT, reason="IMGSEARCH_ENCODER_CHECKPOINT does not name the towers.pt of the weights")
def test_shipped_files_agree_with_the_float_towers_on_200_photos_and_captions(data: Path) -> None:
    pytest.importorskip("torch")
    from index_store.training.encoder.bases import load_lite2, load_minilm
    from index_store.training.encoder.config import EncoderTraining, HeadShape
    from index_store.training.encoder.initialise import load_towers
    from index_store.training.encoder.photo_views import tokenize
    from index_store.training.encoder.train import build_towers
    from index_store.training.encoder.validation import parity

    recorded = shipped_facts()["training"]
    simple = {field.name for field in fields(EncoderTraining)} - {"head", "rates"}
    config = EncoderTraining(**{name: recorded[name] for name in simple}, head=HeadShape(**recorded["head"]))
    text_base = load_minilm()
    model = build_towers(load_lite2(), text_base, config)
    load_towers(model, Path(CHECKPOINT))
    photos = read_captions(data / "flickr8k_pretrain")[::30]
    captions = tokenize([photo.captions[0] for photo in photos], text_base.tokenizer, encoder_card().max_tokens)
    agreement = parity(model, photos, captions, encoder_card().photo_input.side, encoder_card().folder)
    assert len(photos) == 200
    assert agreement["text"]["least"] >= 0.99
    assert agreement["photo"]["least"] >= 0.98

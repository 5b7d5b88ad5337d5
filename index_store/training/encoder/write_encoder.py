"""Write a trained encoder: export the towers, measure the exported files, and replace what is there if it is better."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from index_store.encoders.cards import (
    CARD_FILE,
    PARAMETERS,
    PHOTO_FILE,
    TEXT_FILE,
    TOKENIZER_FILE,
    WEIGHT_FILES,
    write_card,
)
from index_store.errors import EncoderError
from index_store.training.encoder.bases import PhotoBase, TextBase
from index_store.training.encoder.best_epoch import Keeper, better_ones_at
from index_store.training.encoder.config import EncoderTraining
from index_store.training.encoder.datasets import CaptionSet, captions_of
from index_store.training.encoder.export import export_photo, export_text
from index_store.training.encoder.initialise import CHECKPOINT_FILE
from index_store.training.encoder.model import DualModel
from index_store.training.encoder.parameters import parameter_table
from index_store.training.encoder.photo_views import load_photos, tokenize
from index_store.training.encoder.validation import Gallery, Recall, exported_recalls, parity

_CALIBRATION_PHOTOS = 200
_PARITY_PAIRS = 200


@dataclass(frozen=True, slots=True)
class EncoderReport:
    """What training made: `curve` by epoch and `shipped` by the exported files, empty with nothing held out.

    `parity` has the least and the mean cosine of each exported tower to its float original.
    """

    name: str
    folder: Path
    photos: int
    captions: int
    seconds: float
    curve: tuple[Recall, ...]
    shipped: tuple[Recall, ...]
    parity: dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model, and what its card says of where it comes from."""

    model: DualModel
    photo_base: PhotoBase
    text_base: TextBase
    config: EncoderTraining
    family: str


def write_encoder(
    trained: Trained,
    sets: Sequence[CaptionSet],
    galleries: Sequence[Gallery],
    output: Path,
    keeper: Keeper,
    started: float,
) -> EncoderReport:
    """Export trained towers, measure the exported files, and put them with their card and the towers into `output`.

    Raises:
        EncoderError: the encoder in `output` finds more of the held-out photos; the new one is written next to it.
    """
    model, photo_base, text_base = trained.model, trained.photo_base, trained.text_base
    photos = [photo for each in sets for photo in each.training]
    with tempfile.TemporaryDirectory(dir=output.parent) as scratch:
        folder = Path(scratch)
        step = max(1, len(photos) // _CALIBRATION_PHOTOS)
        calibration = load_photos(photos[::step][:_CALIBRATION_PHOTOS], photo_base.exported_side)
        export_text(model.text.eval(), folder / TEXT_FILE)
        export_photo(model.photo.eval(), folder / PHOTO_FILE, calibration)
        shutil.copyfile(text_base.tokenizer, folder / TOKENIZER_FILE)

        examples = (galleries[0].photos if galleries else photos)[:_PARITY_PAIRS]
        firsts = tokenize([photo.captions[0] for photo in examples], text_base.tokenizer, text_base.max_tokens)
        agreement = parity(model, examples, firsts, photo_base.exported_side, folder)
        shipped = exported_recalls(folder, galleries, photo_base.exported_side, keeper.best_epoch)
        better = better_ones_at(output, galleries, shipped)
        seconds, captions = time.monotonic() - started, sum(len(captions_of(each.training)) for each in sets)
        facts = {
            **_facts(trained, sets),
            "validation": asdict(shipped[0]) if shipped else None,
            "validation_of_others": [asdict(recall) for recall in shipped[1:]],
            "curve": [asdict(point) for point in keeper.curve],
            "parity_cosine": agreement,
            "seconds": round(seconds),
            PARAMETERS: {
                PHOTO_FILE: parameter_table(folder / PHOTO_FILE, model.photo.state_dict()),
                TEXT_FILE: parameter_table(folder / TEXT_FILE, model.text.state_dict()),
            },
        }
        card = write_card(folder, trained.family, facts)
        torch.save({"photo": model.photo.state_dict(), "text": model.text.state_dict()}, folder / CHECKPOINT_FILE)
        place = output.with_name(f"{output.name}-not-better") if better else output
        place.mkdir(exist_ok=True)
        for name in (*WEIGHT_FILES, CHECKPOINT_FILE, CARD_FILE):  # the card last: it vouches for the others
            shutil.move(folder / name, place / name)
    if better:
        raise EncoderError(
            f"{output}: the encoder there finds more of the {better[0].gallery} held-out photos "
            f"(R@1 {better[0].at_1:.3f} to {shipped[0].at_1:.3f}) and stays; the new one is in {place}"
        )
    return EncoderReport(
        card.name, output, len(photos), captions, seconds, tuple(keeper.curve), tuple(shipped), agreement
    )


def _facts(trained: Trained, sets: Sequence[CaptionSet]) -> dict[str, object]:
    photo_base, text_base = trained.photo_base, trained.text_base
    return {
        "dimension": len(trained.model.photo.heads.reduction.T),
        "photo_input": {"side": photo_base.exported_side, "squash": True},
        "max_tokens": text_base.max_tokens,
        "bases": {"photo": photo_base.name, "text": text_base.name},
        "licences": {photo_base.name: photo_base.licence, text_base.name: text_base.licence},
        "training": asdict(trained.config),
        "data": {
            "photos": sum(len(each.training) for each in sets),
            "captions": sum(len(captions_of(each.training)) for each in sets),
            "held_out_photos": sum(len(each.validation) for each in sets),
            "sets": {each.name: {"photos": len(each.training), "weight": each.weight} for each in sets},
        },
    }

"""Read an encoder's ONNX files back into float towers, so that training can go on from what ships.

Only the 8-bit files ship; the float originals are twice the size of all that the program may weigh. What comes back
differs from them by the rounding to 8 bits, which training soon forgets.
"""

from __future__ import annotations

import json
from pathlib import Path

from torch import Tensor

from index_store.encoders.cards import CARD_FILE, PARAMETERS, PHOTO_FILE, TEXT_FILE
from index_store.errors import EncoderError, WeightsError
from index_store.training.encoder.model import DualModel, PhotoTower, TextTower
from index_store.training.encoder.parameters import Table, read_parameters


def import_towers(model: DualModel, folder: Path) -> None:
    """Fill the towers with the weights of the ONNX files in `folder`, by the table of parameters in its card.

    Raises:
        WeightsError: a file is missing or cannot be read.
        EncoderError: the files are of towers of another build, or the card has no table that fits them.
    """
    tables = _tables(folder)
    for tower, name in ((model.photo, PHOTO_FILE), (model.text, TEXT_FILE)):
        _fill(tower, read_parameters(folder / name, tables[name]), folder / name)


def _tables(folder: Path) -> dict[str, Table]:
    card = folder / CARD_FILE
    try:
        content = json.loads(card.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{card}: cannot be read as an encoder's card") from error
    tables = content.get(PARAMETERS) if isinstance(content, dict) else None
    if not isinstance(tables, dict) or not all(isinstance(tables.get(name), dict) for name in (PHOTO_FILE, TEXT_FILE)):
        raise EncoderError(
            f"{card}: does not say where the ONNX files keep their parameters (an older release made it), so training "
            "cannot go on from it; use --start bases"
        )
    return tables


def _fill(tower: PhotoTower | TextTower, weights: dict[str, Tensor], path: Path) -> None:
    fresh = tower.state_dict()
    missing = sorted(set(fresh) - set(weights))
    if missing:
        raise EncoderError(f"{path}: has no {missing[0]}, which these bases need; train from the bases instead")
    tower.heads.reduction = weights["heads.reduction"]  # loading would refuse another width
    try:
        tower.load_state_dict({name: weights[name] for name in fresh})
    except RuntimeError as error:
        raise EncoderError(f"{path}: does not fit these bases; train from the bases instead") from error

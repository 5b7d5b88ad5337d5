"""Where training begins: at the pretrained bases, or at an encoder that was trained before."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import replace
from pathlib import Path

import torch

from index_store.encoders.cards import CARD_FILE
from index_store.encoders.registry import encoder_card
from index_store.errors import EncoderError, WeightsError
from index_store.training.encoder.config import TUNING, EncoderTraining, HeadShape
from index_store.training.encoder.model import DualModel
from index_store.training.encoder.onnx_weights import import_towers

CHECKPOINT_FILE = "towers.pt"
"""The float towers, next to the ONNX files that were made from them."""
BASES, SHIPPED = "bases", "shipped"


def choose_start(name: str, release: bool = False) -> tuple[Path | None, EncoderTraining]:
    """Return the folder that training goes on from, None for the bases, and a configuration that fits it.

    `name` is `bases`, `shipped` or an encoder's folder. With `release` the configuration is that of a long training on
    many photos, which the start does not change but for the shape of the towers.

    Raises:
        EncoderError: the encoder was not made by `imgsearch train encoder`.
        WeightsError: there is no encoder in the folder.
    """
    if name == BASES:
        return None, EncoderTraining()
    folder = encoder_card(None if name == SHIPPED else name).folder
    card = folder / CARD_FILE
    try:
        made = json.loads(card.read_text(encoding="utf-8"))["training"]
        kept = {key: made[key] for key in ("photo_base", "text_base", "heads", "dimension", "train_tokens")}
        return folder, replace(EncoderTraining() if release else TUNING, head=HeadShape(**made["head"]), **kept)
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{card}: does not say how the encoder was trained, so training cannot go on from it"
        raise EncoderError(f"{message}; use --start bases") from error


def load_start(model: DualModel, folder: Path) -> None:
    """Fill the towers with those of an encoder's folder, before the reduction of its joined vectors.

    Raises:
        EncoderError: the folder's towers are of another build.
        WeightsError: the folder holds no towers, or damaged ones.
    """
    load_trained(model, folder)
    _undo_reduction(model)


def load_trained(model: DualModel, folder: Path) -> None:
    """Fill the towers with those of an encoder's folder, as `load_start`, with the reduction.

    The front of the photo trunk is never trained: it stays as the base has it, without the rounding of ONNX files.
    """
    front = copy.deepcopy(model.photo.front.state_dict())
    if (folder / CHECKPOINT_FILE).exists():
        load_towers(model, folder / CHECKPOINT_FILE)
    else:
        import_towers(model, folder)
    model.photo.front.load_state_dict(front)


def load_towers(model: DualModel, checkpoint: Path) -> None:
    """Fill the towers with the weights of a checkpoint.

    Raises:
        EncoderError: the checkpoint is of towers of another build.
        WeightsError: there is no checkpoint, or it is damaged.
    """
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise WeightsError(f"{checkpoint}: holds no towers to start from") from error
    for tower, weights in ((model.photo, state["photo"]), (model.text, state["text"])):
        tower.heads.reduction = weights["heads.reduction"]  # loading would refuse another width
        try:
            tower.load_state_dict(weights)
        except RuntimeError as error:
            raise EncoderError(f"{checkpoint}: does not fit this configuration; compare it with card.json") from error


def _undo_reduction(model: DualModel) -> None:
    for tower in (model.photo, model.text):
        tower.heads.reduction = torch.eye(len(tower.heads.reduction))

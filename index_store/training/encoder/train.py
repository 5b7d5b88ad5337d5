"""Train the dual encoder on captioned photos, in three steps that `train_encoder` tells in order.

1. *Warm-up*: the trunks are frozen, their pooled features are computed once, and each pair of heads learns on them.
2. *Joint training*: the photo trunk's tail, the text trunk and all heads together, on the cached maps of the photo
   trunk's front. All heads read the same pooled features, so an ensemble of them costs next to nothing.
3. *Reduction and export*: the heads' joined vectors are rotated into fewer dimensions, and the towers written as ONNX.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from index_store.encoders.cards import read_card
from index_store.training.data.captions import DataFolder
from index_store.training.encoder.bases import PhotoBase, TextBase
from index_store.training.encoder.best_epoch import Keeper
from index_store.training.encoder.checkpoint import Checkpoints
from index_store.training.encoder.config import EncoderTraining
from index_store.training.encoder.datasets import Material, digest_of, read_sets, read_validation
from index_store.training.encoder.initialise import load_start
from index_store.training.encoder.joint_training import JointTraining
from index_store.training.encoder.model import DualModel, Heads, PhotoTower, TextTower, fit_reduction
from index_store.training.encoder.photo_bases import load_photo_base
from index_store.training.encoder.photo_views import Progress
from index_store.training.encoder.prepare_captions import CaptionRules
from index_store.training.encoder.steps import TrainingData, warm_up
from index_store.training.encoder.text_bases import load_text_base
from index_store.training.encoder.validation import pool_all_photos, pool_all_texts
from index_store.training.encoder.write_encoder import EncoderReport, Trained, write_encoder

OWN_FAMILY = "own-lite2-minilm"
"""The family of encoders that users train from what ships, whose own is lite2-minilm."""


@dataclass(frozen=True, slots=True)
class Places:
    """What a training reads and writes besides its data.

    `start` is the encoder's folder that training goes on from, None for the bases. `validation` are folders that are
    measured on and never trained on. `cache` keeps what is made of photos and captions before they are learned from,
    `checkpoints` the state of the training itself.
    """

    start: Path | None = None
    validation: Sequence[Path] = ()
    cache: Path | None = None
    checkpoints: Path | None = None


def train_encoder(
    data: Sequence[DataFolder],
    output: Path,
    config: EncoderTraining,
    progress: Progress,
    places: Places = Places(),  # frozen
    rules: CaptionRules = CaptionRules(),  # noqa: B008  # frozen
    bases: tuple[PhotoBase, TextBase] | None = None,
    family: str | None = None,
) -> EncoderReport:
    """Train on the captioned photos in `data` and write the encoder's folder `output`.

    With `places.start`, the towers there go on learning, without a warm-up, from their float originals where the folder
    has them and else from its ONNX files. `bases` replaces the ones that the configuration names. `family` is the
    first part of the encoder's name. The folder's files are replaced only when all is done.

    Raises:
        DataError: the captions or photos cannot be used.
        EncoderError: the configuration names a base that is not known, or does not fit the towers to start from or the
            checkpoint; no epoch was better than the start; or the encoder in `output` is better.
        WeightsError: `places.start` holds no towers.
        MissingExtraError: a package of the `train` extra is not installed.
    """
    started = time.monotonic()
    sets = read_sets(data, config.validation_share, rules, places.cache)
    measured = [*sets, *read_validation(places.validation)]
    photo_base, text_base = bases or (load_photo_base(config.photo_base), load_text_base(config.text_base))
    config = replace(config, train_tokens=min(config.train_tokens, text_base.max_tokens))
    output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    model = build_towers(photo_base, text_base, config)
    if places.start:
        load_start(model, places.start)
    facts = {"data": digest_of(measured), "training": asdict(config), "bases": (photo_base.name, text_base.name)}
    if places.start:
        facts["start"] = read_card(places.start).fingerprint
    checkpoints = Checkpoints(places.checkpoints, facts)
    kept = checkpoints.load()
    material = Material(model, photo_base, text_base, config, progress, places.cache)
    learning = material.to_learn_from(sets)

    keeper = Keeper(model, material.held_out(measured), config.kept_share)
    if kept is None:
        if places.start:
            keeper.measure_start(model)
        else:
            heads = (model.photo.heads, model.text.heads)
            warm_up(heads, material.still(learning), learning, config, generator, progress)
    training = JointTraining(model, learning, config, generator)
    run_training(training, keeper, (config.epochs, config.batch), checkpoints, progress, kept)
    keeper.put_best_into(model)
    reduce_dimension(model, learning, config.dimension, progress)
    progress(0, 1, "the towers are exported and measured")
    trained = Trained(model, photo_base, text_base, config, family or own_family(photo_base, text_base))
    return write_encoder(trained, sets, material.galleries(measured), output, keeper, started)


class Resumable(Protocol):
    """A training that is taken step by step, `steps` to a pass, and can be saved after any."""

    steps: int
    done: int

    @property
    def averaged(self) -> DualModel:
        """The weights that are measured and kept."""
        ...

    def step(self) -> None:
        """Learn from one batch."""
        ...

    def state(self) -> dict[str, Any]:
        """Return all that the next step hangs on."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        ...


def run_training(
    training: Resumable,
    keeper: Keeper,
    size: tuple[int, int],
    checkpoints: Checkpoints,
    progress: Progress,
    kept: Mapping[str, Any] | None = None,
) -> None:
    """Take all steps, offer the averaged model to the keeper after each pass, and save what is reached now and then.

    `size` are the passes and the photos of a batch; `kept` is what a killed training had reached.
    """
    if kept is not None:
        training.restore(kept["training"])
        keeper.restore(kept["keeper"])
    epochs, batch = size
    note, total = "photos learned from", epochs * training.steps
    progress(training.done * batch, total * batch, note)  # else the bar of what came before stays full meanwhile
    while training.done < total:
        training.step()
        if ended := training.done % training.steps == 0:
            progress(training.done * batch, total * batch, "held-out photos are measured")
            note = keeper.offer(training.averaged, training.done // training.steps)
        if ended or checkpoints.is_due():
            checkpoints.save({"training": training.state(), "keeper": keeper.state()})
        progress(training.done * batch, total * batch, note)


def own_family(photo_base: PhotoBase, text_base: TextBase) -> str:
    """Return the first part of an encoder's name: its bases; those of what ships are marked, as it is no release."""
    shipped = EncoderTraining()
    if (photo_base.name, text_base.name) == (shipped.photo_base, shipped.text_base):
        return OWN_FAMILY
    return re.sub(r"[^\w.-]+", "-", f"{photo_base.name}-{text_base.name}", flags=re.ASCII)


def build_towers(photo_base: PhotoBase, text_base: TextBase, config: EncoderTraining) -> DualModel:
    """Put heads with fresh weights on the bases' trunks."""
    photo_heads = Heads(photo_base.features, config.heads, config.head)
    text_heads = Heads(text_base.features, config.heads, config.head)
    photo = PhotoTower(photo_base.front, photo_base.tail, photo_heads, photo_base.scale)
    photo.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # which torch's stubs leave out
    return DualModel(photo.eval(), TextTower(text_base.bert, text_heads).eval())


@torch.no_grad()
def reduce_dimension(model: DualModel, data: TrainingData, dimension: int, progress: Progress | None = None) -> None:
    """Fit the reduction on the training photos and the first caption of each, and put it into both towers."""
    model.photo.eval()
    model.text.eval()
    photos = model.photo.heads.joined(pool_all_photos(model, data.maps[0]))
    texts = model.text.heads.joined(pool_all_texts(model, data.captions.rows(data.first_caption[:-1]), progress))
    reduction = fit_reduction(photos, texts, min(dimension, photos.shape[1]))
    model.photo.heads.reduction = reduction
    model.text.heads.reduction = reduction.clone()

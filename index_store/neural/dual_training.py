"""Train the dual encoder on captioned photos, in three steps that `train_encoder` tells in order.

1. *Warm-up*: the trunks stand still, their pooled features are computed once, and each pair of heads learns on them.
2. *Joint training*: the photo trunk's tail, the text trunk and all heads together, on the cached maps of the photo
   trunk's front. All heads read the same pooled features, so an ensemble of them costs next to nothing.
3. *Reduction and export*: the heads' joined vectors are rotated into fewer dimensions, and the towers written as ONNX.
"""

from __future__ import annotations

import pickle
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from index_store.encoders.captions import CaptionedPhoto, held_out, read_captions
from index_store.encoders.cards import CARD_FILE, PHOTO_FILE, TEXT_FILE, TOKENIZER_FILE, WEIGHT_FILES, write_card
from index_store.errors import DataError, EncoderError, WeightsError
from index_store.neural.bases import PHOTO_BASES, TEXT_BASES, PhotoBase, TextBase
from index_store.neural.dual_data import Progress, feature_maps, load_photos, tokenize
from index_store.neural.dual_export import export_photo, export_text
from index_store.neural.dual_judging import (
    HeldOut,
    Recall,
    exported_recall,
    owners,
    parity,
    pool_all_photos,
    pool_all_texts,
)
from index_store.neural.dual_learning import LearningRates, TrainingData, pseudo_features, train_jointly, warm_up
from index_store.neural.dual_model import DualModel, Heads, HeadShape, PhotoTower, TextTower, fit_reduction

FAMILY = "lite2-minilm"
CLASS_CAPTION = "a photo of a {}"
BASE_LICENCES = {"efficientnet-lite2": "Apache-2.0", "all-MiniLM-L6-v2": "Apache-2.0"}
"""The licences of the bases that have a name here."""
LEAST_PHOTOS = 4
CHECKPOINT_FILE = "towers.pt"

_MAX_TOKENS = 64
"""Texts are cut here when encoded; captions have 14 tokens on average and hardly ever more than 32."""
_CALIBRATION_PHOTOS = 200
_PARITY_PAIRS = 200
_WARMUP_VIEWS = 2
"""Plain and mirrored: the warm-up is over before more views would matter."""


@dataclass(frozen=True, slots=True)
class EncoderTraining:
    """Everything that decides how an encoder comes out; saved in its card.

    `validation_share` in [0, 1) is held out by a hash of the photo's name; 0 trains on all photos and measures nothing.
    """

    photo_base: str = "efficientnet-lite2"
    text_base: str = "all-MiniLM-L6-v2"
    seed: int = 0
    validation_share: float = 0.15
    views: int = 4
    heads: int = 2
    head: HeadShape = field(default_factory=HeadShape)
    dimension: int = 384
    warmup_epochs: int = 12
    warmup_batch: int = 1000
    warmup_rate: float = 2e-3
    epochs: int = 4
    batch: int = 256
    captions_per_photo: int = 2
    classes_per_batch: int = 200
    word_dropout: float = 0.1
    label_smoothing: float = 0.05
    rates: LearningRates = field(default_factory=LearningRates)
    train_tokens: int = 32


@dataclass(frozen=True, slots=True)
class EncoderReport:
    """What training made: `curve` by epoch and `shipped` by the exported files, empty and None with nothing held out.

    `parity` has the least and the mean cosine of each exported tower to its float original.
    """

    name: str
    folder: Path
    photos: int
    captions: int
    seconds: float
    curve: tuple[Recall, ...]
    shipped: Recall | None
    parity: dict[str, dict[str, float]]


def train_encoder(
    data: Path,
    output: Path,
    config: EncoderTraining,
    progress: Progress,
    start: Path | None = None,
    bases: tuple[PhotoBase, TextBase] | None = None,
) -> EncoderReport:
    """Train on the captioned photos in `data` and write the encoder's folder `output`.

    `start` is a folder that this function wrote before: its towers go on learning, without a warm-up. `bases` replaces
    the ones that the configuration names. The folder's files are replaced only when all is done.

    Raises:
        DataError: the captions or photos cannot be used.
        EncoderError: the configuration names a base that is not known, or does not fit the towers in `start`.
        WeightsError: `start` holds no towers.
        MissingExtraError: a package of the `train` extra is not installed.
    """
    started = time.monotonic()
    training, validation = _split(read_captions(data), config.validation_share, data)
    photo_base, text_base = bases or _load_bases(config)
    output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    model = build_towers(photo_base, text_base, config)
    if start:
        load_towers(model, start / CHECKPOINT_FILE)
        _undo_reduction(model)
    learning = _prepare(model, training, photo_base, text_base, config, progress)
    held = _hold_out(model, validation, photo_base, text_base, config, progress) if validation else None

    if not start:
        _warm_heads(model, learning, config, generator, progress)
    curve: list[Recall] = []
    train_jointly(
        model,
        learning,
        epochs=config.epochs,
        batch=config.batch,
        captions_per_photo=config.captions_per_photo,
        classes=config.classes_per_batch,
        word_dropout=config.word_dropout,
        rates=config.rates,
        smoothing=config.label_smoothing,
        generator=generator,
        progress=progress,
        after_epoch=lambda epoch: curve.append(held.recall(model, epoch)) if held else None,
    )
    _reduce(model, learning, config.dimension)
    return write_encoder(model, training, validation, (photo_base, text_base), config, output, curve, started)


def write_encoder(
    model: DualModel,
    training: Sequence[CaptionedPhoto],
    validation: Sequence[CaptionedPhoto],
    bases: tuple[PhotoBase, TextBase],
    config: EncoderTraining,
    output: Path,
    curve: Sequence[Recall],
    started: float,
) -> EncoderReport:
    """Export trained towers, measure the exported files, and put them with their card and the towers into `output`."""
    photo_base, text_base = bases
    with tempfile.TemporaryDirectory(dir=output.parent) as scratch:
        folder = Path(scratch)
        step = max(1, len(training) // _CALIBRATION_PHOTOS)
        calibration = load_photos(training[::step][:_CALIBRATION_PHOTOS], photo_base.side)
        export_text(model.text.eval(), folder / TEXT_FILE)
        export_photo(model.photo.eval(), folder / PHOTO_FILE, calibration)
        shutil.copyfile(text_base.tokenizer, folder / TOKENIZER_FILE)

        examples = (validation or training)[:_PARITY_PAIRS]
        firsts = tokenize([photo.captions[0] for photo in examples], text_base.tokenizer, _MAX_TOKENS)
        agreement = parity(model, examples, firsts, photo_base.side, folder)
        shipped = None
        if validation:
            captions = tokenize(_captions(validation), text_base.tokenizer, _MAX_TOKENS)
            shipped = exported_recall(folder, validation, captions, photo_base.side, config.epochs)
        seconds = time.monotonic() - started
        facts = {
            "dimension": len(model.photo.heads.reduction.T),
            "photo_input": {"side": photo_base.side, "squash": True},
            "max_tokens": _MAX_TOKENS,
            "bases": {"photo": photo_base.name, "text": text_base.name},
            "licences": {name: BASE_LICENCES.get(name, "not known") for name in (photo_base.name, text_base.name)},
            "training": asdict(config),
            "data": {
                "photos": len(training),
                "captions": len(_captions(training)),
                "held_out_photos": len(validation),
            },
            "validation": asdict(shipped) if shipped else None,
            "curve": [asdict(point) for point in curve],
            "parity_cosine": agreement,
            "seconds": round(seconds),
        }
        card = write_card(folder, FAMILY, facts)
        torch.save({"photo": model.photo.state_dict(), "text": model.text.state_dict()}, folder / CHECKPOINT_FILE)
        for name in (*WEIGHT_FILES, CHECKPOINT_FILE, CARD_FILE):  # the card last: it vouches for the others
            shutil.move(folder / name, output / name)
    captions_seen = len(_captions(training))
    return EncoderReport(card.name, output, len(training), captions_seen, seconds, tuple(curve), shipped, agreement)


def _split(
    photos: Sequence[CaptionedPhoto], share: float, data: Path
) -> tuple[list[CaptionedPhoto], list[CaptionedPhoto]]:
    training = [photo for photo in photos if not held_out(photo.image, share)]
    validation = [photo for photo in photos if held_out(photo.image, share)]
    if len(training) < LEAST_PHOTOS:
        raise DataError(f"{data}: {len(training)} photos are left to train on; {LEAST_PHOTOS} are the least")
    return training, validation


def _load_bases(config: EncoderTraining) -> tuple[PhotoBase, TextBase]:
    if config.photo_base not in PHOTO_BASES:
        raise EncoderError(f"no photo base is called {config.photo_base}: choose from {', '.join(PHOTO_BASES)}")
    if config.text_base not in TEXT_BASES:
        raise EncoderError(f"no text base is called {config.text_base}: choose from {', '.join(TEXT_BASES)}")
    return PHOTO_BASES[config.photo_base](), TEXT_BASES[config.text_base]()


def build_towers(photo_base: PhotoBase, text_base: TextBase, config: EncoderTraining) -> DualModel:
    """Put heads with fresh weights on the bases' trunks."""
    photo_heads = Heads(photo_base.features, config.heads, config.head)
    text_heads = Heads(text_base.features, config.heads, config.head)
    return DualModel(
        photo=PhotoTower(photo_base.front, photo_base.tail, photo_heads).eval(),
        text=TextTower(text_base.bert, text_heads).eval(),
    )


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


def _prepare(
    model: DualModel,
    photos: Sequence[CaptionedPhoto],
    photo_base: PhotoBase,
    text_base: TextBase,
    config: EncoderTraining,
    progress: Progress,
) -> TrainingData:
    maps = feature_maps(model.photo, photos, photo_base.side, config.views, config.seed, progress)
    counts = torch.tensor([0, *(len(photo.captions) for photo in photos)])
    classes = [CLASS_CAPTION.format(name) for name in photo_base.class_names]
    # without classes one stand-in text is tokenised and never drawn
    class_tokens = tokenize(classes or ["a photo"], text_base.tokenizer, config.train_tokens)
    return TrainingData(
        maps=maps,
        captions=tokenize(_captions(photos), text_base.tokenizer, config.train_tokens),
        first_caption=counts.cumsum(dim=0),
        pseudo_features=pseudo_features(photo_base.classifier, pool_all_photos(model, maps[0])),
        class_captions=class_tokens,
    )


def _warm_heads(
    model: DualModel, data: TrainingData, config: EncoderTraining, generator: torch.Generator, progress: Progress
) -> None:
    views = [pool_all_photos(model, maps) for maps in data.maps[:_WARMUP_VIEWS]]
    texts = pool_all_texts(model, data.captions)
    class_texts = pool_all_texts(model, data.class_captions)[: len(data.pseudo_features)]
    warm_up(
        (model.photo.heads, model.text.heads),
        (views, texts),
        data,
        class_texts,
        epochs=config.warmup_epochs,
        batch=config.warmup_batch,
        classes=config.classes_per_batch,
        rate=config.warmup_rate,
        smoothing=config.label_smoothing,
        generator=generator,
        progress=progress,
    )


def _hold_out(
    model: DualModel,
    photos: Sequence[CaptionedPhoto],
    photo_base: PhotoBase,
    text_base: TextBase,
    config: EncoderTraining,
    progress: Progress,
) -> HeldOut:
    maps = feature_maps(model.photo, photos, photo_base.side, 1, config.seed, progress)[0]
    return HeldOut(maps, tokenize(_captions(photos), text_base.tokenizer, config.train_tokens), owners(photos))


def _captions(photos: Sequence[CaptionedPhoto]) -> list[str]:
    return [caption for photo in photos for caption in photo.captions]


@torch.no_grad()
def _reduce(model: DualModel, data: TrainingData, dimension: int) -> None:
    """Fit the reduction on the training photos and the first caption of each, and put it into both towers."""
    model.photo.eval()
    model.text.eval()
    photos = model.photo.heads.joined(pool_all_photos(model, data.maps[0]))
    texts = model.text.heads.joined(pool_all_texts(model, data.captions.rows(data.first_caption[:-1])))
    reduction = fit_reduction(photos, texts, min(dimension, photos.shape[1]))
    model.photo.heads.reduction = reduction
    model.text.heads.reduction = reduction.clone()

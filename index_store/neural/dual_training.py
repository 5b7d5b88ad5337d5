"""Train the dual encoder on captioned photos, in three steps that `train_encoder` tells in order.

1. *Warm-up*: the trunks stand still, their pooled features are computed once, and each pair of heads learns on them.
2. *Joint training*: the photo trunk's tail, the text trunk and all heads together, on the cached maps of the photo
   trunk's front. All heads read the same pooled features, so an ensemble of them costs next to nothing.
3. *Reduction and export*: the heads' joined vectors are rotated into fewer dimensions, and the towers written as ONNX.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from index_store.encoders.captions import CaptionedPhoto, held_out, read_captions
from index_store.encoders.cards import (
    CARD_FILE,
    PARAMETERS,
    PHOTO_FILE,
    TEXT_FILE,
    TOKENIZER_FILE,
    WEIGHT_FILES,
    write_card,
)
from index_store.errors import DataError, EncoderError
from index_store.neural.bases import PhotoBase, TextBase
from index_store.neural.dual_config import EncoderTraining
from index_store.neural.dual_data import Progress, Tokens, feature_maps, load_photos, tokenize
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
from index_store.neural.dual_keeping import Keeper, better_one_at
from index_store.neural.dual_learning import TrainingData, pseudo_features, train_jointly, warm_up
from index_store.neural.dual_model import DualModel, Heads, PhotoTower, TextTower, fit_reduction
from index_store.neural.dual_parameters import parameter_table
from index_store.neural.dual_starting import CHECKPOINT_FILE, load_start
from index_store.neural.photo_bases import load_photo_base
from index_store.neural.text_bases import load_text_base

FAMILY = "lite2-minilm"
CLASS_CAPTIONS = ("a photo of a {}", "a {}", "{}", "a picture of a {}")
"""What a pseudo photo is captioned with: queries are often as short as this, captions hardly ever."""
LEAST_PHOTOS = 4

_CALIBRATION_PHOTOS = 200
_PARITY_PAIRS = 200
_WARMUP_VIEWS = 2
"""Plain and mirrored: the warm-up is over before more views would matter."""


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
    cache: Path | None = None,
) -> EncoderReport:
    """Train on the captioned photos in `data` and write the encoder's folder `output`.

    `start` is an encoder's folder: its towers go on learning, without a warm-up, from their float originals where the
    folder has them and else from its ONNX files. `bases` replaces the ones that the configuration names, `cache` keeps
    what the photo trunk's frozen front makes of the photos. The folder's files are replaced only when all is done.

    Raises:
        DataError: the captions or photos cannot be used.
        EncoderError: the configuration names a base that is not known, or does not fit the towers in `start`; no epoch
            was better than `start`; or the encoder in `output` is better.
        WeightsError: `start` holds no towers.
        MissingExtraError: a package of the `train` extra is not installed.
    """
    started = time.monotonic()
    training, validation = _split(read_captions(data), config.validation_share, data)
    photo_base, text_base = bases or (load_photo_base(config.photo_base), load_text_base(config.text_base))
    config = replace(config, train_tokens=min(config.train_tokens, text_base.max_tokens))
    output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    model = build_towers(photo_base, text_base, config)
    if start:
        load_start(model, start)
    material = _Material(model, photo_base, text_base, config, progress, cache)
    learning = material.to_learn_from(training)
    held = material.held_out(validation) if validation else None

    keeper = Keeper(model, held, config.kept_share)
    if start:
        keeper.measure_start(model)
    else:
        _warm_heads(model, learning, config, generator, progress)
    train_jointly(model, learning, config, generator, progress, keeper.offer)
    keeper.put_best_into(model)
    _reduce(model, learning, config.dimension)
    return write_encoder(model, training, validation, (photo_base, text_base), config, output, keeper, started)


def write_encoder(
    model: DualModel,
    training: Sequence[CaptionedPhoto],
    validation: list[CaptionedPhoto],
    bases: tuple[PhotoBase, TextBase],
    config: EncoderTraining,
    output: Path,
    keeper: Keeper,
    started: float,
) -> EncoderReport:
    """Export trained towers, measure the exported files, and put them with their card and the towers into `output`."""
    photo_base, text_base = bases
    with tempfile.TemporaryDirectory(dir=output.parent) as scratch:
        folder = Path(scratch)
        step = max(1, len(training) // _CALIBRATION_PHOTOS)
        calibration = load_photos(training[::step][:_CALIBRATION_PHOTOS], photo_base.exported_side)
        export_text(model.text.eval(), folder / TEXT_FILE)
        export_photo(model.photo.eval(), folder / PHOTO_FILE, calibration)
        shutil.copyfile(text_base.tokenizer, folder / TOKENIZER_FILE)

        examples = (validation or training)[:_PARITY_PAIRS]
        firsts = tokenize([photo.captions[0] for photo in examples], text_base.tokenizer, text_base.max_tokens)
        agreement = parity(model, examples, firsts, photo_base.exported_side, folder)
        shipped = better = None
        if validation:
            captions = tokenize(_captions(validation), text_base.tokenizer, text_base.max_tokens)
            shipped = exported_recall(folder, validation, captions, photo_base.exported_side, keeper.best_epoch)
            better = better_one_at(output, validation, captions, shipped)
        seconds, captions_seen = time.monotonic() - started, len(_captions(training))
        facts = {
            "dimension": len(model.photo.heads.reduction.T),
            "photo_input": {"side": photo_base.exported_side, "squash": True},
            "max_tokens": text_base.max_tokens,
            "bases": {"photo": photo_base.name, "text": text_base.name},
            "licences": {photo_base.name: photo_base.licence, text_base.name: text_base.licence},
            "training": asdict(config),
            "data": {
                "photos": len(training),
                "captions": captions_seen,
                "held_out_photos": len(validation),
            },
            "validation": asdict(shipped) if shipped else None,
            "curve": [asdict(point) for point in keeper.curve],
            "parity_cosine": agreement,
            "seconds": round(seconds),
            PARAMETERS: {
                PHOTO_FILE: parameter_table(folder / PHOTO_FILE, model.photo.state_dict()),
                TEXT_FILE: parameter_table(folder / TEXT_FILE, model.text.state_dict()),
            },
        }
        card = write_card(folder, _family(photo_base, text_base), facts)
        torch.save({"photo": model.photo.state_dict(), "text": model.text.state_dict()}, folder / CHECKPOINT_FILE)
        place = output.with_name(f"{output.name}-not-better") if better else output
        place.mkdir(exist_ok=True)
        for name in (*WEIGHT_FILES, CHECKPOINT_FILE, CARD_FILE):  # the card last: it vouches for the others
            shutil.move(folder / name, place / name)
    if better and shipped:
        raise EncoderError(
            f"{output}: the encoder there finds more of the {better.gallery} held-out photos "
            f"(R@1 {better.at_1:.3f} to {shipped.at_1:.3f}) and stays; the new one is in {place}"
        )
    return EncoderReport(
        card.name, output, len(training), captions_seen, seconds, tuple(keeper.curve), shipped, agreement
    )


def _split(
    photos: Sequence[CaptionedPhoto], share: float, data: Path
) -> tuple[list[CaptionedPhoto], list[CaptionedPhoto]]:
    training = [photo for photo in photos if not held_out(photo.image, share)]
    validation = [photo for photo in photos if held_out(photo.image, share)]
    if len(training) < LEAST_PHOTOS:
        raise DataError(f"{data}: {len(training)} photos are left to train on; {LEAST_PHOTOS} are the least")
    return training, validation


def _family(photo_base: PhotoBase, text_base: TextBase) -> str:
    """Return the first part of the encoder's name: that of the encoder that ships, or the names of other bases."""
    shipped = EncoderTraining()
    if (photo_base.name, text_base.name) == (shipped.photo_base, shipped.text_base):
        return FAMILY
    return re.sub(r"[^\w.-]+", "-", f"{photo_base.name}-{text_base.name}", flags=re.ASCII)


def build_towers(photo_base: PhotoBase, text_base: TextBase, config: EncoderTraining) -> DualModel:
    """Put heads with fresh weights on the bases' trunks."""
    photo_heads = Heads(photo_base.features, config.heads, config.head)
    text_heads = Heads(text_base.features, config.heads, config.head)
    photo = PhotoTower(photo_base.front, photo_base.tail, photo_heads, photo_base.scale)
    photo.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # which torch's stubs leave out
    return DualModel(photo.eval(), TextTower(text_base.bert, text_heads).eval())


@dataclass(frozen=True, slots=True)
class _Material:
    """Turns captioned photos into what training reads: the photos' maps and the captions' tokens."""

    model: DualModel
    photo_base: PhotoBase
    text_base: TextBase
    config: EncoderTraining
    progress: Progress
    cache: Path | None

    def to_learn_from(self, photos: Sequence[CaptionedPhoto]) -> TrainingData:
        """Return all views of the photos, their captions, and the pseudo photos with theirs."""
        maps = self._maps(photos, self.config.views)
        counts = torch.tensor([len(photo.captions) for photo in photos])
        captions = self._tokens(_captions(photos))
        classes = [caption.format(name) for name in self.photo_base.class_names for caption in CLASS_CAPTIONS]
        pooled = pool_all_photos(self.model, maps[0])
        return TrainingData(
            maps=maps,
            captions=captions,
            first_caption=torch.cat([torch.tensor([0]), counts.cumsum(dim=0)]),
            pseudo_features=pseudo_features(self.photo_base.classifier, pooled, self.photo_base.pooled_range),
            class_captions=self._tokens(classes or ["a photo"]),  # a stand-in, which is never drawn
            pooled_photos=pooled,
            pooled_captions=pool_all_texts(self.model, captions),
            mask_token=self.text_base.mask_token,
            special_tokens=self.text_base.special_tokens,
        )

    def held_out(self, photos: Sequence[CaptionedPhoto]) -> HeldOut:
        """Return the plain view of the photos, and all their captions."""
        return HeldOut(self._maps(photos, 1)[0], self._tokens(_captions(photos)), owners(photos))

    def _maps(self, photos: Sequence[CaptionedPhoto], views: int) -> list[Tensor]:
        side, seed = self.photo_base.side, self.config.seed
        return feature_maps(self.model.photo, photos, side, views, seed, self.progress, self.cache)

    def _tokens(self, texts: Sequence[str]) -> Tokens:
        return tokenize(texts, self.text_base.tokenizer, self.config.train_tokens)


def _warm_heads(
    model: DualModel, data: TrainingData, config: EncoderTraining, generator: torch.Generator, progress: Progress
) -> None:
    views = [data.pooled_photos, *(pool_all_photos(model, maps) for maps in data.maps[1:_WARMUP_VIEWS])]
    class_texts = pool_all_texts(model, data.class_captions)
    heads = (model.photo.heads, model.text.heads)
    warm_up(heads, (views, class_texts), data, config, generator, progress)


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

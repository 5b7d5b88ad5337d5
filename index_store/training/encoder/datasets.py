"""The sets of captioned photos that a training reads: what is learned from, what is held out, and as which numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from index_store.errors import DataError
from index_store.training.data.captions import CaptionedPhoto, DataFolder, held_out, read_captions
from index_store.training.encoder.bases import PhotoBase, TextBase
from index_store.training.encoder.batches import key_table
from index_store.training.encoder.config import EncoderTraining
from index_store.training.encoder.model import DualModel
from index_store.training.encoder.photo_views import Maps, Progress, Tokens, Views, feature_maps, tokenize
from index_store.training.encoder.prepare_captions import (
    CaptionRules,
    caption_key,
    in_templates,
    is_class_set,
    prepared,
)
from index_store.training.encoder.steps import StillFeatures, TrainingData, pseudo_features
from index_store.training.encoder.validation import Gallery, HeldOut, owners, pool_all_photos, pool_all_texts

LEAST_PHOTOS = 4
CLASS_CAPTIONS = ("a photo of a {}", "a {}", "{}", "a picture of a {}")
"""What a pseudo photo is captioned with: queries are often as short as this, captions hardly ever."""
_WARMUP_VIEWS = 2
"""Plain and mirrored: the warm-up is over before more views would matter."""
_SAMPLED_PHOTOS = 2000
"""So many photos tell the mean and spread of the pooled features."""


@dataclass(frozen=True, slots=True)
class CaptionSet:
    """The photos of one folder, and their weight in a batch."""

    name: str
    training: Sequence[CaptionedPhoto]
    validation: Sequence[CaptionedPhoto]
    weight: float = 1.0


def read_sets(folders: Sequence[DataFolder], share: float, rules: CaptionRules, cache: Path | None) -> list[CaptionSet]:
    """Read folders and split each by the hash of its photos' names; what `rules` forbid is never trained on.

    Raises:
        DataError: a folder cannot be used, or too few photos are left to train on.
    """
    sets: list[CaptionSet] = []
    for data in folders:
        photos = read_captions(data.folder)
        held = share if data.held_out is None else data.held_out
        training = prepared([photo for photo in photos if not held_out(photo.image, held)], rules, cache)
        if training and is_class_set(training):
            training = in_templates(training)
        if len(training) < LEAST_PHOTOS:
            raise DataError(f"{data.folder}: {len(training)} photos are left to train on; {LEAST_PHOTOS} are the least")
        validation = [photo for photo in photos if held_out(photo.image, held)]
        sets.append(CaptionSet(data.folder.resolve().name, training, validation, data.weight))
    return sets


def read_validation(folders: Sequence[Path]) -> list[CaptionSet]:
    """Read folders that are measured on and never trained on."""
    return [CaptionSet(folder.resolve().name, [], read_captions(folder)) for folder in folders]


def digest_of(sets: Sequence[CaptionSet]) -> str:
    """Return a hash of all that is learned from and measured on, captions and their order too."""
    digest = hashlib.sha256()
    for each in sets:
        digest.update(f"{each.name} {each.weight}\n".encode())
        for photo in (*each.training, *each.validation):
            digest.update("\t".join((photo.image, *photo.captions)).encode() + b"\n")
    return digest.hexdigest()


def captions_of(photos: Sequence[CaptionedPhoto]) -> list[str]:
    """Return all captions, photo by photo."""
    return [caption for photo in photos for caption in photo.captions]


@dataclass(frozen=True, slots=True)
class Material:
    """Turns sets of photos into what training reads: the photos' maps and the captions' tokens."""

    model: DualModel
    photo_base: PhotoBase
    text_base: TextBase
    config: EncoderTraining
    progress: Progress
    cache: Path | None

    def to_learn_from(self, sets: Sequence[CaptionSet]) -> TrainingData:
        """Return all views of the photos, their captions, and the pseudo photos with theirs."""
        sets = [each for each in sets if each.training]
        photos = [photo for each in sets for photo in each.training]
        maps = self._maps([each.training for each in sets], self.config.views, self.config.alike)
        first_caption = torch.tensor([0, *(len(photo.captions) for photo in photos)]).cumsum(dim=0)
        classes = [caption.format(name) for name in self.photo_base.class_names for caption in CLASS_CAPTIONS]
        classes = classes or ["a photo"]  # a stand-in, which is never drawn
        keys: dict[str, int] = {}
        caption_keys = [keys.setdefault(caption_key(caption), len(keys)) for caption in captions_of(photos)]
        class_keys = [keys.setdefault(caption_key(caption), len(keys)) for caption in classes]
        sample = pool_all_photos(self.model, Maps([_sampled(maps[0])]))
        return TrainingData(
            maps=maps,
            sizes=[len(each.training) for each in sets],
            weights=[each.weight for each in sets],
            captions=self.tokens(captions_of(photos)),
            first_caption=first_caption,
            caption_keys=torch.tensor(caption_keys),
            photo_keys=key_table(caption_keys, first_caption),
            pseudo_features=pseudo_features(self.photo_base.classifier, sample, self.photo_base.pooled_range),
            class_captions=self.tokens(classes),
            class_keys=torch.tensor(class_keys),
            mask_token=self.text_base.mask_token,
            special_tokens=self.text_base.special_tokens,
        )

    def still(self, data: TrainingData) -> StillFeatures:
        """Return what the trunks make of the first views and all texts before they learn."""
        return StillFeatures(
            photos=[pool_all_photos(self.model, maps) for maps in data.maps[:_WARMUP_VIEWS]],
            captions=pool_all_texts(self.model, data.captions, self.progress),
            class_captions=pool_all_texts(self.model, data.class_captions),
        )

    def held_out(self, sets: Sequence[CaptionSet]) -> list[HeldOut]:
        """Return the plain view of each set's held-out photos, and all their captions."""
        return [
            HeldOut(
                self._maps([each.validation], 1, alike=False)[0],
                self.tokens(captions_of(each.validation)),
                owners(each.validation),
                each.name,
            )
            for each in sets
            if each.validation
        ]

    def galleries(self, sets: Sequence[CaptionSet]) -> list[Gallery]:
        """Return the held-out photos for the exported towers, captions as long as these take them."""
        return [
            Gallery(
                each.name,
                each.validation,
                tokenize(captions_of(each.validation), self.text_base.tokenizer, self.text_base.max_tokens),
            )
            for each in sets
            if each.validation
        ]

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Return the tokens of texts as training cuts them."""
        return tokenize(texts, self.text_base.tokenizer, self.config.train_tokens)

    def _maps(self, sets: Sequence[Sequence[CaptionedPhoto]], views: int, alike: bool) -> list[Maps]:
        wanted = Views(self.photo_base.side, views, self.config.seed, alike)
        return feature_maps(self.model.photo, sets, wanted, self.progress, self.cache)


def _sampled(maps: Maps) -> Tensor:
    step = max(1, len(maps) // _SAMPLED_PHOTOS)
    return torch.stack([maps[row] for row in range(0, len(maps), step)][:_SAMPLED_PHOTOS])

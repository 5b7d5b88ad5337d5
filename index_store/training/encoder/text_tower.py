"""`train_texts`: a better text tower for an encoder whose photo tower stays, in four steps run in order.

1. The embeddings of all photos, by the encoder's own photo tower.
2. The pooled features of all texts, by the teacher's trunk and by the encoder's own.
3. The teacher's heads, and what they make of all texts.
4. The text tower, by distillation and contrast; then the export of it alone.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from index_store.encoders.cards import (
    CARD_FILE,
    PARAMETERS,
    PHOTO_FILE,
    TEXT_FILE,
    TOKENIZER_FILE,
    WEIGHT_FILES,
    EncoderCard,
    write_card,
)
from index_store.encoders.registry import encoder_card, load_photo_encoder
from index_store.errors import DataError, PhotoError
from index_store.photos.open import open_photo
from index_store.training.data.captions import CaptionedPhoto, DataFolder
from index_store.training.encoder.bases import TextBase
from index_store.training.encoder.batches import key_table
from index_store.training.encoder.best_epoch import Keeper
from index_store.training.encoder.checkpoint import Checkpoints
from index_store.training.encoder.config import EncoderTraining
from index_store.training.encoder.datasets import CaptionSet, captions_of, digest_of, read_sets, read_validation
from index_store.training.encoder.distillation import (
    Lessons,
    TaughtTexts,
    TextGallery,
    TextLearning,
    TextTraining,
    pieces_of,
)
from index_store.training.encoder.export import export_text
from index_store.training.encoder.initialise import CHECKPOINT_FILE, load_trained
from index_store.training.encoder.model import DualModel
from index_store.training.encoder.parameters import parameter_table
from index_store.training.encoder.photo_bases import load_photo_base
from index_store.training.encoder.photo_views import Progress, tokenize
from index_store.training.encoder.prepare_captions import CaptionRules, caption_key
from index_store.training.encoder.resumable_files import in_parts
from index_store.training.encoder.teachers import PhotoTexts, pooled_features, taught, train_teacher
from index_store.training.encoder.text_bases import load_text_base
from index_store.training.encoder.train import Places, build_towers, run_training
from index_store.training.encoder.validation import exported_text_recall, owners, text_parity
from index_store.training.encoder.write_encoder import EncoderReport

_PHOTO_BATCH = 64
_PARITY_TEXTS = 200


@dataclass(frozen=True, slots=True)
class TextBases:
    """The base of the own text tower, and that of the teacher, if there is one."""

    own: TextBase
    teacher: TextBase | None


def train_texts(
    data: Sequence[DataFolder],
    output: Path,
    started_from: tuple[Path, EncoderTraining],
    teacher: TextBase | None,
    config: TextTraining,
    progress: Progress,
    places: Places = Places(),  # noqa: B008  # frozen
    rules: CaptionRules = CaptionRules(),  # noqa: B008  # frozen
    family: str = "own",
) -> EncoderReport:
    """Train the text tower of an encoder on captioned photos and write the encoder, photo tower unchanged.

    `started_from` is the encoder's folder and the configuration that it was trained by, as `choose_start` gives them.

    Raises:
        DataError: the captions or photos cannot be used.
        EncoderError: the encoder cannot be trained further; the checkpoint is of another training; or no pass was
            better than the start.
        WeightsError: a file of the encoder or the teacher is missing or damaged.
    """
    started = time.monotonic()
    folder, made = started_from
    sets = [
        _limited(each, config.most_captions) for each in read_sets(data, config.validation_share, rules, places.cache)
    ]
    measured = [*sets, *read_validation(places.validation)]
    output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    bases = TextBases(load_text_base(made.text_base), teacher)
    model = build_towers(load_photo_base(made.photo_base), bases.own, made)
    load_trained(model, folder)
    galleries = [
        _gallery(each, folder, bases.own, config, progress, places.cache) for each in measured if each.validation
    ]
    facts = {"data": digest_of(measured), "training": asdict(config), "start": encoder_card(str(folder)).fingerprint}
    checkpoints = Checkpoints(places.checkpoints, {**facts, "teacher": teacher.name if teacher else None})
    kept = checkpoints.load()
    learning = _taught(sets, folder, bases, config, generator, progress, places.cache)
    keeper = Keeper(model, galleries, kept_share=0.0)
    if kept is None:
        keeper.measure_start(model)
    training = TextLearning(model, learning, config, generator)
    run_training(training, keeper, (config.epochs, config.batch), checkpoints, progress, kept)
    keeper.put_best_into(model)
    return _write(model, encoder_card(str(folder)), (sets, galleries), config, output, keeper, family, started)


def _limited(captions: CaptionSet, most: int) -> CaptionSet:
    training = [replace(photo, captions=photo.captions[:most]) for photo in captions.training]
    return replace(captions, training=training)


def _taught(
    sets: Sequence[CaptionSet],
    folder: Path,
    bases: TextBases,
    config: TextTraining,
    generator: torch.Generator,
    progress: Progress,
    cache: Path | None,
) -> TaughtTexts:
    """Return what the text tower learns from; the teacher is trained on the way."""
    photos = [photo for each in sets for photo in each.training]
    captions = captions_of(photos)
    first_text = torch.tensor([0, *(len(photo.captions) for photo in photos)]).cumsum(dim=0)
    keys: dict[str, int] = {}
    text_keys = [keys.setdefault(caption_key(caption), len(keys)) for caption in captions]
    data = PhotoTexts(
        photos=torch.cat([photo_rows(each.training, folder, progress, cache) for each in sets]),
        sizes=[len(each.training) for each in sets],
        weights=[each.weight for each in sets],
        first_text=first_text,
        text_keys=torch.tensor(text_keys),
        photo_keys=key_table(text_keys, first_text),
    )
    return TaughtTexts(
        data=data,
        texts=tokenize(captions, bases.own.tokenizer, config.train_tokens),
        lessons=_lessons(captions, data, bases, config, generator, progress, cache) if bases.teacher else None,
        mask_token=bases.own.mask_token,
        special_tokens=bases.own.special_tokens,
    )


def _lessons(
    captions: Sequence[str],
    data: PhotoTexts,
    bases: TextBases,
    config: TextTraining,
    generator: torch.Generator,
    progress: Progress,
    cache: Path | None,
) -> Lessons:
    """Train a teacher on the photos, and let it read all captions and pieces of them."""
    texts = sorted(set(captions))
    place = {text: row for row, text in enumerate(texts)}
    pieces = sorted(set(pieces_of(texts, config.seed)) - place.keys())
    trunks = [base for base in (bases.teacher, bases.own) if base]
    features, of_pieces = (
        torch.cat([pooled_features(base, each, progress, cache) for base in trunks], dim=1) for each in (texts, pieces)
    )
    rows = torch.tensor([place[caption] for caption in captions])
    teacher = train_teacher(features[rows], data, config.teacher, generator, progress)
    return Lessons(
        text_rows=taught(teacher, features)[rows],
        pieces=tokenize(pieces, bases.own.tokenizer, config.train_tokens),
        piece_rows=taught(teacher, of_pieces),
    )


def _gallery(
    captions: CaptionSet, folder: Path, base: TextBase, config: TextTraining, progress: Progress, cache: Path | None
) -> TextGallery:
    photos = captions.validation
    tokens = tokenize(captions_of(photos), base.tokenizer, base.max_tokens)
    return TextGallery(photo_rows(photos, folder, progress, cache), tokens, owners(photos), captions.name)


def photo_rows(photos: Sequence[CaptionedPhoto], folder: Path, progress: Progress, cache: Path | None) -> Tensor:
    """Return the embeddings of photos by the encoder in a folder, as indexing makes them, kept in `cache`."""
    encoder = load_photo_encoder(str(folder))
    digest = sha256(encoder_card(str(folder)).fingerprint.encode())
    for photo in photos:
        digest.update(f"{photo.path.resolve()} {photo.path.stat().st_size}\n".encode())

    def opened(photo: CaptionedPhoto) -> NDArray[Any]:
        try:
            return open_photo(str(photo.path), encoder.photo_input).pixels
        except PhotoError as error:
            raise DataError(f"{photo.path}: {error}") from error

    def make(start: int) -> Iterator[NDArray[Any]]:
        with ThreadPoolExecutor(max_workers=2) as pool:
            for first in range(start, len(photos), _PHOTO_BATCH):
                chosen = photos[first : first + _PHOTO_BATCH]
                progress(first + len(chosen), len(photos), f"photos of {photos[0].path.parent.parent.name}, embedded")
                yield encoder.encode_photos(list(pool.map(opened, chosen)))

    file = cache / f"photos-{digest.hexdigest()[:32]}.npy" if cache else None
    return torch.from_numpy(in_parts(file, len(photos), make).copy())


def _write(
    model: DualModel,
    card: EncoderCard,
    seen: tuple[Sequence[CaptionSet], Sequence[TextGallery]],
    config: TextTraining,
    output: Path,
    keeper: Keeper,
    family: str,
    started: float,
) -> EncoderReport:
    """Export the text tower, measure the exported file, and put it next to the unchanged photo tower."""
    sets, galleries = seen
    before = json.loads((card.folder / CARD_FILE).read_text(encoding="utf-8"))
    photos = [photo for each in sets for photo in each.training]
    with tempfile.TemporaryDirectory(dir=output.parent) as scratch:
        folder = Path(scratch)
        export_text(model.text.eval(), folder / TEXT_FILE)
        for name in (PHOTO_FILE, TOKENIZER_FILE):
            shutil.copyfile(card.folder / name, folder / name)
        recalls = [
            exported_text_recall(folder, each.photos, each.captions, each.owner, keeper.best_epoch, each.data)
            for each in galleries
        ]
        examples = [photo.captions[0] for photo in photos[:: max(1, len(photos) // _PARITY_TEXTS)]]
        agreement = text_parity(model, tokenize(examples, card.folder / TOKENIZER_FILE, card.max_tokens), folder)
        facts = {
            **{key: value for key, value in before.items() if key not in _OWN_FACTS},
            "validation": asdict(recalls[0]) if recalls else None,
            "validation_of_others": [asdict(recall) for recall in recalls[1:]],
            "parity_cosine": {**before["parity_cosine"], "text": agreement},
            "text_training": {
                **asdict(config),
                "photo_tower_of": card.name,
                "sets": {each.name: {"photos": len(each.training), "weight": each.weight} for each in sets},
                "curve": [asdict(point) for point in keeper.curve],
            },
            PARAMETERS: {
                **before[PARAMETERS],
                TEXT_FILE: parameter_table(folder / TEXT_FILE, model.text.state_dict()),
            },
        }
        made = write_card(folder, family, facts)
        torch.save({"photo": model.photo.state_dict(), "text": model.text.state_dict()}, folder / CHECKPOINT_FILE)
        for name in (*WEIGHT_FILES, CHECKPOINT_FILE, CARD_FILE):  # the card last: it vouches for the others
            shutil.move(folder / name, output / name)
    seconds, captions = time.monotonic() - started, len(captions_of(photos))
    curve = tuple(keeper.curve)
    return EncoderReport(made.name, output, len(photos), captions, seconds, curve, tuple(recalls), {"text": agreement})


_OWN_FACTS = frozenset({"schema", "name", "fingerprint", "file_bytes", PARAMETERS})

"""Read and write `card.json`, which says what an encoder's folder holds; standard library only."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from index_store.errors import DataError, EncoderError, WeightsError
from index_store.records import PhotoInput
from index_store.user_text import read_user_text

if TYPE_CHECKING:
    from index_store.encoders.protocols import Pixels

CARD_FILE = "card.json"
TEXT_FILE = "text.onnx"
PHOTO_FILE = "photo.onnx"
TOKENIZER_FILE = "tokenizer.json"
WEIGHT_FILES = (TEXT_FILE, PHOTO_FILE, TOKENIZER_FILE)

ONNX_DUAL = "onnx"
SENTENCE_CLIP = "sentence-transformers"
"""The two kinds of encoders: those that imgsearch makes, and CLIP or SigLIP models of others."""

CARD_SCHEMA = 1
PARAMETERS = "parameters"
"""The card's key for where each ONNX file keeps the parameters that training goes on from."""
_MOST_DIMENSIONS = 1 << 16
_MOST_PIXELS = 1 << 12
_MOST_TOKENS = 1 << 16
_MOST_CARD_BYTES = 1 << 24
_REPAIR = "reinstall imgsearch-cli, or make the folder again with `imgsearch train encoder`"


@dataclass(frozen=True, slots=True)
class EncoderCard:
    """What an encoder's folder says about itself.

    `name` ends in the first eight digits of the photo tower's SHA-256: it changes when the embeddings of photos do, so
    that a store stays valid when the text tower alone is trained again. `fingerprint` is a SHA-256 over all weight
    files. `file_bytes` maps each weight file to its size. `kind` says what opens the files.
    """

    name: str
    fingerprint: str
    dimension: int
    photo_input: PhotoInput
    max_tokens: int
    folder: Path
    file_bytes: Mapping[str, int]
    kind: str = ONNX_DUAL

    @property
    def towers(self) -> str:
        """The name of both towers together: what is learned from embeddings of texts belongs to it."""
        return f"{self.name}.{self.fingerprint[:8]}"


class CardHolder:
    """What an opened encoder, or a half of one, knows of itself from its card."""

    def __init__(self, card: EncoderCard) -> None:
        self._card = card

    @property
    def name(self) -> str:
        """The encoder's name with its fingerprint."""
        return self._card.name

    @property
    def dimension(self) -> int:
        """The length of an embedding."""
        return self._card.dimension

    @property
    def photo_input(self) -> PhotoInput:
        """How photos are to be prepared; what a model's own processor does comes after that."""
        return self._card.photo_input

    def check_photos(self, photos: Sequence[Pixels]) -> None:
        """Raise an EncoderError where a photo does not have the shape and type of a square of `photo_input`."""
        wanted = (self.photo_input.side, self.photo_input.side, 3)
        for index, photo in enumerate(photos):
            if photo.shape != wanted or photo.dtype.name != "uint8":
                raise EncoderError(
                    f"photo {index} is {photo.dtype} of shape {photo.shape}: {self.name} wants uint8 of shape {wanted}"
                )


def read_card(folder: Path) -> EncoderCard:
    """Read the card in `folder`.

    Raises:
        WeightsError: there is no card, or it is not one that this version understands.
    """
    try:
        found = (folder / CARD_FILE).stat()
    except OSError:  # reading it says why
        return _read_card(folder)
    return _read_known_card(folder, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)


@lru_cache(maxsize=8)
def _read_known_card(folder: Path, *_state: int) -> EncoderCard:
    """Read a card once for each state of its file: a query asks for it nine times."""
    return _read_card(folder)


def _read_card(folder: Path) -> EncoderCard:
    path = folder / CARD_FILE
    try:
        content = json.loads(read_user_text(path, most_bytes=_MOST_CARD_BYTES))
        if content["schema"] != CARD_SCHEMA:
            raise WeightsError(f"{path}: schema {content['schema']} is not {CARD_SCHEMA}, the one this version reads")
        side = _within(content["photo_input"], "side", _MOST_PIXELS)
        return EncoderCard(
            name=str(content["name"]),
            fingerprint=str(content["fingerprint"]),
            dimension=_within(content, "dimension", _MOST_DIMENSIONS),
            photo_input=PhotoInput(side, bool(content["photo_input"]["squash"])),
            max_tokens=_within(content, "max_tokens", _MOST_TOKENS),
            folder=folder,
            file_bytes={name: int(content["file_bytes"][name]) for name in WEIGHT_FILES},
        )
    except DataError as error:
        raise WeightsError(f"{path}: no encoder's card can be read here; {_REPAIR}") from error
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise WeightsError(f"{path}: is damaged ({type(error).__name__}: {error}); {_REPAIR}") from error


def _within(content: Mapping[str, Any], key: str, most: int) -> int:
    """Return a whole number from 1 to `most`: what a card says decides how much memory is asked for."""
    value = content[key]
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise ValueError(f"{key} is no whole number from 1 to {most}")
    return value


def weight_file(card: EncoderCard, name: str) -> Path:
    """Return the path of one of the encoder's files once its size is what the card says.

    Raises:
        WeightsError: the file is missing or was cut short.
    """
    path = card.folder / name
    try:
        found = path.stat()
    except OSError as error:
        raise WeightsError(f"{path}: is missing; {_REPAIR}") from error
    if not stat.S_ISREG(found.st_mode):  # to open a pipe would wait for its writer
        raise WeightsError(f"{path}: is no plain file; {_REPAIR}")
    size = found.st_size
    if size != card.file_bytes[name]:
        raise WeightsError(f"{path}: has {size:,} bytes, its card says {card.file_bytes[name]:,}; {_REPAIR}")
    return path


def fingerprint(folder: Path) -> str:
    """Return the SHA-256 over the weight files in `folder`, in the order of `WEIGHT_FILES`, as hexadecimal digits."""
    digest = hashlib.sha256()
    for name in WEIGHT_FILES:
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


def write_card(folder: Path, family: str, facts: Mapping[str, object]) -> EncoderCard:
    """Write the card of the weight files in `folder`, and return it as it will be read.

    `family` is the first part of the name, the photo tower's digits are the second; `facts` holds `dimension`,
    `photo_input`, `max_tokens` and whatever else is worth telling: data, configuration, metrics.
    """
    photo_tower = hashlib.sha256((folder / PHOTO_FILE).read_bytes()).hexdigest()
    content = {
        "schema": CARD_SCHEMA,
        "name": f"{family}-{photo_tower[:8]}",
        "fingerprint": fingerprint(folder),
        "file_bytes": {name: (folder / name).stat().st_size for name in WEIGHT_FILES},
        **facts,
    }
    (folder / CARD_FILE).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return read_card(folder)

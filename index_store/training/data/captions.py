"""Read photos with their captions: a folder that holds `captions.tsv` and the photos it names.

Standard library only, so that a bad table is refused before anything heavy is loaded.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from index_store.errors import DataError

CAPTIONS_FILE = "captions.tsv"
PHOTO_FOLDER = "images"
IMAGE_COLUMN, CAPTION_COLUMN, SOURCE_COLUMN = "image", "caption", "source"
UNDER_AGE_COLUMN = "under16"
_NAMED_PROBLEMS = 5


@dataclass(frozen=True, slots=True)
class CaptionedPhoto:
    """A photo and what people wrote about it, at least one caption; `source` is where the table says it comes from."""

    path: Path
    captions: tuple[str, ...]
    source: str = ""

    @property
    def image(self) -> str:
        """The name that the table gives it."""
        return self.path.name


@dataclass(frozen=True, slots=True)
class DataFolder:
    """A folder to train on, its share of each batch against the other folders', and the share of it held out.

    `held_out` is None where the training's own setting decides.
    """

    folder: Path
    weight: float = 1.0
    held_out: float | None = None


def parse_data(text: str) -> DataFolder:
    """Read `DATA[:WEIGHT[:HELD_OUT]]`; a folder whose own name ends so is taken as a folder.

    Raises:
        DataError: the weight is not above 0, or the share is not in [0, 1).
    """
    numbers: list[float] = []
    folder = text
    while len(numbers) < 2 and not Path(folder).is_dir() and ":" in folder:
        before, _, last = folder.rpartition(":")
        try:
            numbers.insert(0, float(last))
        except ValueError:
            break
        folder = before
    weight = numbers[0] if numbers else 1.0
    share = numbers[1] if len(numbers) > 1 else None
    if not 0 < weight < float("inf"):
        raise DataError(f"{text}: the weight {weight:g} is not above 0; write DATA:2, for example")
    if share is not None and not 0 <= share < 1:
        raise DataError(f"{text}: the share to hold out, {share:g}, is not in [0, 1); write DATA:1:0.1, for example")
    return DataFolder(Path(folder), weight, share)


def read_under_age(table: Path) -> frozenset[str]:
    """Return the photos that a table of labels calls `yes` in its column `under16`: the ends of their paths.

    Raises:
        DataError: the table cannot be read, or has no such columns.
    """
    rows = _rows(table, (IMAGE_COLUMN, UNDER_AGE_COLUMN))
    return frozenset(image for _, (image, label) in rows if image and label == "yes")


def is_named(photo: Path, ends: frozenset[str]) -> bool:
    """Return whether one of `ends` is the end of a photo's path, whole parts of it."""
    parts = photo.parts
    return any("/".join(parts[-length:]) in ends for length in range(1, len(parts) + 1))


def read_captions(folder: Path) -> list[CaptionedPhoto]:
    """Read the photos of `captions.tsv`, in the order of their names.

    The table is separated by tabs and has the columns `image` and `caption`, one row a caption, and perhaps `source`;
    others are passed over. The photos lie in `images/` in the table's folder, or in that folder itself.

    Raises:
        DataError: the table or photos that it names are missing, or rows are incomplete; all problems in one line.
    """
    table = folder / CAPTIONS_FILE
    photos = folder / PHOTO_FOLDER if (folder / PHOTO_FOLDER).is_dir() else folder
    captions: dict[str, list[str]] = {}
    sources: dict[str, str] = {}
    problems: list[str] = []
    for line, (image, caption, source) in _rows(table, (IMAGE_COLUMN, CAPTION_COLUMN), (SOURCE_COLUMN,)):
        if not image or not caption:
            problems.append(f"line {line} has no {IMAGE_COLUMN if not image else CAPTION_COLUMN}")
        else:
            captions.setdefault(image, []).append(caption)
            sources[image] = source
    problems += [f"{image} is not in {photos}" for image in sorted(captions) if not (photos / image).is_file()]
    if problems:
        raise DataError(f"{table}: {_joined(problems)}")
    if not captions:
        raise DataError(f"{table}: has no captions below its header")
    return [CaptionedPhoto(photos / image, tuple(captions[image]), sources[image]) for image in sorted(captions)]


def _rows(table: Path, needed: Sequence[str], welcome: Sequence[str] = ()) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield line number and the wanted cells of each row that is not blank; a `welcome` column may be missing."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            # captions hold stray quotes, which mean nothing here
            reader = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            header = next(reader, [])
            places = [_column(table, header, name) for name in needed]
            places += [header.index(name) if name in header else len(header) for name in welcome]
            for row in reader:
                if row:
                    cells = [*row[: len(header)], *[""] * (len(header) - len(row)), ""]
                    yield reader.line_num, tuple(cells[place].strip() for place in places)
    except OSError as error:
        raise DataError(f"{table}: cannot be read ({(error.strerror or 'unknown').lower()})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{table}: is not UTF-8 at byte {error.start}") from error
    except csv.Error as error:
        raise DataError(f"{table}: is no table ({error})") from error


def _column(table: Path, header: Sequence[str], name: str) -> int:
    if name not in header:
        found = ", ".join(header) or "nothing"
        raise DataError(f"{table}:1: has no column {name!r}; found {found}; separate columns by tabs")
    return header.index(name)


def _joined(problems: Sequence[str]) -> str:
    named = "; ".join(problems[:_NAMED_PROBLEMS])
    more = len(problems) - _NAMED_PROBLEMS
    return f"{named}; and {more} more" if more > 0 else named


def held_out(image: str, share: float) -> bool:
    """Return whether a photo belongs to the validation part: a fixed hash of its name, so the part never moves.

    `share` in [0, 1] is the expected share of photos that do; a larger share holds all of a smaller one.
    """
    first = int(hashlib.sha256(image.encode()).hexdigest()[:8], 16)
    return first / 2**32 < share

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
IMAGE_COLUMN, CAPTION_COLUMN = "image", "caption"
_NAMED_PROBLEMS = 5


@dataclass(frozen=True, slots=True)
class CaptionedPhoto:
    """A photo and what people wrote about it, at least one caption."""

    path: Path
    captions: tuple[str, ...]

    @property
    def image(self) -> str:
        """The name that the table gives it."""
        return self.path.name


def read_captions(folder: Path) -> list[CaptionedPhoto]:
    """Read the photos of `captions.tsv`, in the order of their names.

    The table is separated by tabs and has the columns `image` and `caption`, one row a caption; others are passed
    over. The photos lie in `images/` beside it, or directly beside it.

    Raises:
        DataError: the table or photos that it names are missing, or rows are incomplete; all problems in one line.
    """
    table = folder / CAPTIONS_FILE
    photos = folder / PHOTO_FOLDER if (folder / PHOTO_FOLDER).is_dir() else folder
    captions: dict[str, list[str]] = {}
    problems: list[str] = []
    for line, image, caption in _rows(table):
        if not image or not caption:
            problems.append(f"line {line} has no {IMAGE_COLUMN if not image else CAPTION_COLUMN}")
        else:
            captions.setdefault(image, []).append(caption)
    problems += [f"{image} is not in {photos}" for image in sorted(captions) if not (photos / image).is_file()]
    if problems:
        raise DataError(f"{table}: {_joined(problems)}")
    if not captions:
        raise DataError(f"{table}: has no captions below its header")
    return [CaptionedPhoto(photos / image, tuple(captions[image])) for image in sorted(captions)]


def _rows(table: Path) -> Iterator[tuple[int, str, str]]:
    """Yield line number, image and caption of each row that is not blank."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            # captions hold stray quotes, which mean nothing here
            reader = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            header = next(reader, [])
            image, caption = _column(table, header, IMAGE_COLUMN), _column(table, header, CAPTION_COLUMN)
            for row in reader:
                if row:
                    cells = [*row, *[""] * (len(header) - len(row))]
                    yield reader.line_num, cells[image].strip(), cells[caption].strip()
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
    """Tell whether a photo belongs to the validation part: a fixed hash of its name, so the part never moves.

    `share` in [0, 1] is the expected share of photos that do; a larger share holds all of a smaller one.
    """
    first = int(hashlib.sha256(image.encode()).hexdigest()[:8], 16)
    return first / 2**32 < share

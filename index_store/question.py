"""What can be asked of a store: a text, photos, what to keep away from, filters; standard library only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date

from index_store.errors import UsageError


@dataclass(frozen=True, slots=True)
class Filters:
    """Which photos may be found; what is empty lets all pass.

    `folders` are absolute paths: a file of the photo lies below one of them. `after` is the first day, `before` the day
    after the last one, by `StoredPhoto.day`. `camera` is a part of maker and model, in any case; `shape` is `landscape`
    or `portrait`.
    """

    folders: tuple[str, ...] = ()
    after: date | None = None
    before: date | None = None
    camera: str = ""
    shape: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a text, photos to be like, texts to keep away from, filters, and how much is wanted.

    A photo of `like` is the path of a file, indexed or not, or the content of one. `k` photos are shown, of the `pool`
    nearest, with a score of at least `min_score` in [0, 1]: None is the reranker's own threshold for a text, and none
    where photos are given, whose scores are similarities. `language` is that of the texts: `auto`, `en`, `other`, or a
    code such as `de`; None is what the searcher takes.
    """

    text: str = ""
    like: tuple[str | bytes, ...] = ()
    away: tuple[str, ...] = ()
    filters: Filters = Filters()
    k: int = 10
    pool: int = 100
    min_score: float | None = None
    language: str | None = None

    def with_photos(self, photos: Iterable[str | bytes]) -> Question:
        """Return the same question with these photos in place of its own."""
        return replace(self, like=tuple(photos))


def first_day(text: str) -> date:
    """Return the first day of a year, a month or a day: 2021, 2021-06, 2021-06-14.

    Raises:
        UsageError: the text is none of them.
    """
    parts = text.strip().split("-")
    try:
        if len(parts) > 3 or not all(part.isascii() and part.isdigit() for part in parts) or len(parts[0]) != 4:
            raise ValueError
        return date(*[*map(int, parts), 1, 1][:3])
    except ValueError as error:
        raise UsageError(f"{text!r} is no date; write 2021, 2021-06 or 2021-06-14") from error

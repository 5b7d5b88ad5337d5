"""What the page can ask for: searches, facts, pictures; all is decided by the library at the moment of asking."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from starlette.datastructures import QueryParams

from imgsearch_cli.render import match_rows
from imgsearch_cli.serve.dropped import DroppedPhotos
from imgsearch_cli.serve.photo_ids import PhotoIds
from index_store.encoders.languages.choice import ENGLISH, NAMES
from index_store.encoders.languages.reader import OtherLanguages
from index_store.errors import UsageError
from index_store.paths import expanded
from index_store.photos.file_system import absolute
from index_store.photos.thumbnails import LARGE_SIDE, SMALL_SIDE, Thumbnails
from index_store.queries.ask import Searcher
from index_store.queries.live import LiveSearcher
from index_store.question import Filters, Question, first_day
from index_store.records import Answer, Match, StoredPhoto

POOL = 300
"""Candidates of a search from the page; the same for each part of it, so that photos keep their ranks."""

MOST_AT_ONCE = 100
_MOST_VALUES = 16
_GONE = "is not there any more; search again"


class SearchApi:
    """One store as the page sees it."""

    def __init__(self, live: LiveSearcher, thumbnails: Thumbnails) -> None:
        """Take what answers and what makes pictures."""
        self._live = live
        self._thumbnails = thumbnails
        self._ids = PhotoIds()
        self._dropped = DroppedPhotos()

    def overview(self) -> dict[str, Any]:
        """Return the number of photos, the indexed folders that are there, and the languages that can be chosen."""
        with self._live.use() as searcher:
            # a root may be a photo itself, and withheld
            roots = [
                root.path for root in searcher.store.roots() if root.path.isprintable() and os.path.isdir(root.path)
            ]
            others = [(code, NAMES[code]) for code in OtherLanguages().towers() if code in NAMES]
            languages = [(ENGLISH, "English"), *others] if others else []
            return {"photos": searcher.store.count(), "folders": roots, "languages": languages}

    def search(self, asked: QueryParams) -> dict[str, Any]:
        """Answer a search; the parameters are described in docs/serve.md.

        Raises:
            UsageError: a parameter is not understood.
            ImgsearchError: the store, the policy or a model cannot be used.
        """
        after, count = _number(asked, "after_rank", 0, 0, 10_000), _number(asked, "k", 10, 1, MOST_AT_ONCE)
        with self._live.use() as searcher:
            question = self._question(searcher, asked)
            answer = searcher.ask(replace(question, k=min(after + count, POOL), pool=POOL))
        return self._answered(answer, after, count)

    def drop(self, content: bytes) -> dict[str, Any]:
        """Take a photo to search by; where the policy withholds it, the notice is all, and nothing of it is kept."""
        with self._live.use() as searcher:
            answer = searcher.ask(Question(like=(content,), k=1))
        if answer.refused:
            return {"withheld": True, "notice": answer.notice}
        return {"withheld": False, "like": self._dropped.keep(content)}

    def facts(self, photo_id: str) -> dict[str, Any] | None:
        """Return what is known of a photo; None where it may not be shown, or is not there."""
        photo = self._shown(photo_id)
        if photo is None:
            return None
        path = next(filter(os.path.lexists, photo.paths), photo.image_id)
        return {
            "id": photo_id,
            "image_id": path,
            "copies": [other for other in photo.paths if other != path],
            "width": photo.width,
            "height": photo.height,
            "day": photo.day.isoformat(),
            "dated_by_file": photo.dated_by_file,
            "camera": photo.camera,
        }

    def picture(self, photo_id: str, *, large: bool = False) -> bytes | None:
        """Return a JPEG of a photo; None where it may not be shown, or no file holds it any more.

        Raises:
            DecoderError: no decoder can be started.
        """
        photo = self._shown(photo_id)
        if photo is None:
            return None
        return self._thumbnails.jpeg(photo.content_hash, photo.paths, LARGE_SIDE if large else SMALL_SIDE)

    def _shown(self, photo_id: str) -> StoredPhoto | None:
        content = self._ids.content_of(photo_id)
        if content is None:
            return None
        with self._live.use() as searcher:
            photo = searcher.shown_photo(content)
        if photo is None:
            self._thumbnails.forget(content)
        return photo

    def _question(self, searcher: Searcher, asked: QueryParams) -> Question:
        filters = Filters(
            folders=tuple(absolute(expanded(folder)) for folder in _values(asked, "in")),
            after=first_day(asked["after"]) if asked.get("after") else None,
            before=first_day(asked["before"]) if asked.get("before") else None,
            camera=asked.get("camera", ""),
            shape=asked.get("shape", ""),
        )
        like = tuple(self._given(searcher, photo_id) for photo_id in _values(asked, "like"))
        least = asked.get("min_score")
        return Question(
            asked.get("q", ""),
            like=like,
            away=tuple(_values(asked, "not")),
            filters=filters,
            min_score=None if not least else _fraction(least),
            language=asked.get("language") or None,
        )

    def _given(self, searcher: Searcher, photo_id: str) -> str | bytes:
        """Return the photo that an id of `like` names."""
        if self._dropped.names(photo_id):
            kept = self._dropped.get(photo_id)
            if kept is None:
                raise UsageError("the photo that was dropped is no longer kept; drop it again")
            return kept
        content = self._ids.content_of(photo_id)
        photo = None if content is None else searcher.shown_photo(content)
        if photo is None:
            raise UsageError(f"the photo {_GONE}")
        return next(filter(os.path.lexists, photo.paths), photo.image_id)

    def _answered(self, answer: Answer, after: int, count: int) -> dict[str, Any]:
        if answer.refused:
            return {"query": answer.query, "withheld": True, "notice": answer.notice}
        part = [match for match in answer.matches if match.rank > after]
        more = sum(not match.withheld for match in answer.matches) >= min(after + count, POOL) < POOL
        return {
            "query": answer.query,
            "withheld": False,
            "matches": self._rows(answer, part),
            "nearest": self._rows(answer, answer.nearest),
            "more": more,
            "reason": answer.reason,
            "warnings": list(answer.warnings),
        }

    def _rows(self, answer: Answer, matches: Sequence[Match]) -> list[dict[str, Any]]:
        ids = {match.image_id: self._ids.of(match.content_hash) for match in matches if match.image_id is not None}
        rows = match_rows(replace(answer, matches=tuple(matches)))
        return [row if row["withheld"] else row | {"id": ids[str(row["image_id"])]} for row in rows]


def _values(asked: QueryParams, name: str) -> list[str]:
    values = [value for value in asked.getlist(name) if value]
    if len(values) > _MOST_VALUES:
        raise UsageError(f"{name} is given {len(values)} times; {_MOST_VALUES} are taken at most")
    return values


def _number(asked: QueryParams, name: str, default: int, least: int, most: int) -> int:
    text = asked.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise UsageError(f"{name} is {text!r}; it must be a number between {least} and {most}")
    return int(text)


def _fraction(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"min_score is {text!r}; scores lie between 0 and 1") from error

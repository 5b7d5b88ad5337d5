"""An answer as a contact sheet in HTML that needs nothing besides: pictures as data, the notice where it stands."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader

from index_store.errors import UsageError, os_reason
from index_store.paths import is_address
from index_store.photos.thumbnails import SMALL_SIDE, Thumbnails
from index_store.records import Answer, Match
from index_store.user_text import open_without_waiting

_TEMPLATES = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
_OURS = b'<meta name="generator" content="imgsearch">'
_HEAD_BYTES = 400


def sheet(answer: Answer) -> str:
    """Return an answer as a part of an HTML page, as a notebook shows it.

    Raises:
        DecoderError: no decoder can be started.
    """
    return _rendered("sheet.html", answer)


def write_page(answer: Answer, path: str) -> None:
    """Write an answer as a page of its own; only a page that was written so is replaced.

    Raises:
        UsageError: the file is something else, or cannot be written.
        DecoderError: no decoder can be started.
    """
    try:
        _refuse_other_files(path)
        content = _rendered("page.html", answer).encode("utf-8", "replace")
        with open(path, "wb", opener=_private) as file:
            file.write(content)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {os_reason(error)}") from error


def _refuse_other_files(path: str) -> None:
    if not os.path.lexists(path):
        return
    with open(path, "rb", opener=open_without_waiting) as file:
        head = file.read(_HEAD_BYTES) if os.path.isfile(path) else b"?"
    if head and _OURS not in head:
        raise UsageError(f"{path}: is there already and is no page of imgsearch; name another file")


def _private(path: str, flags: int) -> int:
    """Open a file for its owner alone: it holds pictures of his photos."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o600)


def _rendered(template: str, answer: Answer) -> str:
    shown = [match for match in (*answer.matches, *answer.nearest) if not match.withheld]
    groups = [(withheld, list(each)) for withheld, each in groupby(answer.matches, lambda match: match.withheld)]
    return _TEMPLATES.get_template(template).render(
        answer=answer, groups=groups, pictures=_pictures(shown), name=os.path.basename, link=_link, shown=_shown
    )


def _pictures(matches: Iterable[Match]) -> dict[str, str]:
    thumbnails = Thumbnails()
    try:
        found = {match.content_hash: thumbnails.jpeg(match.content_hash, match.paths, SMALL_SIDE) for match in matches}
    finally:
        thumbnails.close()
    return {content: base64.b64encode(jpeg or b"").decode() for content, jpeg in found.items()}


def _link(path: str) -> str:
    """Return the link to a photo, "" for one in object storage: no browser opens s3://."""
    return "" if is_address(path) else "file://" + quote(os.fsencode(path))


def _shown(text: str) -> str:
    """Return a text as a page may have it: bytes that are no UTF-8 as marks, and nothing that turns the writing."""
    whole = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in whole)

"""Answer many queries, one a line: texts or JSON objects in, one answer or one error for each line out, in order."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from queue import Empty, Queue
from threading import Thread
from typing import Any, BinaryIO, NoReturn

from index_store.errors import UsageError
from index_store.queries.ask import Searcher
from index_store.question import Question
from index_store.records import Answer

_AT_ONCE = 192
"""Queries that are answered together, where so many lines have come."""

MAX_LINE_BYTES = 1 << 17
"""The longest line: as much as Linux passes to a program as one argument."""

_SKIPPED_AT_ONCE = 1 << 16
_SHOWN = 40
"""Characters of a wrong value that an error repeats."""


@dataclass(frozen=True, slots=True)
class BatchError:
    """A line that cannot be answered, by its number from 1, and why."""

    line: int
    error: str


_Line = tuple[int, Question | UsageError]
_Read = _Line | BaseException | None
"""A line that was read, why no more can be, or None at the end."""


def bounded_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file; of one that is too long only the first `MAX_LINE_BYTES` + 1 bytes.

    A byte-order mark of UTF-8 is passed over.

    Raises:
        UsageError: the file is UTF-16 or UTF-32.
    """
    first = True
    while line := file.readline(MAX_LINE_BYTES + 1):
        if first and line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)):
            name = getattr(file, "name", "")
            what = name if isinstance(name, str) and name else "the batch"
            raise UsageError(f"{what}: is UTF-16 or UTF-32 text; save it as UTF-8")
        rest = line
        while rest and not rest.endswith(b"\n") and len(line) > MAX_LINE_BYTES:
            rest = file.readline(_SKIPPED_AT_ONCE)
        yield line.removeprefix(codecs.BOM_UTF8) if first else line
        first = False


def answer_lines(
    lines: Iterable[str | bytes], searcher: Searcher, defaults: Question | None = None
) -> Iterator[Answer | BatchError]:
    """Yield an answer or an error for each line as it comes; blank lines are passed over.

    A line is a text, or a JSON object with `query` and perhaps `k`, `pool`, `min_score` and `language`; all else,
    filters among it, is as in `defaults`. Models are loaded once.
    Only a line's own mistakes become errors; what concerns all queries, such as a missing store, is raised.
    """
    waiting: Queue[_Read] = Queue(_AT_ONCE)

    def read() -> None:
        # in a thread of its own, so that an answer goes out while the next line is still waited for
        try:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    waiting.put((number, _question_of(line, defaults or Question())))
            waiting.put(None)
        except BaseException as error:  # raised where the answers are read
            waiting.put(error)

    Thread(target=read, daemon=True).start()
    while True:
        block, end = _next_block(waiting)
        answers = searcher.ask_all([each for _, each in block if isinstance(each, Question)]) if block else []
        for number, asked in block:
            answer = answers.pop(0) if isinstance(asked, Question) else asked
            yield BatchError(number, str(answer)) if isinstance(answer, UsageError) else answer
        if isinstance(end, BaseException):
            raise end
        if end is None:
            return


def _next_block(waiting: Queue[_Read]) -> tuple[list[_Line], BaseException | bool | None]:
    """Wait for a line, and take those that have come meanwhile; and what ends them, True where nothing does."""
    block: list[_Line] = []
    while len(block) < _AT_ONCE:
        try:
            read = waiting.get(block=not block)
        except Empty:
            break
        if not isinstance(read, tuple):
            return block, read
        block.append(read)
    return block, True


def _question_of(line: str | bytes, defaults: Question) -> Question | UsageError:
    try:
        return _read_request(line, defaults)
    except UsageError as error:
        return error


def _read_request(line: str | bytes, defaults: Question) -> Question:
    text = _text_of(line)
    if not text.startswith("{"):
        return replace(defaults, text=text)
    fields = _read_object(text)
    known = ("query", "k", "pool", "min_score", "language")
    unknown = sorted(set(fields) - set(known))
    if unknown:
        raise UsageError(f"has unknown keys: {_cut(', '.join(unknown))} (known: {', '.join(known)})")
    if "query" not in fields:
        raise UsageError("has no query")
    if not isinstance(fields["query"], str):
        raise UsageError(f"query is {_shown(fields['query'])}, which is no text")
    return replace(
        defaults,
        text=fields["query"],
        k=_whole_number(fields, "k", defaults.k),
        pool=_whole_number(fields, "pool", defaults.pool),
        min_score=_number(fields, "min_score") if "min_score" in fields else defaults.min_score,
        language=_language(fields, defaults.language),
    )


def _text_of(line: str | bytes) -> str:
    """Return a line without the white space around it, or say why it is no line of text."""
    if len(line) > MAX_LINE_BYTES:
        raise UsageError(f"is longer than {MAX_LINE_BYTES:,} bytes")
    try:
        text = line.decode() if isinstance(line, bytes) else line
    except UnicodeDecodeError as error:
        raise UsageError(f"is no UTF-8 text (byte {error.start + 1})") from error
    if "\0" in text:
        raise UsageError("holds a NUL character; save the queries as UTF-8 text")
    return text.strip()


def _read_object(text: str) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise UsageError(f"is no JSON object: {error.msg} (character {error.pos + 1})") from error
    except ValueError as error:
        raise UsageError(f"is no JSON object: {_cut(str(error))}") from error
    except RecursionError as error:
        raise UsageError("is no JSON object that can be read: it is nested too deeply") from error
    return fields


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _language(fields: dict[str, Any], default: str | None) -> str | None:
    language = fields.get("language", default)
    if language is not None and not isinstance(language, str):
        raise UsageError(f"language is {_shown(language)}, which is no text")
    return language


def _whole_number(fields: dict[str, Any], name: str, default: int) -> int:
    """Return a field as an integer; other programs write 2 as 2.0."""
    if name not in fields:
        return default
    value = _number(fields, name)
    if isinstance(value, float) and not value.is_integer():
        raise UsageError(f"{name} is {_shown(value)}, which is no whole number")
    return int(value)


def _number(fields: dict[str, Any], name: str) -> int | float:
    value = fields[name]
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise UsageError(f"{name} is {_shown(value)}, which is no number")
    if abs(value) > 1e300:  # 1e400 is read as infinite, and whole numbers can have thousands of digits
        raise UsageError(f"{name} is {'more' if value > 0 else 'less'} than any number that is accepted")
    return value


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return _cut(json.dumps(value, ensure_ascii=False))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"

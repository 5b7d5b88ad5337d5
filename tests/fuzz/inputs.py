"""What people and programs hand over: policies, ignore files, batch lines, tables of other tools."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

from index_store.compliance.policy import SHIPPED_POLICY, load_policy
from index_store.errors import ImgsearchError, PolicyError, StoreError, UsageError
from index_store.photos.find import find_photos
from index_store.queries.ask import Searcher
from index_store.queries.batch import BatchError, answer_lines, bounded_lines
from index_store.question import Question
from index_store.records import FindOptions
from tests.fuzz.fuzzing import FaultFound, Target
from tests.fuzz.mutating import HOSTILE, bytes_changed
from tests.fuzz.stores import paint

_PATTERNS = (
    "*.jpg",
    "!a.png",
    "#no",
    "**/b",
    "a*a*a*a*a*a*a*a*b",
    "[",
    "[!",
    "[a-",
    "\\",
    "{a,b}",
    "/",
    "**",
    "a/**/b/",
    " ",
)
_LINES = (
    '{"query": "a cat"}',
    '{"query": "a cat", "k": 2.0}',
    "a dog",
    '{"query": "\\ud800"}',
    '{"k": 1}',
    "[1]",
    "{}",
)


class Inputs(Target):
    """Policy files, ignore files and batches with changed bytes, values and patterns."""

    name = "inputs"

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        self._policy = SHIPPED_POLICY.read_bytes()
        self._asked = _Asking(str(scratch))

    def make(self, chance: Random, folder: Path) -> None:
        kind = chance.choice(("policy.toml", "ignore", "batch"))
        maker = {"policy.toml": self._policy_text, "ignore": _ignore_text, "batch": _batch_text}[kind]
        content = maker(chance)
        (folder / kind).write_bytes(bytes_changed(content, chance, 3) if chance.random() < 0.5 else content)

    def check(self, folder: Path) -> None:
        path = next(iter(folder.iterdir()))
        try:
            {"policy.toml": self._check_policy, "ignore": self._check_ignore, "batch": self._check_batch}[path.name](
                path
            )
        except FaultFound:
            raise
        except Exception as error:
            raise FaultFound(f"{path.name}: {type(error).__name__}: {error}") from error

    def _policy_text(self, chance: Random) -> bytes:
        lines = self._policy.splitlines()
        at = chance.randrange(len(lines))
        name, equals, _ = lines[at].partition(b" = ")
        if equals and chance.random() < 0.8:
            value = json.dumps(chance.choice(HOSTILE)).encode("utf-8", "surrogatepass")
            lines[at] = name + equals + value
        else:
            lines[at : at + chance.randrange(3)] = [chance.choice((b"", b"[x]", b"[[x]]", lines[at], b"x.y.z = 1"))]
        return b"\n".join(lines)

    def _check_policy(self, path: Path) -> None:
        try:
            load_policy(path)
        except PolicyError as error:
            _check_line(path, str(error))

    def _check_ignore(self, path: Path) -> None:
        root = path.parent / "root"
        (root / "a" / "b").mkdir(parents=True)
        paint(root / "a" / "a.png", 1)
        (root / "a" / ("a" * 200 + ".png")).write_bytes((root / "a" / "a.png").read_bytes())
        path.rename(root / "a" / ".imgsearchignore")
        found = find_photos(str(root), FindOptions())
        for skipped in found.skipped:
            _check_line(path, skipped.reason)

    def _check_batch(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                for answer in answer_lines(bounded_lines(file), self._asked):
                    if isinstance(answer, BatchError):
                        _check_line(path, answer.error)
        except UsageError as error:
            _check_line(path, str(error))


class _Asking(Searcher):
    """Answers nothing, but looks at numbers and texts as a searcher does."""

    def ask(self, query: str, **options: object) -> object:  # type: ignore[override]
        try:
            return super().ask(query, **options)  # type: ignore[arg-type]
        except ImgsearchError as error:
            if isinstance(error, UsageError):
                raise
            return error  # there is no store

    def ask_all(self, questions: Sequence[Question]) -> list[object]:  # type: ignore[override]
        try:
            return list(super().ask_all(questions))
        except StoreError as error:
            return [error] * len(questions)


def _ignore_text(chance: Random) -> bytes:
    lines = [chance.choice((*_PATTERNS, "".join(chance.choices("*?[]!\\/a{},#-.\u00e9 ", k=12)))) for _ in range(20)]
    mark = chance.choice(("", "", "\ufeff"))
    return (mark + chance.choice(("\n", "\r\n", "\r")).join(lines)).encode(chance.choice(("utf-8", "utf-8", "utf-16")))


def _batch_text(chance: Random) -> bytes:
    def line() -> str:
        if chance.random() < 0.5:
            return chance.choice(_LINES)
        return json.dumps(
            {chance.choice(("query", "k", "pool", "min_score", "x")): chance.choice(HOSTILE), "query": "x"}
        )

    return "\n".join(line() for _ in range(chance.randint(1, 6))).encode("utf-8", "surrogatepass")


def _check_line(path: Path, line: str) -> None:
    if "\n" in line or len(line) > 2000 or "Traceback" in line:
        raise FaultFound(f"{path.name}: its error is not one line: {line[:300]!r}")

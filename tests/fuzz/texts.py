"""Texts against the rule for texts: no exception, linear time, one normal form, and what is checked is encoded."""

from __future__ import annotations

import csv
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import NoReturn

from index_store.compliance.normalising import MAX_CHARACTERS, normalise
from index_store.compliance.policy import load_policy
from index_store.compliance.texts import TextRule, TextVerdict
from index_store.encoders.languages.head import LanguageEncoder
from index_store.encoders.onnx_dual import OnnxTextEncoder
from index_store.encoders.registry import encoder_card
from index_store.errors import UsageError
from index_store.queries.ask import Searcher
from index_store.store.manifest import Manifest
from tests.fuzz.fuzzing import FaultFound, Target

try:
    from tests.index_store.compliance.edits import KINDS, edited
except ImportError:  # a checkout without them
    KINDS = ()

DATA = Path(__file__).parents[1] / "data"
SECONDS_PER_CHARACTER = 1e-3
SECONDS = 5.0
"""What any text may take, after the first, which loads a model; and so much more for each of its characters."""

_BLOCKS = (
    *((0x20, 0x7F), (0x80, 0x250), (0x250, 0x370), (0x370, 0x600), (0x600, 0x900), (0x900, 0x1100), (0x1100, 0x1200)),
    *((0x2000, 0x2070), (0x20D0, 0x2150), (0x2460, 0x2500), (0x3000, 0x3200), (0xAC00, 0xAD00), (0xD800, 0xE000)),
    *((0xE000, 0xE010), (0xFB00, 0xFB50), (0xFE00, 0xFFF0), (0x1D400, 0x1D800), (0x1F100, 0x1F650), (0xE0000, 0xE01F0)),
)
_WHOLE = (
    "boy's ",
    "-",
    "'",
    "a-",
    "1 ",
    "girl4",
    "g\u0300",
    "\u200d",
    "(",
    "the boy's bike ",
    "kid ",
    "y",
    "1-",
    ". ",
    "a.",
)


class Texts(Target):
    """Captions, policy words and letters of all alphabets, mixed, doubled and cut."""

    name = "texts"

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        self._rule = TextRule(load_policy())
        with (DATA / "phrases.tsv").open(encoding="utf-8") as file:
            self._captions = [row["text"] for row in csv.DictReader(file, delimiter="\t") if row["text"]]
        self._words = sorted(self._rule.senses)
        self._names = re.compile(rf"\b(?:{'|'.join(map(re.escape, self._words))})\b")
        self._seen: list[tuple[str, str]] = []
        self._kept = TextRule.check, OnnxTextEncoder.encode_texts, LanguageEncoder.encode_texts
        self._searcher = self._recording_searcher()
        self._rule.check("a boy on a swing")

    def make(self, chance: Random, folder: Path) -> None:
        (folder / "text").write_bytes(self._text(chance).encode("utf-8", "surrogatepass"))

    def _text(self, chance: Random) -> str:
        text = chance.choice((*self._captions, *self._words))
        match chance.randrange(6):
            case 0:
                text = chance.choice(_WHOLE) * chance.choice((*[50] * 8, 300, MAX_CHARACTERS))
            case 1:
                text = "".join(_letter(chance) for _ in range(chance.choice((5, 20, 20, 50, 50, 50, 500))))
            case 2 if KINDS:
                text = edited(chance.choice(KINDS), text, self._names, chance)
        for _ in range(chance.randrange(6)):
            at = chance.randrange(len(text) + 1)
            put_in = chance.choice(
                (_letter(chance), _letter(chance) * 3, chance.choice(self._words), chance.choice(_WHOLE))
            )
            text = text[:at] + put_in + text[at + chance.randrange(3) :]
        return text

    def check(self, folder: Path) -> None:
        text = (folder / "text").read_bytes().decode("utf-8", "surrogatepass")
        try:
            self._check_normal_form(text)
            self._check_verdict(text)
            self._check_what_is_encoded(text)
        except FaultFound:
            raise
        except Exception as error:
            raise FaultFound(f"{text[:100]!r}: {type(error).__name__}: {error}") from error

    def _check_normal_form(self, text: str) -> None:
        once = normalise(text).text
        if normalise(once).text != once:
            raise FaultFound(
                f"{text[:100]!r}: normalised twice it is {normalise(once).text[:100]!r}, once {once[:100]!r}"
            )
        if len(once) > MAX_CHARACTERS or once != " ".join(once.split()) or not once.isprintable():
            raise FaultFound(f"{text[:100]!r}: is normalised to {once[:100]!r}, {len(once)} characters")

    def _check_verdict(self, text: str) -> None:
        started = time.process_time()
        verdict = self._rule.check(text)
        seconds = time.process_time() - started
        if seconds > SECONDS + SECONDS_PER_CHARACTER * min(len(text), MAX_CHARACTERS):
            raise FaultFound(f"{text[:60]!r} ({len(text)} characters): judged in {seconds:.1f} s")
        again = self._rule.check(normalise(text).text)
        if again.withheld != verdict.withheld:
            raise FaultFound(f"{text[:100]!r}: normalised first it is judged {again}, else {verdict}")

    def close(self) -> None:
        TextRule.check, OnnxTextEncoder.encode_texts, LanguageEncoder.encode_texts = self._kept  # type: ignore[method-assign]

    def _check_what_is_encoded(self, text: str) -> None:
        """Ask a searcher: the text that it encodes must be the one that it checked, in its normal form."""
        self._seen.clear()
        with suppress(_Asked, UsageError):
            self._searcher.ask(text)
        encoded = [seen for what, seen in self._seen if what == "encoded"]
        checked = [normalise(seen).text for what, seen in self._seen if what == "checked"]
        for seen in encoded:
            if seen not in checked:
                raise FaultFound(f"{text[:60]!r}: {seen[:60]!r} is encoded, and {checked[0][:60]!r} was checked")

    def _recording_searcher(self) -> Searcher:
        """Return a searcher over nothing, that tells which texts are checked and which are encoded."""
        seen, check = self._seen, TextRule.check

        def recording_check(rule: TextRule, text: str) -> TextVerdict:
            seen.append(("checked", text))
            return check(rule, text)

        def encode(encoder: OnnxTextEncoder | LanguageEncoder, texts: Sequence[str]) -> NoReturn:
            seen.extend(("encoded", text) for text in texts)
            raise _Asked

        TextRule.check = recording_check  # type: ignore[method-assign]
        OnnxTextEncoder.encode_texts = encode  # type: ignore[method-assign,assignment]
        LanguageEncoder.encode_texts = encode  # type: ignore[method-assign,assignment]
        searcher = Searcher(str(self.scratch))
        card = encoder_card()
        searcher._opened.__dict__["store"] = SimpleNamespace(manifest=Manifest(card.name, card.dimension))
        return searcher


class _Asked(Exception):
    """A query came as far as the encoder."""


def _letter(chance: Random) -> str:
    return chr(chance.randrange(*chance.choice(_BLOCKS)))

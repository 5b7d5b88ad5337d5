"""Find words for a child in odd spelling in other languages than English: "mdächen", "k1nd", "д.е.т.е.й".

Real words one letter away from one ("пальчик", "Märchen") are in `real_words.txt`, which says where they are from.
Asked only about texts that the multilingual tower reads: English has many more words. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from index_store.compliance.latin_ages import age_words, find_latin_age
from index_store.compliance.normalising import in_cyrillic
from index_store.compliance.reading import WORD, join_letters, plain
from index_store.compliance.spelling import Spelling
from index_store.encoders.languages.choice import is_whole

if TYPE_CHECKING:
    from index_store.compliance.policy import Policy

REAL_WORDS = Path(__file__).with_name("real_words.txt")
_SHORTEST = 4
_CHUNK = re.compile(r"[^\s\"'(),.;:?&/_=~-]+")


class ForeignSpelling:
    """The words for a child of all languages that a policy lists, and what is made of them by a slip or on purpose."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def find(self, written: str) -> str | None:
        """Return the reason for withholding a normalised text, without its harmless phrases, else None."""
        joined = join_letters(plain(written), dict.fromkeys(self._forms))
        odd = next((f"{odd!r} for {meant!r}, a child" for odd, meant in self._meant(written, joined)), None)
        return odd or self._odd_age(joined)

    def _meant(self, written: str, joined: str) -> Iterator[tuple[str, str]]:
        apart = set(WORD.findall(plain(written)))
        yield from ((word, word) for word in apart & self._shared if _is_foreign_but_for(word, apart))
        yield from ((word, word) for word in WORD.findall(joined) if word in self._forms and word not in apart)
        for chunk in _CHUNK.findall(joined):
            if chunk in self._forms or chunk in self._real:
                continue
            meant = self._mended(chunk)
            if meant is not None:
                yield chunk, meant

    def _mended(self, chunk: str) -> str | None:
        if chunk.isascii() and chunk.isalpha():
            return self._slip(chunk)
        cyrillic = in_cyrillic(chunk)  # "сынs", in which some letters were taken for Latin ones
        slip = self._slip(cyrillic) if chunk.isalpha() and cyrillic != chunk else None
        return slip or self._spelling.disguised(chunk, among_latin=True) or self._slip(chunk)

    def _slip(self, word: str) -> str | None:
        if not word.isalpha():
            return None
        if word[-1] in "zs" and word[:-1] in self._forms:
            return word[:-1]
        return self._spelling.drawn_out(word) or self._spelling.meant(word)

    def _odd_age(self, joined: str) -> str | None:
        """Return the reason where an age is written in odd spelling: "zehnjähr1ger", "de sieteee años"."""
        words = [self._as_age(chunk) for chunk in joined.split()]
        mended = " ".join(words)
        return None if mended == joined else find_latin_age(mended, self._things, self._policy.age_limit)

    def _as_age(self, word: str) -> str:
        spelling = self._ages
        if word in self._age_words or word.isdigit():
            return word
        if word.isalpha() and word.isascii():
            return spelling.drawn_out(word) or spelling.meant(word) or self._without_z(word)
        return spelling.disguised(word, among_latin=True) or word

    def _without_z(self, word: str) -> str:
        return word[:-1] if word.endswith("z") and word[:-1] in self._age_words else word

    @cached_property
    def _age_words(self) -> frozenset[str]:
        return age_words()

    @cached_property
    def _ages(self) -> Spelling:
        return Spelling(self._age_words, (), shortest=_SHORTEST + 1, short=self._age_words)

    @cached_property
    def _things(self) -> frozenset[str]:
        return frozenset(plain(thing) for each in self._policy.languages for thing in each.things)

    @cached_property
    def _shared(self) -> frozenset[str]:
        return frozenset(word for each in self._policy.languages for word in each.shared)

    @cached_property
    def _forms(self) -> frozenset[str]:
        listed = {plain(word) for each in self._policy.languages for word in each.words if word[0].islower()}
        return frozenset(word for word in listed | self._policy.russian.forms if len(word) >= _SHORTEST - 1)

    @cached_property
    def _spelling(self) -> Spelling:
        forms = {form for form in self._forms if form.isalpha() and len(form) >= _SHORTEST}
        return Spelling(forms, self._real, short=[form for form in forms if len(form) == _SHORTEST])

    @cached_property
    def _real(self) -> frozenset[str]:
        words = {each for each in REAL_WORDS.read_text(encoding="utf-8").split("\n") if not each.startswith("#")}
        harmless = {plain(word) for each in self._policy.languages for word in (*each.markers, *each.false_friends)}
        capitals = {plain(word) for each in self._policy.languages for word in each.words if word[0].isupper()}
        return frozenset(words | harmless | capitals | self._policy.russian.harmless | self._policy.russian.animals)


def _is_foreign_but_for(word: str, words: Collection[str]) -> bool:
    """Return whether less than half of the other words are English, so that "kind" among them means a child."""
    others = set(words) - {word}
    return 2 * sum(map(is_whole, others)) < len(others) or not others

"""Tell which listed word an odd one means: misspelled, with letters doubled, or with digits and signs for letters.

Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from index_store.compliance.normalising import is_latin

_MEANT_BY = {
    **dict(zip("013456789", ("oо", "ilил", "eез", "aач", "s", "gб", "t", "bв", "g"), strict=True)),
    **dict(zip("@$!|€£¥+(*", ("aа", "sс", "ilил", "il", "e", "l", "y", "tт", "cс", "aeiouаеиоуыя"), strict=True)),
    # Greek and Cyrillic letters that stand for another Latin one than they look like most
    **dict(
        zip(
            "αβεζικορςτχωσλδμπφυγην",
            [*"abezikopstxw", "os", "l", "d", "um", "np", "f", "uy", "yg", "hn", "vn"],
            strict=True,
        )
    ),
    **dict(zip("ибдлпгзсвуя", ("iun", "b", "d", "l", "pn", "gr", "z", "sc", "bv", "uy", "r"), strict=True)),
    **dict(zip("еоакмтнр", ("e", "o", "a", "k", "m", "t", "hn", "pr"), strict=True)),
}
"""Which letters a sign can stand for."""

_RUNS = re.compile(r"(.)\1+")
_LONGEST = 24
"""No listed word is longer; longer ones are passed over, so that the time stays linear."""


class Spelling:
    """Known word forms, and which of them a misspelled word means.

    Only forms of at least `shortest` letters, and those in `short`, are found: one letter wrong, missing, too many,
    or two swapped.
    """

    def __init__(
        self, forms: Iterable[str], correct: Iterable[str], shortest: int = 5, short: Iterable[str] = ()
    ) -> None:
        self._correct = frozenset(correct)
        self._all = frozenset(forms)
        chosen = frozenset(short) & self._all
        self._forms = sorted(form for form in self._all if form in chosen or (len(form) >= shortest and form.isalpha()))
        self._one_less = {form[:place] + form[place + 1 :] for form in self._forms for place in range(len(form))}
        self._one_less.update(self._forms)
        self._by_length: dict[int, list[str]] = {}
        for form in sorted(self._all):
            self._by_length.setdefault(len(form), []).append(form)
        self._shortest = min(map(len, self._forms), default=shortest)

    def meant(self, word: str) -> str | None:
        """Return the listed form that an unknown word misspells, or None."""
        if not max(4, self._shortest - 1) <= len(word) <= _LONGEST or word in self._correct:
            return None
        if self._one_less.isdisjoint(_one_less(word)):
            return None
        return next((form for form in self._forms if one_letter_apart(word, form)), None)

    def drawn_out(self, word: str) -> str | None:
        """Return the form meant by "babyyyyy", "giiirls" or "boyss", or None."""
        if word in self._correct or not _RUNS.search(word):
            return None
        runs = [match.group() for match in re.finditer(r"(.)\1*", word)]
        if len(runs) > _LONGEST:
            return None
        return next((form for form in _shortened(runs) if form in self._all), None)

    def disguised(self, word: str, among_latin: bool = False) -> str | None:
        """Return the form meant by "k1ds", "b0ys", "b@by" or "gιяl", or None; at least half must be Latin letters.

        `among_latin`: the text is written in Latin letters, so that a word of none ("βογ") is a disguise too.
        """
        if not 3 <= len(word) <= _LONGEST:
            return None
        plain = sum(letter.isalpha() and (among_latin or is_latin(letter)) for letter in word)
        if plain < len(word) / 2 or (word.isascii() and word.isalpha()):
            return None
        return next((form for form in self._by_length.get(len(word), ()) if _can_mean(word, form)), None)


def _can_mean(word: str, form: str) -> bool:
    return all(letter == meant or meant in _MEANT_BY.get(letter, "") for letter, meant in zip(word, form, strict=True))


def _shortened(runs: list[str]) -> Iterator[str]:
    """Yield the word with each run cut to one letter, to two where it has more, and with one run alone left double."""
    single = [run[0] for run in runs]
    yield "".join(single)
    yield "".join(run[:2] for run in runs)
    for place, run in enumerate(runs):
        if len(run) > 1:
            yield "".join([*single[:place], run[:2], *single[place + 1 :]])


def _one_less(word: str) -> set[str]:
    return {word, *(word[:place] + word[place + 1 :] for place in range(len(word)))}


def one_letter_apart(left: str, right: str) -> bool:
    """Return whether one letter wrong, missing, too many, or one swap of neighbours turns one word into the other."""
    if abs(len(left) - len(right)) > 1 or left == right:
        return False
    start = 0
    while start < min(len(left), len(right)) and left[start] == right[start]:
        start += 1
    left, right = left[start:], right[start:]
    swapped = left[:2] == right[1::-1] and left[2:] == right[2:] and len(left) > 1
    return left[1:] == right[1:] or left[1:] == right or left == right[1:] or swapped


SHORT = frozenset(("girl", "boys", "kids", "baby", "teen"))
"""Words of four letters that are so common that their misspellings are listed words too."""

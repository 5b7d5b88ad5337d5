"""Bring a text into the plain form that the rule for texts reads: case, Unicode look-alikes, hyphens, misspellings.

Standard library only.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
"""A word: letters of any alphabet, with at most one apostrophe inside."""

_CYRILLIC_LOOKALIKES = str.maketrans("асеорхукіѕіјһԁтмнв", "aceopxykisijhdtmhb")
_APOSTROPHES = str.maketrans("‘’ʼ`´‐‑‒–—−", "'''''------")
_SPACED_LETTERS = re.compile(r"(?<!\w)(?:[^\W\d_][ .*_-]){3,}[^\W\d_](?!\w)")
_SHORTENED_YEARS = re.compile(r"\b(\d{1,3})\s*-?\s*(?:y/o|yo|y\.o\.?|yrs?[ .-]+old|yr[ -]olds?)(?!\w)")


def plain(text: str) -> str:
    """Return the text in lower case with Unicode variants, look-alike letters and spaced letters resolved."""
    text = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES)
    if not text.isascii():
        text = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")
        text = re.sub(r"\w+", lambda word: _one_alphabet(word.group()), text.lower())
    text = _SPACED_LETTERS.sub(lambda run: re.sub(r"[ .*_-]", "", run.group()), text.lower())
    return _SHORTENED_YEARS.sub(r"\1 year old", text)


def _one_alphabet(word: str) -> str:
    """Return a Latin word without accents and without Cyrillic letters; a Russian word with е for ё."""
    latin = any("a" <= letter <= "z" for letter in word)
    if not latin:
        return word.replace("ё", "е").replace("й", "й")
    decomposed = unicodedata.normalize("NFD", word.translate(_CYRILLIC_LOOKALIKES))
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


class Spelling:
    """Known word forms, and which of them a misspelled word means.

    Only forms of at least `shortest` letters are found, with one letter wrong, missing, too many, or two swapped.
    """

    def __init__(self, forms: Iterable[str], correct: Iterable[str], shortest: int = 5) -> None:
        self._correct = frozenset(correct)
        self._forms = [form for form in forms if len(form) >= shortest and form.isalpha()]
        self._one_less = {form[:place] + form[place + 1 :] for form in self._forms for place in range(len(form))}
        self._one_less.update(self._forms)
        self._shortest = shortest

    def meant(self, word: str) -> str | None:
        """Return the listed form that an unknown word misspells, or None."""
        if len(word) < self._shortest - 1 or word in self._correct or self._one_less.isdisjoint(_one_less(word)):
            return None
        return next((form for form in sorted(self._forms) if one_letter_apart(word, form)), None)


def _one_less(word: str) -> set[str]:
    return {word, *(word[:place] + word[place + 1 :] for place in range(len(word)))}


def one_letter_apart(left: str, right: str) -> bool:
    """Tell whether one letter wrong, missing, too many, or one swap of neighbours turns one word into the other."""
    if abs(len(left) - len(right)) > 1 or left == right:
        return False
    start = 0
    while start < min(len(left), len(right)) and left[start] == right[start]:
        start += 1
    left, right = left[start:], right[start:]
    swapped = left[:2] == right[1::-1] and left[2:] == right[2:] and len(left) > 1
    return left[1:] == right[1:] or left[1:] == right or left == right[1:] or swapped


def join_hyphens(text: str, forms: Mapping[str, object]) -> str:
    """Return the text with "pre-teen" and "new-born" as one word where that word is listed."""

    def joined(match: re.Match[str]) -> str:
        word = match.group().replace("-", "")
        return word if word in forms else match.group()

    return re.sub(r"[^\W\d_]+(?:-[^\W\d_]+)+", joined, text)

"""Read a normalised text as the rule for texts does: lower case, no accents, words split where a tokenizer splits them.

Standard library only.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cache, lru_cache

from index_store.compliance.normalising import is_foreign_mark

WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
"""A word: letters of any alphabet, with at most one apostrophe inside."""

_APOSTROPHES = str.maketrans("‘’ʼ`´′‐‑‒–—−", "''''''------")
_LIGATURES = str.maketrans({"ß": "ss", "æ": "ae", "œ": "oe", "þ": "th", "ё": "е", "ـ": ""})
_NAMED = r"LATIN (?:SMALL LETTER (?:DOTLESS |OPEN |SCRIPT |LONG |TURNED )?|LETTER SMALL CAPITAL )([A-Z])(?: WITH .*)?$"
_SPACED_LETTERS = re.compile(r"(?<!\w)(?:[^\W\d_][ .*_-]){2,}[^\W\d_](?!\w)")
_MOST_SPACED = 40
"""More single letters in a row are no words."""
_SHORTENED_YEARS = re.compile(r"\b(\d{1,3})\s*-?\s*(?:y/o|yo|y\.o\.?|yrs?[ .-]+old|yr[ -]olds?)(?!\w)")

_HYPHENED = re.compile(r"(?<![^\W\d_])[^\W\d_]+(?:-[^\W\d_]+)+")  # from the start of a word alone: linear
_ENDINGS = "s|t|d|m|re|ve|ll|clock"


@cache
def _splits() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Return what separates words for a tokenizer, each with what it becomes; each is one pass over the text.

    Compiling costs 2 ms, and a text of letters alone needs none.
    """
    return (
        (re.compile(r"&"), " and "),
        (re.compile(rf"'(?!(?:{_ENDINGS})\b)(?=\w)"), " "),  # "girl'dancing", but "the boy's"
        (re.compile(r"(?<![\w])'|(?<!s)'(?!\w)"), " "),  # quotation marks, but "the boys' bikes"
        (re.compile(r"(?<!\w)-+|-+(?!\w)|-{2,}"), " "),  # "-girl-", but "kid-friendly"
        (re.compile(r"([,.;:!?()\[\]\"])(?=[^\W\d])"), r"\1 "),  # "kids!playing"
        (re.compile(r"(?<=\w)([(\[\"])"), r" \1"),
        (re.compile(r"[^\w\s,.;:!?()\[\]\"'½%$€£@|-]|_"), " "),  # "girls+dancing", "child_on_swing", "boy/dog"
        (re.compile(r"(?<=\d)-?(?!(?:st|nd|rd|th|s|year|month|week|day)s?\b)(?=[^\W\d])"), " "),  # "2girls"
        (re.compile(r"(?<=[^\W\d])(?<!\bu)(?=\d)"), " "),  # "girl4life", but "u12"
        (re.compile(r"(?<=[^\W\d])(?<!\bunder)(?<!\bu)-(?=\d)"), " "),
    )


def plain(text: str) -> str:
    """Return a normalised text in lower case, without accents, and with ages written out."""
    text = text.lower().translate(_APOSTROPHES)
    if not text.isascii():
        text = _without_accents(text)
    return _SHORTENED_YEARS.sub(r"\1 year old", text)


def join_letters(text: str, forms: Mapping[str, object]) -> str:
    """Return the text with "c h i l d" as one word: a listed one, or any of four letters and more."""

    def joined(match: re.Match[str]) -> str:
        word = re.sub(r"[ .*_-]", "", match.group())
        if len(word) > _MOST_SPACED:
            return word
        places = ((start, end) for start in range(len(word)) for end in range(len(word), start + 2, -1))
        found = next(((start, end) for start, end in places if word[start:end] in forms), None)
        if found is None:
            return word if len(word) > 3 else match.group()
        return " ".join(filter(None, (word[: found[0]], word[slice(*found)], word[found[1] :])))

    return _SPACED_LETTERS.sub(joined, text)


def split_words(text: str) -> str:
    """Return a plain text in which whatever separates words for a tokenizer separates them by a space."""
    if text.replace(" ", "").isalpha():
        return text
    for pattern, replacement in _splits():
        text = pattern.sub(replacement, text)
    return " ".join(text.split())


def _without_accents(text: str) -> str:
    # й is a letter of its own and no и with an accent
    parts = "й".join(unicodedata.normalize("NFKD", part) for part in unicodedata.normalize("NFC", text).split("й"))
    kept: list[str] = []
    base = ""
    for letter in parts.translate(_LIGATURES):
        if unicodedata.category(letter)[0] != "M":
            base = letter
        elif is_foreign_mark(letter, base) or "\u064b" <= letter <= "\u0670":
            continue
        kept.append(_plain_letter(letter))
    return unicodedata.normalize("NFC", "".join(kept))


@lru_cache(maxsize=4096)
def _plain_letter(letter: str) -> str:
    if letter.isascii():
        return letter
    if letter.isdecimal():
        return str(unicodedata.decimal(letter))
    named = re.match(_NAMED, unicodedata.name(letter, ""))
    return named[1].lower() if named else letter


def join_hyphens(text: str, forms: Mapping[str, object]) -> str:
    """Return the text with "pre-teen" and "new-born" as one word where that word is listed."""

    def joined(match: re.Match[str]) -> str:
        word = match.group().replace("-", "")
        return word if word in forms else match.group()

    return _HYPHENED.sub(joined, text) if "-" in text else text

"""Bring a text, once, into the form that is checked and encoded: what a tokenizer would drop is dropped here.

The encoder's tokenizer (uncased WordPiece) leaves out control and format characters and strips accents, so it reads
words in texts in which a plain comparison of letters sees none. What `normalise` returns is the only text that the
rule reads and that is encoded. Ordinary texts keep their words: accents that a language writes stay, and so do letters
of other alphabets. Standard library only.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

MAX_CHARACTERS = 10_000
"""What is longer is cut; no encoder reads more than a few hundred words."""

_SPACES = str.maketrans("\t\n\r", "   ")
_BLANKS = frozenset("\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Letters by their category, but they show nothing."""

_TO_LATIN = str.maketrans(
    "асеорхукіѕјһԁԛԝтмнвАВЕКМНОРСТХУІЅЈ" + "αβεζικορςτυχωΑΒΕΖΗΙΚΜΝΟΡΤΥΧ" + "օսոց",
    "aceopxykisjhdqwtmhbABEKMHOPCTXYISJ" + "abezikopstuxwABEZHIKMNOPTYX" + "ounq",
)
"""Letters that look like one Latin letter; those that stand for several are left to `spelling.py`."""
_TO_CYRILLIC = str.maketrans("aceopxykmtiABCEHKMOPTXY", "асеорхукмтіАВСЕНКМОРТХУ")
_MADE_LATIN = str.maketrans("hb", "нв")
"""What `_TO_LATIN` makes of Cyrillic letters, and `_TO_CYRILLIC` does not take back."""
_LETTERS = re.compile(r"[^\W\d_]+")
_NAMED_LATIN = (
    r"(?:LATIN LETTER SMALL CAPITAL|LATIN SMALL LETTER SCRIPT|MODIFIER LETTER SMALL(?: CAPITAL)?"
    r"|NEGATIVE (?:SQUARED|CIRCLED) LATIN CAPITAL LETTER|TURNED LATIN SMALL LETTER)(?: ([A-Z]))?$"
)


class Normalised(NamedTuple):
    """A text as it is checked and encoded, and whether its end was cut off."""

    text: str
    cut: bool


def normalise(text: str) -> Normalised:
    """Return the text in compatibility form, without what shows nothing, its mixed alphabets made one; see the module.

    It is at most MAX_CHARACTERS long, and normalising it again changes nothing.
    """
    cut = len(text) > MAX_CHARACTERS
    text = text[:MAX_CHARACTERS].translate(_SPACES)
    if not (text.isascii() and text.isprintable()):
        text = _plain_unicode(text)
        cut, text = cut or len(text) > MAX_CHARACTERS, text[:MAX_CHARACTERS]
    return Normalised(" ".join(text.split()), cut)


def _plain_unicode(text: str) -> str:
    shown = "".join(map(_shown, "".join(map(_decomposed, text))))
    composed = unicodedata.normalize("NFC", shown)
    kept: list[str] = []
    base = ""
    for letter in composed:
        if unicodedata.category(letter)[0] != "M":
            base = letter
        elif is_foreign_mark(letter, base):
            continue
        kept.append(letter)
    plain = _LETTERS.sub(lambda word: _one_alphabet(word.group()), "".join(kept))
    return plain if plain == text else _plain_unicode(plain)  # a mark may stand on a Latin letter now


@lru_cache(maxsize=4096)
def _decomposed(letter: str) -> str:
    if unicodedata.decomposition(letter).startswith("<fraction>"):
        return letter  # "5½" must not become "51/2"
    return unicodedata.normalize("NFKD", letter)


@lru_cache(maxsize=4096)
def _shown(letter: str) -> str:
    """Return nothing for what shows nothing, a space for any space, the plain letter for a styled Latin one."""
    category = unicodedata.category(letter)
    if category[0] == "C" or letter in _BLANKS:
        return ""
    if category[0] == "Z" or letter == "\u2800":
        return " "
    if letter.isascii():
        return letter
    if letter == "ɑ":
        return "a"
    named = re.match(_NAMED_LATIN, unicodedata.name(letter, ""))
    return named[1].lower() if named and named[1] else letter


def is_foreign_mark(mark: str, base: str) -> bool:
    """Return whether a mark that no letter takes up means nothing: any on a European letter, general ones elsewhere."""
    return not base or base < "\u0530" or unicodedata.name(mark, "COMBINING").startswith(("COMBINING", "VARIATION"))


def _one_alphabet(word: str) -> str:
    """Return a word of mixed alphabets in Latin letters, or in Cyrillic ones where only these can write it."""
    if word.isascii() or not any(is_latin(letter) for letter in word) or all(map(is_latin, word)):
        return word
    latin = word.translate(_TO_LATIN)
    if all(map(is_latin, latin)):
        return latin
    cyrillic = word.translate(_TO_CYRILLIC)
    return latin if any(map(is_latin, cyrillic)) else cyrillic


def in_cyrillic(word: str) -> str:
    """Return a word of mixed alphabets with its Latin letters that look like Cyrillic ones as these."""
    return word.translate(_TO_CYRILLIC).translate(_MADE_LATIN)


@lru_cache(maxsize=4096)
def is_latin(letter: str) -> bool:
    """Return whether a letter belongs to the Latin alphabet."""
    return letter.isascii() or unicodedata.name(letter, "").startswith("LATIN")

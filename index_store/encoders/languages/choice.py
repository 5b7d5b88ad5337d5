"""Decide which tower reads a text, and whether its language may be searched; standard library only.

There is no detector: those that exist take hundreds of megabytes and call short English texts foreign. A text is
foreign where its letters or words are not those that the shipped tokenizer knows whole. What is wrongly called foreign
loses little: the multilingual tower reads English too. A language that was not measured to be safe is not searched.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cache, lru_cache
from pathlib import Path

from index_store.errors import UsageError

AUTO, ENGLISH, OTHER = "auto", "en", "other"

NAMES = {
    "ar": "Arabic",
    "de": "German",
    "es": "Spanish",
    "fr": "French",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ru": "Russian",
    "th": "Thai",
    "tr": "Turkish",
    "zh": "Chinese",
}
"""The languages of the multilingual tower; the head's card says which of them are searched."""

_SCRIPTS = {
    "CYRILLIC": ("ru",),
    "ARABIC": ("ar",),
    "CJK": ("zh", "ja"),
    "HIRAGANA": ("ja",),
    "KATAKANA": ("ja",),
    "HANGUL": ("ko",),
    "THAI": ("th",),
    "LATIN": ("de", "es", "fr", "it", "nl", "pl", "pt", "tr"),
}
_LETTERS = {
    "ru": "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",
    "ar": "ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىي",
    "de": "äöüß",
    "es": "áéíñóúü",
    "fr": "àâæçéèêëîïôœùûüÿ",
    "it": "àèéìíîòóùú",
    "nl": "áäéèëíïóöúü",
    "pl": "ąćęłńóśźż",
    "pt": "àáâãçéêíóôõúü",
    "tr": "çğıöşüâîû",
}
"""The letters outside ASCII of each alphabet; others mean a language that is not searched, as Ukrainian or Czech."""

_IN_ENGLISH = frozenset("éèêëïçñôâîûöü")
"""Letters outside ASCII of words that English has taken in: café, naïve, façade."""

_KNOWN_SHARE = 0.8
"""The share of words that the shipped tokenizer must know whole for a text to be English."""

_FUNCTION_WORDS_TEXT = "ein eine einem einen einer und mit auf dem beim vom zwei une avec dans deux aux est una unos"
_FUNCTION_WORDS_TEXT += " unas dos uma dois duas uno nella nel sulla sul gli della che due con"
_FUNCTION_WORDS = frozenset(_FUNCTION_WORDS_TEXT.split())
"""Small words that the tokenizer knows, and English does not."""

_FEW_WORDS = 2

_SMALL_TEXT = {
    "de": "der das den dem des ein eine einem einen einer und mit auf im ist sind beim zum zur vom aus bei vor hinter "
    "neben von uber ihr ihre ihren ihrem sein seine seinem seinen sich nach durch gegen nicht ohne wie zwei drei",
    "fr": "un une le la les des du de et au aux sur avec sous est sont qui en dans son sa ses pour par pres sans ma "
    "mon deux trois",
    "es": "un una unos unas el la los las de del y en con al por para su sus sobre que sin junto dos tres",
    "pt": "um uma os de da dos das e em na nos nas com ao aos num numa por para pelo pela seu sua que sobre sem duas",
    "it": "un una uno il lo la gli le di del della dei delle degli dello e con su sul sulla sullo sugli nel nella "
    "nello negli al alla allo agli dal dalla che per senza due tre",
}
_SMALL = {code: frozenset(text.split()) for code, text in _SMALL_TEXT.items()}
"""Small words of the searched languages that English has not; two of one language make a text foreign."""

_ENGLISH_SMALL_TEXT = "the of with at and is are to for from by an his her their on with near two or"
_ENGLISH_SMALL = frozenset(_ENGLISH_SMALL_TEXT.split())
"""With one of these, "de la" is part of a name: "the Place de la Concorde"."""

_LEAST_SMALL = 2
_ELISION = re.compile(r"(?<!\w)(?:l|d|qu|j|un|dell|all|nell|sull|dall)'(?=[^\W\d_]{2})")
"""How French and Italian join small words: "l'eau", "dell'acqua"."""

_ELSEWHERE_TEXT = "de en e y con per dos al na o sobre su tres ma sa do no pres par"
_ELSEWHERE = frozenset(_ELSEWHERE_TEXT.split())
"""Small words that Czech, Polish, Dutch or Danish have too."""
_LATIN_FUNCTION_WORDS = (_FUNCTION_WORDS | frozenset(("am", "die"))).union(*_SMALL.values()) - _ELSEWHERE
"""Small words of the searched languages, without those that Czech, Polish or Danish have too."""

_LEAST_WORDS = 3
_LEAST_KNOWN, _LEAST_KNOWN_OF_THREE = 0.5, 0.34
"""The share of words that the multilingual tower must know whole. Below it are .85 of captions in Czech without its
marks and at most .003 in German, French and Portuguese; of three words .81, and .02 to .06."""

_LONG, _MOST_ENGLISH = 3, 0.25
"""Where the shipped tokenizer knows more than a quarter of the words from three letters on, a text is English with rare
words: so 69 of 71 captions in Czech without marks are still refused, and of 1,122 English texts 4 in place of 42."""

_SIGN = re.compile("(?<![\u0370-\u03ff])[\u0370-\u03ff](?![\u0370-\u03ff])")
"""A Greek letter alone: "π day", "5 μm"."""

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")


def is_foreign(text: str) -> bool:
    """Return whether a normalised text is to be read as another language than English.

    A word or two may belong to two languages ("Strand", "chat"): the user's locale decides.
    """
    letters = [letter for letter in _SIGN.sub("", text).lower() if letter.isalpha()]
    latin = sum(_script(letter) == "LATIN" for letter in letters)
    if not letters:
        return False
    if latin * 2 < len(letters) or any(not letter.isascii() and letter not in _IN_ENGLISH for letter in letters):
        return True
    words = list(_WORD.findall(_without_accents(text.lower())))
    if (
        not _FUNCTION_WORDS.isdisjoint(words)
        or _has_small_words(text.lower(), words)
        or (len(words) <= _FEW_WORDS and _locale() in NAMES)
    ):
        return True
    return sum(map(is_whole, words)) < _KNOWN_SHARE * len(words)


def _has_small_words(text: str, words: Sequence[str]) -> bool:
    """Return whether the small words of a text, whose words `words` are, are those of one searched language."""
    if not _ENGLISH_SMALL.isdisjoint(words):
        return False
    other_signs = bool(_ELISION.search(text)) + (not text.isascii()) + (words.count("un") > 1)
    return any(
        (found := len(small.intersection(words))) and found + other_signs >= _LEAST_SMALL for small in _SMALL.values()
    )


def check_language(text: str, language: str, searched: Collection[str]) -> None:
    """Refuse a text in a language that is not searched, by what the user said or by its letters.

    `language` is a code, `other` or `auto`; `searched` are the codes of the languages that are.

    Raises:
        UsageError: nothing may be searched.
    """
    if language not in (AUTO, ENGLISH, OTHER, *searched):
        raise UsageError(f"texts in {NAMES.get(language, language)} are not searched; {_advice(searched)}")
    letters = {letter for letter in _SIGN.sub("", text).lower() if letter.isalpha() and not letter.isascii()}
    for script in sorted(set(map(_script, letters))):
        here = {letter for letter in letters if _script(letter) == script}
        if not any(_writes(code, here) for code in _SCRIPTS.get(script, ()) if code in searched):
            shown = "".join(sorted(here))[:10]
            raise UsageError(f"the letters {shown} are of a language that is not searched; {_advice(searched)}")


def is_english_with_names(text: str) -> bool:
    """Return whether a text is English but for names with foreign letters: "a Škoda car", "Dvořák on stage"."""
    words = _WORD.findall(_SIGN.sub("", text))
    names = [word for word in words if any(not each.isascii() and each not in _IN_ENGLISH for each in word)]
    others = [_without_accents(word.lower()) for word in words if word not in names]
    return (
        all(word[0].isupper() and all(_script(each) == "LATIN" for each in word if each.isalpha()) for word in names)
        and len(names) <= len(others)
        and all(map(is_whole, others))
        and _FUNCTION_WORDS.isdisjoint(others)
    )


def refuse_unknown_words(text: str, knows: Callable[[str], bool]) -> None:
    """Refuse a text in plain Latin letters most of whose words the multilingual tower does not know: "muz s psem".

    Raises:
        UsageError: it is in no language that is searched, as far as its words tell.
    """
    words = _WORD.findall(text.lower())
    small = not _LATIN_FUNCTION_WORDS.isdisjoint(words) or _ELISION.search(text.lower())
    if small or not text.isascii() or len(words) < _LEAST_WORDS:
        return
    long = [word for word in words if len(word) >= _LONG] or words
    if sum(map(is_whole, long)) > _MOST_ENGLISH * len(long):
        return  # "freshly glazed doughnut"
    least = _LEAST_KNOWN_OF_THREE if len(words) == _LEAST_WORDS else _LEAST_KNOWN
    if sum(map(knows, words)) < least * len(words):
        raise UsageError(
            "the words are of a language that is not searched, or misspelt; name their language, as in --language de, "
            "or ask in English"
        )


def _writes(code: str, letters: Iterable[str]) -> bool:
    alphabet = _LETTERS.get(code)
    return alphabet is None or all(letter in alphabet for letter in letters)


def _advice(searched: Collection[str]) -> str:
    return f"ask in English or in {', '.join(NAMES[code] for code in sorted(searched)) or 'English'}"


@cache
def _script(letter: str) -> str:
    return unicodedata.name(letter, "NONE").replace("-", " ").split(" ")[0]


def _without_accents(text: str) -> str:
    """Return a text without the marks on its letters, as the shipped tokenizer reads it."""
    return "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))


def _locale() -> str:
    named = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := os.environ.get(name))), "")
    return named.partition("_")[0].partition(".")[0].lower()


@lru_cache(maxsize=4096)
def is_whole(word: str) -> bool:
    """Return whether the shipped tokenizer knows a word as one piece."""
    return all(f'"{part}":'.encode() in _vocabulary() for part in word.split("'") if part)


@cache
def _vocabulary() -> bytes:
    """Return the tokenizer's file; to look for a word's bytes in it takes less than to parse it."""
    return (Path(__file__).parents[2] / "weights" / "encoder" / "tokenizer.json").read_bytes()

"""Forty kinds of edits by which a word can be hidden from a list of words, and not from the reader or the encoder."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

GREEK = str.maketrans("abehiknoptuxyv", "αβεηικνορτυχγν")
CYRILLIC = str.maketrans("acehiokpsxyj", "асеһіокрѕхуј")
PHONETIC = str.maketrans("abdegilnory", "ɑʙᴅᴇɡɪʟɴᴏʀʏ")
KEYS = {
    "a": "s",
    "b": "v",
    "c": "x",
    "d": "f",
    "e": "r",
    "g": "h",
    "h": "j",
    "i": "o",
    "k": "l",
    "l": "k",
    "n": "m",
    "o": "p",
}


def shifted(word: str, start: int) -> str:
    """Return the word in letters of a block of Unicode that begins with a small a."""
    return "".join(chr(start + ord(c) - ord("a")) if "a" <= c <= "z" else c for c in word)


def between(mark: str) -> Callable[[str, Random], str]:
    return lambda word, chance: mark.join(word)


def inside(mark: str) -> Callable[[str, Random], str]:
    def edit(word: str, chance: Random) -> str:
        place = chance.randrange(1, len(word))
        return word[:place] + mark + word[place:]

    return edit


def for_spaces(mark: str) -> Callable[[str, Random], str]:
    return lambda text, chance: mark.join(text.split())


def swapped(word: str, chance: Random) -> str:
    if len(word) < 4:
        return word  # of three letters and one wrong, most are other words
    place = chance.randrange(len(word) - 1)
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


def dropped(word: str, chance: Random) -> str:
    if len(word) < 5:
        return word
    place = chance.randrange(1, len(word))
    return word[:place] + word[place + 1 :]


def doubled(word: str, chance: Random) -> str:
    place = chance.randrange(len(word))
    return word[:place] + word[place] + word[place:]


def mistyped(word: str, chance: Random) -> str:
    if len(word) < 4:
        return word
    place = chance.randrange(1, len(word))
    return word[:place] + KEYS.get(word[place], "s") + word[place + 1 :]


WORD_EDITS: dict[str, Callable[[str, Random], str]] = {
    "Greek letters": lambda word, chance: word.translate(GREEK),
    "Cyrillic letters": lambda word, chance: word.translate(CYRILLIC),
    "one Cyrillic letter": lambda word, chance: re.sub("[aceiop]", lambda m: m[0].translate(CYRILLIC), word, count=1),
    "phonetic letters": lambda word, chance: word.translate(PHONETIC),
    "full width": lambda word, chance: shifted(word, 0xFF41),
    "mathematical letters": lambda word, chance: shifted(word, 0x1D41A),
    "circled letters": lambda word, chance: shifted(word, 0x24D0),
    "digits for letters": lambda word, chance: word.translate(str.maketrans("oies", "0135")),
    "signs for letters": lambda word, chance: word.translate(str.maketrans("ais", "@!$")),
    "an accent on each letter": between("\u0301"),
    "a grave accent on the first letter": lambda word, chance: word[0] + "\u0300" + word[1:],
    "stacked marks": between("\u0300\u0328\u0336"),
    "a stroke overlay": between("\u0335"),
    "zero-width joiners": between("\u200d"),
    "a zero-width space": inside("\u200b"),
    "a soft hyphen": inside("\u00ad"),
    "a next-line control": inside("\u0085"),
    "a delete control": inside("\u007f"),
    "the last control": inside("\u009f"),
    "a direction override": inside("\u202e"),
    "a variation selector": inside("\ufe0f"),
    "an enclosing mark": inside("\u20dd"),
    "a foreign mark": inside("\u094d"),
    "a Hangul filler": inside("\u3164"),
    "drawn out": lambda word, chance: word + word[-1] * 4,
    "every letter double": lambda word, chance: "".join(letter * 2 for letter in word),
    "one letter double": doubled,
    "two letters swapped": swapped,
    "one letter dropped": dropped,
    "one letter mistyped": mistyped,
    "letters spaced": between(" "),
    "letters dotted": between("."),
    "hyphens around": lambda word, chance: f"-{word}-",
    "quoted and starred": lambda word, chance: f"'*{word}*'",
    "a number before": lambda word, chance: f"2{word}",
    "a number behind": lambda word, chance: f"{word}4",
    "capitals in turn": lambda word, chance: "".join(c.upper() if i % 2 else c for i, c in enumerate(word)),
    "plural in z": lambda word, chance: word.removesuffix("s") + "z",
}
"""How the words that name a child are written otherwise."""

TEXT_EDITS: dict[str, Callable[[str, Random], str]] = {
    **{
        f"{mark!r} for spaces": for_spaces(mark)
        for mark in ("+", "_", "/", "&", "!", ".", "\u2003", "\u00a0", "—", "~")
    },
    "a mark in each word": lambda text, chance: " ".join(w[0] + "\u0301" + w[1:] for w in text.split()),
    "a control in each word": lambda text, chance: " ".join(w[:1] + "\u0080" + w[1:] for w in text.split()),
    "in capitals": lambda text, chance: text.upper(),
}
"""How the whole text is written otherwise."""

KINDS = (*WORD_EDITS, *TEXT_EDITS)


def edited(kind: str, text: str, names: re.Pattern[str], chance: Random) -> str:
    """Return the text with one kind of edit; `names` finds the words that name a child."""
    if kind in TEXT_EDITS:
        return TEXT_EDITS[kind](text, chance)
    return names.sub(lambda match: WORD_EDITS[kind](match.group(), chance), text)

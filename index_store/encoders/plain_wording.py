"""Take off what changes no short text's meaning: "a dog", "the dog", "a photo of a dog." and "dog" are one query.

People mean the same by them, and a text tower does not: what it makes of "a dog" and "dog" scores up to .2 apart.
"""

from __future__ import annotations

import re

MOST_WORDS = 3
"""Of a text with more words than this nothing but "a photo of" is taken off: sentences are what the towers learned."""

_FRAME = re.compile(
    r"(?:(?:show me|find|search for) )?(?:(?:an?|the|some|any|my|all|all the) )?"
    r"(?:photo|photograph|picture|image|pic|snapshot)s? (?:of|with|showing) (?=\w)",
    re.IGNORECASE,
)
_MOST_FRAMED_WORDS = 6
"""More words after "a photo of" are no plain query: "a picture of a man hangs on a wall above a bed"."""

_ARTICLE = re.compile(r"^(?:an?|the|some|my) (?=\w)", re.IGNORECASE)
_MARKS = re.compile(r"^[#\"'“”]+|[\s.,;:!?\"'“”]+$")


def plain_wording(text: str) -> str:
    """Return a text without "a photo of"; where it is short, also without its first article and the marks around it."""
    plain = " ".join(text.split())
    framed = _FRAME.match(plain)
    if framed and len(plain[framed.end() :].split()) <= _MOST_FRAMED_WORDS:
        plain = plain[framed.end() :]
    short = _ARTICLE.sub("", _MARKS.sub("", plain), count=1)
    return short if short and len(short.split()) <= MOST_WORDS else plain

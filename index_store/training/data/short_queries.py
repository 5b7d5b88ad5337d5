"""Make short queries out of captions: things, described things and actions, as people type them, by spaCy's parse.

A `Phrase` is what a caption says in lemmas ("dog", "black dog", "dog run", "ride bike"); `wordings` turns it into the
texts that people type ("dog", "a dog", "dogs"). How well a phrase fits a photo is told by the photo's captions.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from index_store.compliance.lemmas import pipeline

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

UNSAID_WEIGHT = 0.1
"""A caption that leaves a thing unsaid counts a tenth of one that says it: people leave out most of what they see."""

BROADER_FILE = Path(__file__).with_name("broader_words.tsv")
EMPTY_FILE = Path(__file__).with_name("empty_words.tsv")
_PREPOSITIONS = frozenset({"in", "on", "at", "with", "near", "under", "over", "through", "behind", "beside"})


@cache
def empty_words() -> Mapping[str, frozenset[str]]:
    """Return, for NOUN, ADJ and VERB, the words that name nothing in a photo, from `EMPTY_FILE`."""
    lines = EMPTY_FILE.read_text(encoding="utf-8").splitlines()
    rows = (line.split("\t") for line in lines if not line.startswith("#"))
    return {kind: frozenset(words.split(", ")) for kind, words in rows}


class Phrase(NamedTuple):
    """What a caption says, in lemmas: a `thing`, with what it is like or does (`detail`), and how the two stand."""

    kind: str
    """thing, described, action, doing (subject and verb), acting_on (verb and object), or placed (thing in a place)."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sayings:
    """What captions say: for each photo the count of its captions, and how many of them say each phrase."""

    images: Sequence[str]
    captions: Sequence[int]
    said: Sequence[Mapping[Phrase, int]]
    participles: Mapping[str, str]
    """The -ing form of each verb that the captions use."""

    plurals: Mapping[str, str]
    """The plural of each noun that the captions use in it."""

    def counts(self, phrase: Phrase) -> list[int]:
        """Return how many captions of each photo say the phrase."""
        return [said.get(phrase, 0) for said in self.said]

    def take(self, places: Sequence[int]) -> Sayings:
        """Return what is said of the photos at `places` only."""
        images = [self.images[place] for place in places]
        captions = [self.captions[place] for place in places]
        return Sayings(images, captions, [self.said[place] for place in places], self.participles, self.plurals)

    def common(self, least: int, captions: int = 1) -> list[Phrase]:
        """Return the phrases that at least `captions` captions of at least `least` photos say, in order."""
        counts = Counter(phrase for said in self.said for phrase, count in said.items() if count >= captions)
        return sorted(phrase for phrase, count in counts.items() if count >= least)


def joined(parts: Sequence[Sayings]) -> Sayings:
    """Return what the captions of several sets say, one set after the other."""
    return Sayings(
        [image for part in parts for image in part.images],
        [count for part in parts for count in part.captions],
        [said for part in parts for said in part.said],
        {lemma: form for part in reversed(parts) for lemma, form in part.participles.items()},
        {lemma: form for part in reversed(parts) for lemma, form in part.plurals.items()},
    )


def relevance(said: int, captions: int) -> float:
    """Return how well a phrase fits a photo when `said` of its captions say it: said / (said + unsaid / 10).

    One caption that says it and no other is 1; one of five is .71, two of five .87, three .94; none is 0.
    """
    return said / (said + UNSAID_WEIGHT * (captions - said)) if said else 0.0


def read_sayings(photos: Sequence[tuple[str, Sequence[str]]]) -> Sayings:
    """Return what the captions of named photos say; broader words count as said (a poodle is a dog, an animal)."""
    broader = read_broader(BROADER_FILE)
    docs = iter(pipeline().pipe((caption.lower() for _, texts in photos for caption in texts), batch_size=256))
    said: list[Counter[Phrase]] = []
    participles: dict[str, Counter[str]] = defaultdict(Counter)
    plurals: dict[str, Counter[str]] = defaultdict(Counter)
    for _, texts in photos:
        counts: Counter[Phrase] = Counter()
        for _ in texts:
            doc = next(docs)
            counts.update(set(phrases_of(doc, broader)))
            for token in doc:
                if token.tag_ == "VBG":
                    participles[token.lemma_][token.text] += 1
                elif token.tag_ == "NNS" and token.text != token.lemma_:
                    plurals[token.lemma_][token.text] += 1
        said.append(counts)
    return Sayings(
        [image for image, _ in photos],
        [len(texts) for _, texts in photos],
        said,
        _commonest(participles),
        _commonest(plurals),
    )


def phrases_of(doc: Doc, broader: Mapping[str, Sequence[str]]) -> Iterator[Phrase]:
    """Yield what a caption says, repeated where it says it twice."""
    for token in doc:
        if _is_thing(token):
            yield from _of_thing(token, broader)
        elif _is_action(token):
            yield from _of_action(token, broader)


def wordings(phrase: Phrase, sayings: Sayings) -> list[str]:
    """Return the texts that people type for a phrase, the barest first; none where a verb has no known -ing form."""
    words = phrase.words
    if phrase.kind in ("thing", "described"):
        head = words[-1]
        last = head.split()[-1]
        plural = sayings.plurals.get(last)
        bare = " ".join(words)
        return [bare, f"{_article(bare)} {bare}", *([bare[: -len(last)] + plural] if plural else [])]
    if phrase.kind == "placed":
        thing, preposition, place = words
        return [f"{thing} {preposition} {place}", f"{_article(thing)} {thing} {preposition} the {place}"]
    verb = sayings.participles.get(words[1] if phrase.kind == "doing" else words[0])
    if verb is None:
        return []
    if phrase.kind == "action":
        return [verb]
    if phrase.kind == "doing":
        return [f"{words[0]} {verb}", f"{_article(words[0])} {words[0]} {verb}"]
    return [f"{verb} {words[1]}", f"{verb} {_article(words[1])} {words[1]}"]


def read_broader(path: Path) -> dict[str, tuple[str, ...]]:
    """Return for each noun the broader words that it implies: lines of `broader<tab>narrower narrower ...`."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            wide, narrow = line.split("\t")
            for word in narrow.split(", "):
                found[word].append(wide)
    return {word: tuple(dict.fromkeys(_closed(word, found))) for word in found}


def _closed(word: str, found: Mapping[str, Sequence[str]], depth: int = 4) -> Iterator[str]:
    for wide in found.get(word, ()) if depth else ():
        yield wide
        yield from _closed(wide, found, depth - 1)


def _is_thing(token: Token) -> bool:
    return token.pos_ == "NOUN" and token.text.isalpha() and len(token.text) > 1 and _names_something(token)


def _is_action(token: Token) -> bool:
    return token.pos_ == "VERB" and token.text.isalpha() and _names_something(token)


def _names_something(token: Token) -> bool:
    return token.lemma_ not in empty_words()[token.pos_]


def _of_thing(token: Token, broader: Mapping[str, Sequence[str]]) -> Iterator[Phrase]:
    names = _names(token, broader)
    for name in names:
        yield Phrase("thing", (name,))
    own = names[0]
    for child in token.children:
        if (
            child.dep_ == "amod"
            and child.pos_ == "ADJ"
            and child.text.isalpha()
            and child.lemma_ not in empty_words()["ADJ"]
        ):
            yield from (Phrase("described", (child.text, name)) for name in names if name.endswith(token.lemma_))
        if child.dep_ == "prep" and child.text in _PREPOSITIONS:
            yield from _placed(own, child)


def _of_action(token: Token, broader: Mapping[str, Sequence[str]]) -> Iterator[Phrase]:
    verb = token.lemma_
    yield Phrase("action", (verb,))
    subjects = [child for child in token.children if child.dep_ == "nsubj"]
    if token.dep_ == "acl" and token.tag_ == "VBG":
        subjects.append(token.head)
    for subject in filter(_is_thing, subjects):
        yield from (Phrase("doing", (name, verb)) for name in _names(subject, broader) if " " not in name)
    for child in token.children:
        if child.dep_ == "dobj" and _is_thing(child):
            yield from (Phrase("acting_on", (verb, name)) for name in _names(child, broader) if " " not in name)


def _placed(thing: str, preposition: Token) -> Iterator[Phrase]:
    for child in preposition.children:
        if child.dep_ == "pobj" and _is_thing(child):
            yield Phrase("placed", (thing, preposition.text, child.lemma_))


def _names(token: Token, broader: Mapping[str, Sequence[str]]) -> list[str]:
    """Return what a noun may be called: itself, with the noun before it, and broader words for each."""
    own = token.lemma_
    parts = [child.text for child in token.lefts if child.dep_ == "compound" and child.i == token.i - 1]
    compound = [f"{parts[0]} {own}"] if parts and parts[0].isalpha() else []
    names = [own, *compound]
    return list(dict.fromkeys([*names, *(wide for name in names for wide in broader.get(name, ()))]))


def _article(phrase: str) -> str:
    return "an" if phrase[:1] in "aeiou" else "a"


def _commonest(forms: Mapping[str, Counter[str]]) -> dict[str, str]:
    return {lemma: counts.most_common(1)[0][0] for lemma, counts in forms.items()}


def all_wordings(phrases: Iterable[Phrase], sayings: Sayings) -> dict[Phrase, list[str]]:
    """Return the wordings of each phrase that has any."""
    found = {phrase: wordings(phrase, sayings) for phrase in phrases}
    return {phrase: texts for phrase, texts in found.items() if texts}

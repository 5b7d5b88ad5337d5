"""Why a word for a child may be harmless in its context: "baby elephant", "no children", "the boy's bike"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from index_store.compliance.lemmas import english_verbs

if TYPE_CHECKING:
    from spacy.tokens import Token

    from index_store.compliance.texts import TextRule

_ACTS_TEXT = (
    "sitting standing walking running drinking smoking driving working sleeping playing riding jumping waiting "
    "crying swimming hiding traveling travelling shopping posing looking lying holding dancing skating climbing"
)
_ACTS = frozenset(_ACTS_TEXT.split())
"""What "a minor" does that no damage does."""
_ACTS_UPON_TEXT = (
    "buying carrying drinking eating holding kicking pulling pushing smoking stealing throwing using wearing"
)
_ACTS_UPON = frozenset(_ACTS_UPON_TEXT.split())
"""The same with an object: "a minor buying cigarettes", but "minor building damage"."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A place where the text may speak of a child: `kind` is "word", "pair", "phrase" or "age"."""

    kind: str
    token: Token
    shown: str
    sense: str


class Excuses:
    """The reasons why a mention is harmless; each method returns one, or None."""

    def __init__(self, rule: TextRule) -> None:
        self._rule = rule
        self._policy = rule.policy
        self._contexts = rule.policy.contexts

    def find(self, mention: Mention) -> str | None:
        """Return why a mention is harmless, or None where nothing says so."""
        if mention.kind == "birthday":
            return self._negated(mention.token)
        token = mention.token
        contexts = self._contexts
        if mention.kind == "age" and is_in(token, contexts.animals | contexts.things | contexts.belongings):
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
            if is_in(word, schools.harmless):
                return f"describes {word.text!r}"
        described = [*token.children, *token.doc[max(token.left_edge.i - 1, 0) : token.i]]
        return next((f"said to be {word.text}" for word in described if is_in(word, schools.empty)), None)

    def _belongs(self, token: Token) -> str | None:
        """Excuse "baby elephant", "kids menu", "the boy's bike", "kid-friendly", and "a minor problem"."""
        contexts = self._contexts
        doc, after = token.doc, token.i + 2
        if after < len(doc) and doc[token.i + 1].text == "-" and doc[after].lower_ in contexts.suffixes:
            return f"part of {doc[token.i : after + 1].text!r}"
        if (part := self._part(token)) is not None:
            return part
        owned, possessive = _owned(token)
        if owned.i == token.i:
            return None
        acting = _acts(owned) or _acts(doc[token.i + 1])
        if token.lemma_ in contexts.nouns_only and token.dep_ in ("amod", "compound") and not acting:
            return f"describes {owned.text!r}"
        if is_in(owned, contexts.animals) and not possessive and self._may_be_young(token, owned):
            their_own = token.i > 0 and doc[token.i - 1].tag_ == "PRP$" and owned.i > token.i + 1
            return None if their_own else f"describes {owned.text!r}, an animal"
        if possessive and is_in(owned, contexts.things | contexts.belongings):
            return f"owns {owned.text!r}, and need not be there"
        if token.lower_ not in contexts.not_for_things and (thing := self._thing_between(token, owned)):
            return f"describes {thing.text!r}, a thing"
        return None

    def _part(self, token: Token) -> str | None:
        """Excuse "the pupil of an eye", "the pupils of a cat", "a tot of rum"."""
        contexts = self._contexts
        wholes = [whole for child in token.children if child.lower_ == "of" for whole in child.children]
        if any(is_in(whole, contexts.parts_of) for whole in wholes):
            return "part of an eye"
        if token.lemma_ == "pupil" and any(is_in(whole, contexts.animals) for whole in wholes):
            return "part of an animal's eye"
        if token.lemma_ == "tot" and any(is_in(whole, contexts.drinks) for whole in wholes):
            return "a measure of a drink"
        return None

    def _thing_between(self, token: Token, owned: Token) -> Token | None:
        """Return the thing in "kids menu" and "baby spinach salad"; "boy red shirt" may be a boy in a shirt."""
        for word in token.doc[token.i + 1 : owned.i + 1]:
            if is_in(word, self._contexts.things):
                return word
            if word.tag_ not in ("NN", "NNS", "NNP") or word.text.endswith("ing"):
                return None
        return None

    def _meant_for(self, token: Token) -> str | None:
        """Excuse "a doll for girls"."""
        goods = self._contexts.things | self._contexts.belongings
        bare = not any(child.i < token.i for child in token.children)
        if token.dep_ == "pobj" and token.head.lower_ == "for" and bare and is_in(token.head.head, goods):
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
        if token.lower_ in ("one", "ones") and not any(is_in(word, contexts.people) for word in doc):
            return next((f"young of {word.text!r}" for word in doc if is_in(word, contexts.animals)), None)
        if token.lower_ in ("suckling", "nursing", "breastfeeding", "breastfeeds") and not any(
            is_in(word, contexts.people) for word in doc
        ):
            return next((f"done by {word.text!r}" for word in doc if is_in(word, contexts.animals)), None)
        if token.lemma_ not in contexts.young_of_animals:
            return None
        for child in token.children:
            if child.dep_ in ("compound", "poss", "amod", "nsubj") and is_in(child, contexts.animals):
                return f"young of {child.text!r}"
            if child.lower_ == "of" and any(is_in(owner, contexts.animals) for owner in child.children):
                return "young of an animal"
        before = doc[: token.i]
        animals = [word for word in before if is_in(word, contexts.animals)]
        if not animals or any(
            is_in(word, contexts.people) or word.lower_ in self._rule.senses
            for word in before
            if not _is_mother_of(word)
        ):
            return None
        owned = any(child.dep_ == "poss" and child.pos_ == "PRON" for child in token.children)
        if owned or any(_is_mother_of(word) for word in before):
            return f"young of {animals[-1].text!r}"
        return None


def is_in(token: Token, words: frozenset[str]) -> bool:
    """Return whether a token, or its lemma, is one of the words."""
    return token.lemma_ in words or token.lower_ in words


def _owned(token: Token) -> tuple[Token, bool]:
    """Return the last noun that the token describes ("team" for "girls soccer team"), and whether by an apostrophe."""
    possessive = False
    while token.dep_ in ("compound", "amod", "nmod", "poss", "npadvmod") and token.head.i > token.i:
        possessive = possessive or token.dep_ == "poss"
        token = token.head
    if token.dep_ == "nsubj" and token.head.i == token.i + 1 and token.head.lemma_ not in english_verbs():
        token = token.head  # "baby carrots in a bowl", where the parser takes carrots for a verb
    return token, possessive


def _denied(token: Token) -> bool:
    return any(child.dep_ == "neg" for ancestor in token.ancestors for child in ancestor.children) or any(
        ancestor.lower_ == "without" for ancestor in token.ancestors
    )


def _is_mother_of(word: Token) -> bool:
    return word.lower_ in ("mother", "father", "mama", "mom", "parent") and word.dep_ in ("compound", "amod", "nmod")


def _acts(word: Token) -> bool:
    """Return whether "crossing" in "minor crossing the street" is what somebody does."""
    following = word.doc[word.i + 1] if word.i + 1 < len(word.doc) else None
    return (
        word.text.endswith("ing")
        and following is not None
        and (
            following.tag_ in ("DT", "PRP$")
            or (following.tag_ in ("IN", "RP", "RB") and word.text in _ACTS)
            or word.text in _ACTS_UPON
        )
    )

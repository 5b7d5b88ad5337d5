"""Judge a query: the one function that `query`, batches, `policy check` and Python ask before anything is retrieved.

First the words (`texts.py`), which need nothing loaded; where they pass, a look at the text's embedding by the tower
that reads it, the shipped one or the multilingual one (`text_look.py`). What is judged is the normalised text, and only
that text is encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from index_store.compliance.normalising import MAX_CHARACTERS, normalise
from index_store.compliance.texts import TextRule, TextVerdict
from index_store.encoders.languages.reader import OtherLanguages

if TYPE_CHECKING:
    from index_store.compliance.policy import Policy
    from index_store.compliance.text_look import TextLook
    from index_store.records import Embedding

Embed = Callable[[str], "Embedding"]
"""Returns the vector of a text by the text tower that ships, shape (dimension,)."""

CUT = f"the text is longer than {MAX_CHARACTERS:,} characters; the rest was left out"


class Judgement(NamedTuple):
    """What was decided about a query.

    `text` is what was judged, and all that may be encoded; `embedding` is its vector, where it was made; `warning` says
    that the text was cut, or is empty; `other` that the multilingual tower made the embedding.
    """

    text: str
    withheld: bool
    reason: str
    embedding: Embedding | None = None
    warning: str = ""
    other: bool = False


class TextJudge:
    """Judges texts by a policy; several threads may ask at the same time."""

    def __init__(self, policy: Policy, languages: OtherLanguages | None = None) -> None:
        """Take the policy, and what reads texts that are not English."""
        self._policy = policy
        self._languages = languages or OtherLanguages()
        self._rule = TextRule(policy)
        self._reading = Lock()  # spaCy is not made for several threads
        self._opening = Lock()
        self._looks: dict[bool, TextLook] = {}
        self._shipped: Embed | None = None
        self._ahead: dict[str, TextVerdict] = {}

    def refused_by_words(self, texts: Iterable[str]) -> set[str]:
        """Return those of the normalised texts whose words are refused; `judge` is asked about each of them next."""
        self._ahead = {text: self._check_words(text) for text in texts}
        return {text for text, verdict in self._ahead.items() if verdict.withheld}

    def _check_words(self, text: str) -> TextVerdict:
        with self._reading:
            return self._rule.check(text)

    def judge(
        self,
        query: str,
        embed: Embed | None = None,
        embed_other: Embed | None = None,
        language: str | None = None,
    ) -> Judgement:
        """Return whether a query speaks of a person under the age limit, and the text that may be encoded.

        `embed` gives the vector of the shipped text tower; without it the tower is opened when the words pass. It is
        asked for the text itself, and where words were excused ("baby elephant") once more, for the rest. `embed_other`
        does the same for texts that are not English. `language` is the text's, by default what `languages` takes.

        Raises:
            UsageError: the text is in a language that is not searched.
            MissingExtraError: a language was named, and the extra `languages` is not installed.
            WeightsError: the tower or the look is missing, damaged, or made for another encoder.
        """
        text, cut = normalise(query)
        warning = CUT if cut else ""
        verdict = self._ahead.pop(text, None) or self._check_words(text)
        if verdict.withheld or not text:
            return Judgement(text, verdict.withheld, verdict.reason, None, warning)
        other = self._languages.read(text, language)
        if other:
            with self._reading:
                odd = self._rule.misspelt(text)
            if odd is not None:
                return Judgement(text, True, odd, None, warning)
        embed = (embed_other or self._languages.encode) if other else (embed or self._shipped_tower())
        embedding = embed(text)
        # what the words have settled, the look need not see: "baby elephant" and "no children" are near to children
        rest = verdict.rest_as_written if other else verdict.rest
        seen = embedding if rest is None else embed(rest) if rest else None
        look = self._opened_look(other=other)
        probability = 0.0 if seen is None else float(look.probabilities(seen[None])[0])
        threshold = self._policy.text_threshold
        if probability >= threshold:
            reason = f"reads like a text about a child: probability {probability:.2f} reaches {threshold:g}"
            return Judgement(text, True, reason, None, warning)
        return Judgement(text, False, verdict.reason, embedding, warning, other)

    def refuses(self, embedding: Embedding, *, other: bool = False) -> bool:
        """Return whether a vector in the space of the shipped text tower is as near to children as a refused text's.

        `other`: the multilingual tower had a part in it; then the look at its embeddings decides too.

        Raises:
            WeightsError: the look is missing, damaged, or made for another encoder.
        """
        looks = [self._opened_look(other=kind) for kind in ((False, True) if other else (False,))]
        return any(float(look.probabilities(embedding[None])[0]) >= self._policy.text_threshold for look in looks)

    def _opened_look(self, *, other: bool) -> TextLook:
        with self._opening:
            if other not in self._looks:
                from index_store.compliance.text_look import SHIPPED_WEIGHTS, load_text_look
                from index_store.encoders.languages.card import SHIPPED_WEIGHTS as FOR_LANGUAGES
                from index_store.encoders.registry import encoder_card

                folder = FOR_LANGUAGES if other else SHIPPED_WEIGHTS
                self._looks[other] = load_text_look(encoder_card().towers, folder)
            return self._looks[other]

    def _shipped_tower(self) -> Embed:
        with self._opening:
            if self._shipped is None:
                from index_store.encoders.registry import load_text_encoder

                tower = load_text_encoder()
                self._shipped = lambda text: tower.encode_texts([text])[0]
            return self._shipped

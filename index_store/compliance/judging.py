"""Judge a query: the one function that `query`, batches, `policy check` and Python ask before anything is retrieved.

First the words (`texts.py`), which need nothing loaded; where they pass, a look at the text's embedding by the text
tower that ships (`text_look.py`). What is judged is the normalised text, and only that text is encoded.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from index_store.compliance.normalising import MAX_CHARACTERS, normalise
from index_store.compliance.texts import TextRule

if TYPE_CHECKING:
    from index_store.compliance.policy import Policy
    from index_store.compliance.text_look import TextLook
    from index_store.records import Embedding

Embed = Callable[[str], "Embedding"]
"""Returns the vector of a text by the text tower that ships, shape (dimension,)."""

CUT = f"the text is longer than {MAX_CHARACTERS:,} characters; the rest was left out"


class Judgement(NamedTuple):
    """What was decided about a query.

    `text` is what was judged, and all that may be encoded; `embedding` is its vector by the tower that ships, where it
    was made; `warning` says that the text was cut, or is empty.
    """

    text: str
    withheld: bool
    reason: str
    embedding: Embedding | None = None
    warning: str = ""


class TextJudge:
    """Judges texts by a policy; several threads may ask at the same time."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._rule = TextRule(policy)
        self._reading = Lock()  # spaCy is not made for several threads
        self._opening = Lock()
        self._look: TextLook | None = None
        self._shipped: Embed | None = None

    def judge(self, query: str, embed: Embed | None = None) -> Judgement:
        """Return whether a query speaks of a person under the age limit, and the text that may be encoded.

        `embed` gives the vector of the shipped text tower; without it the tower is opened when the words pass. It is
        asked for the text itself, and where words were excused ("baby elephant") once more, for the rest.

        Raises:
            WeightsError: the tower or the look is missing, damaged, or made for another encoder.
        """
        text, cut = normalise(query)
        warning = CUT if cut else ""
        with self._reading:
            verdict = self._rule.check(text)
        if verdict.withheld or not text:
            return Judgement(text, verdict.withheld, verdict.reason, None, warning)
        embed = embed or self._shipped_tower()
        embedding = embed(text)
        # what the words have settled, the look need not see: "baby elephant" and "no children" are near to children
        seen = embedding if verdict.rest is None else embed(verdict.rest) if verdict.rest else None
        probability = 0.0 if seen is None else float(self._opened_look().probabilities(seen[None])[0])
        threshold = self._policy.text_threshold
        if probability >= threshold:
            reason = f"reads like a text about a child: probability {probability:.2f} reaches {threshold:g}"
            return Judgement(text, True, reason, None, warning)
        return Judgement(text, False, verdict.reason, embedding, warning)

    def refuses(self, embedding: Embedding) -> bool:
        """Return whether a vector in the space of the shipped text tower is as near to children as a refused text's.

        Raises:
            WeightsError: the look is missing, damaged, or made for another encoder.
        """
        return float(self._opened_look().probabilities(embedding[None])[0]) >= self._policy.text_threshold

    def _opened_look(self) -> TextLook:
        with self._opening:
            if self._look is None:
                from index_store.compliance.text_look import load_text_look
                from index_store.encoders.registry import encoder_card

                self._look = load_text_look(encoder_card().towers)
            return self._look

    def _shipped_tower(self) -> Embed:
        with self._opening:
            if self._shipped is None:
                from index_store.encoders.registry import load_text_encoder

                tower = load_text_encoder()
                self._shipped = lambda text: tower.encode_texts([text])[0]
            return self._shipped

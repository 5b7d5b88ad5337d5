"""Choose what judges the photos of an encoder: the rule that ships, and the encoder's own where it has one.

The rule that ships knows the embeddings of the tower that ships. With another encoder that tower looks at each photo
too, and what it saw is kept with the row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from index_store.compliance.machine_policy import refuse_models_of_users
from index_store.compliance.shipped_vectors import unpack_shipped
from index_store.encoders.encoder_models import PHOTO_RULE, find_model
from index_store.encoders.registry import EncoderCard, encoder_card
from index_store.once import once
from index_store.records import Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from index_store.compliance.policy import Policy
    from index_store.encoders.protocols import Embeddings

    Judge = Callable[[Embeddings], Sequence[Verdict]]

NOT_SEEN = "the tower that ships has not seen it; 'imgsearch index' shows it to it"
"""The reason why a photo is withheld whose row has no embedding that the shipped rule could judge."""


@dataclass(frozen=True, slots=True)
class PhotoRule:
    """One rule: its version, and what loads it."""

    version: str
    load: Callable[[], Judge]


class PhotoRules:
    """The rules that judge an encoder's photos, of which the strictest holds.

    `own` judges the encoder's embeddings, `shipped` those of the tower that ships. One of the two may be None: an
    encoder of others mostly has no rule, and the encoder that ships has only one.
    """

    def __init__(self, policy: Policy, own: PhotoRule | None, shipped: PhotoRule | None) -> None:
        """Take at least one rule; none is loaded yet."""
        assert own or shipped
        self._policy = policy
        self.own = own
        self.shipped = shipped

    @property
    def version(self) -> str:
        """What rows name as the rule that judged them."""
        return "+".join(rule.version for rule in (self.shipped, self.own) if rule)

    def judge_rows(self, embeddings: Embeddings, shipped_vectors: Sequence[str]) -> list[Verdict]:
        """Return the strictest verdict for each row, from what is stored of it; no photo is opened.

        A row whose embedding by the tower that ships is missing, or is that of another release, is withheld.
        """
        verdicts: list[Verdict] = []
        if self.own:
            verdicts = list(self._judge_own(embeddings))
        if self.shipped:
            seen = [self._judge_packed(vector) for vector in shipped_vectors]
            verdicts = [self.strictest(*pair) for pair in zip(seen, verdicts, strict=True)] if verdicts else seen
        return [replace(verdict, rule=self.version) for verdict in verdicts]

    def strictest(self, *verdicts: Verdict) -> Verdict:
        """Return the verdict with the highest probability, in the name of all rules."""
        return replace(max(verdicts, key=lambda verdict: verdict.withheld_up_to), rule=self.version)

    def _judge_packed(self, vector: str) -> Verdict:
        card = encoder_card()
        embedding = unpack_shipped(vector, card.name, card.dimension)
        if embedding is None:
            return Verdict(True, 1.0, NOT_SEEN, self.version, self._policy.digest)
        return self._judge_shipped(embedding[None, :])[0]

    @once
    def _judge_own(self) -> Judge:
        assert self.own
        return self.own.load()

    @once
    def _judge_shipped(self) -> Judge:
        assert self.shipped
        return self.shipped.load()


def choose_photo_rules(card: EncoderCard, policy: Policy, *, named: str | None = None) -> PhotoRules:
    """Return the rules for an encoder's photos; `named` is how the user named the encoder.

    Raises:
        PolicyError: the machine's policy is mandatory, and the encoder has the name of the one that ships.
        WeightsError: a rule is missing or damaged.
    """
    shipped = encoder_card()
    folder = find_model(PHOTO_RULE, card.name, named)
    if card.name == shipped.name:
        assert folder is not None
        refuse_models_of_users(card.folder, folder)  # its embeddings are judged, so that they have to be the tower's
        return PhotoRules(policy, _rule(card.name, policy, folder), None)
    own = None if folder is None else _rule(card.name, policy, folder)  # it can only withhold more
    ships = find_model(PHOTO_RULE, shipped.name)
    assert ships is not None
    return PhotoRules(policy, own, _rule(shipped.name, policy, ships))


def _rule(encoder: str, policy: Policy, folder: Path) -> PhotoRule:
    from index_store.compliance.photo_rule import load_photo_rule, photo_rule_version

    return PhotoRule(photo_rule_version(encoder, folder), lambda: load_photo_rule(encoder, policy, folder).judge)

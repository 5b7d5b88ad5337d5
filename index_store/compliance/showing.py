"""Decide, when a photo is asked for, whether it may be shown: by the policy and the decisions that hold now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from index_store.compliance.choose_photo_rule import PhotoRules, choose_photo_rules
from index_store.compliance.decisions import HandDecisions
from index_store.once import once

if TYPE_CHECKING:
    from index_store.compliance.policy import Policy
    from index_store.encoders.registry import EncoderCard
    from index_store.records import Embedding, StoredPhoto


class ShowingRule:
    """What is shown of one store's photos.

    What a row says of itself counts only where the rule of today says the same by its name: a store may come from
    anybody. The verdict of another rule, and a decision that the store's log does not have, are judged again from the
    embeddings; no photo is opened.
    """

    def __init__(self, policy: Policy, card: EncoderCard, encoder_named: str | None = None) -> None:
        """Take the policy, the card of the store's encoder, and how the user named it."""
        self._policy = policy
        self._card = card
        self._named = encoder_named

    def withholds(self, photo: StoredPhoto, embedding: Embedding, decisions: HandDecisions) -> bool:
        """Return whether the notice stands in place of a photo, by the decisions that stand at this moment."""
        decision = decisions.standing.get(photo.content_hash)
        if decision is not None:
            return decision.withheld
        if decisions.withheld_near(embedding, photo.shipped_vector) is not None:
            return True
        verdict = photo.verdict
        if verdict.by_hand and verdict.withheld:
            return True
        if verdict.rule != self._rules.version:
            verdict = photo.judged_again(self._rules.judge_rows(embedding[None, :], [photo.shipped_vector])[0])
        return verdict.withholds_at(self._policy.photo_threshold)

    @once
    def _rules(self) -> PhotoRules:
        return choose_photo_rules(self._card, self._policy, named=self._named)

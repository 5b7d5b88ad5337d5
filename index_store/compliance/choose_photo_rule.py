"""Choose what judges the photos of an encoder: the rule that belongs to it, or, where told, nobody yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from index_store.compliance.machine_policy import refuse_models_of_users
from index_store.encoders.encoder_models import PHOTO_RULE, find_model, training_advice
from index_store.errors import PolicyError, WeightsError
from index_store.records import Verdict

if TYPE_CHECKING:
    from index_store.compliance.policy import Policy
    from index_store.encoders.protocols import Embeddings
    from index_store.encoders.registry import EncoderCard

    Judge = Callable[[Embeddings], Sequence[Verdict]]

NOBODY = "none"
"""What stands in place of the rule's version where no rule judged."""


def choose_photo_rule(
    card: EncoderCard, policy: Policy, *, named: str | None = None, unjudged: bool = False
) -> tuple[str, Callable[[], Judge]]:
    """Return the version of the rule for an encoder's photos, and what loads it.

    `named` is how the user named the encoder. `unjudged` allows an encoder that has no rule: its photos are stored as
    withheld, and stay so under every policy until a later run has a rule for them.

    Raises:
        PolicyError: photos have to be judged, and were not to be.
        WeightsError: no rule belongs to the encoder, or it is damaged.
    """
    if unjudged and policy.mandatory:
        raise PolicyError("the policy is mandatory and cannot be switched off; leave out --allow-unjudged")
    folder = find_model(PHOTO_RULE, card.name, named)
    if folder is not None:
        refuse_models_of_users(card.folder, folder)
        from index_store.compliance.photo_rule import load_photo_rule, photo_rule_version

        found = folder
        return photo_rule_version(card.name, folder), lambda: load_photo_rule(card.name, policy, found).judge
    if not unjudged:
        raise WeightsError(
            f"no rule for photos belongs to the encoder {card.name}: train one with "
            f"`{training_advice(PHOTO_RULE, card, named or card.name)}`, or index with --allow-unjudged, "
            "which withholds its photos until there is one; nothing was changed"
        )

    def judge(embeddings: Embeddings) -> list[Verdict]:
        return [Verdict(True, 1.0, "not judged", NOBODY, policy.digest) for _ in embeddings]

    return NOBODY, lambda: judge

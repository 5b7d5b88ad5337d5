"""Leave out of training what the compliance policy withholds: pairs whose text or photo speaks of a child."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from index_store.compliance.policy import load_policy
from index_store.compliance.texts import TextRule
from index_store.errors import DataError
from index_store.training.data.targets import Example

if TYPE_CHECKING:
    from index_store.training.data.pairs import Vectors


@dataclass(frozen=True, slots=True)
class FilterReport:
    """How much the policy leaves: photos and pairs before and after, and how many texts and photos it withholds."""

    pairs_before: int
    pairs_after: int
    photos_before: int
    photos_after: int
    withheld_texts: int
    withheld_photos: int

    def __str__(self) -> str:
        return (
            f"the policy leaves {self.photos_after:,} of {self.photos_before:,} photos and {self.pairs_after:,} of "
            f"{self.pairs_before:,} pairs ({self.withheld_texts:,} texts and {self.withheld_photos:,} photos withheld)"
        )


def withheld_texts(texts: Mapping[str, str], policy_file: Path | None = None) -> frozenset[str]:
    """Return the query_ids whose text the policy withholds."""
    rule = TextRule(load_policy(policy_file))
    return frozenset(query_id for query_id, text in texts.items() if rule.check(text).withheld)


def withheld_photos(photos: Vectors, encoder: str | None, policy_file: Path | None = None) -> frozenset[str]:
    """Return the photos that the policy withholds, judged by their embeddings; `encoder` as the user named it.

    Raises:
        WeightsError: no rule for photos belongs to the encoder.
    """
    from index_store.compliance.choose_photo_rule import choose_photo_rule
    from index_store.encoders.registry import encoder_card

    _, load_judge = choose_photo_rule(encoder_card(encoder), load_policy(policy_file), named=encoder)
    verdicts = load_judge()(photos.rows)
    return frozenset(name for name, verdict in zip(photos.names, verdicts, strict=True) if verdict.withheld)


def leave_out(
    examples: Sequence[Example], texts: frozenset[str], photos: frozenset[str]
) -> tuple[list[Example], FilterReport]:
    """Return the examples without withheld texts and photos, and what that left."""
    kept = [example for example in examples if example.query_id not in texts and example.image not in photos]
    before = {example.image for example in examples}
    report = FilterReport(
        pairs_before=len(examples),
        pairs_after=len(kept),
        photos_before=len(before),
        photos_after=len({example.image for example in kept}),
        withheld_texts=len(texts & {example.query_id for example in examples}),
        withheld_photos=len(photos & before),
    )
    if not kept:
        raise DataError(f"{report}; nothing is left to train on")
    return kept, report

"""Leave out of training what the compliance policy withholds: pairs whose text or photo speaks of a child."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from index_store.compliance.choose_photo_rule import choose_photo_rules
from index_store.compliance.policy import load_policy
from index_store.compliance.shipped_vectors import pack_shipped
from index_store.compliance.texts import TextRule
from index_store.encoders.registry import encoder_card
from index_store.errors import DataError
from index_store.training.data.targets import Example
from index_store.training.data.vectors import VectorCache, encoder_vectors

if TYPE_CHECKING:
    from index_store.encoders.protocols import Embeddings
    from index_store.training.data.vectors import Progress


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


def withheld_photos(
    photos: Sequence[tuple[str, Path]],
    encoder: str | None,
    cache: VectorCache,
    policy_file: Path | None = None,
    progress: Progress | None = None,
) -> frozenset[str]:
    """Return the named photos that the policy withholds; `encoder` as the user named it.

    As when photos are indexed, the tower that ships judges them, whatever the encoder is, and so does the encoder's own
    rule where it has one.
    """
    rules = choose_photo_rules(encoder_card(encoder), load_policy(policy_file), named=encoder)
    shipped = encoder_card().name

    def rows(of: str | None) -> Embeddings:
        return encoder_vectors(of, [], photos, cache, progress)[1].rows

    seen = [pack_shipped(shipped, row) for row in rows(None)] if rules.shipped else [""] * len(photos)
    own = rows(encoder) if rules.own else np.zeros((len(photos), 0), np.float32)
    verdicts = rules.judge_rows(own, seen)
    return frozenset(name for (name, _), verdict in zip(photos, verdicts, strict=True) if verdict.withheld)


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

"""Say what a store holds and which models it is used with."""

from __future__ import annotations

from index_store.compliance.decisions import HandDecisions
from index_store.compliance.policy import Policy
from index_store.encoders.languages.reader import OtherLanguages
from index_store.encoders.registry import encoder_card
from index_store.queries.ask import scorer_of
from index_store.records import StoreStatus
from index_store.store.image_store import ImageStore

_WITHHELD_ROOT = "a withheld photo"
"""Stands for a root that is a withheld photo's own file."""


def store_status(store: ImageStore, policy: Policy, named: str | None) -> StoreStatus:
    """Return what an open store holds under a policy; the user may have `named` its encoder.

    Raises:
        StoreError: the store cannot be read.
        WeightsError: the reranker is damaged, or belongs to another encoder.
    """
    roots = store.roots()
    withheld = {path for photo in store.withheld(policy.photo_threshold) for path in photo.paths}
    return StoreStatus(
        store=store.place,
        schema=store.manifest.schema,
        photos=store.count(),
        withheld=len(withheld),
        decided_by_hand=len(HandDecisions(store.decisions())),
        encoder=store.manifest.encoder,
        encoders={each.manifest.encoder: each.count() for each in (store, *store.others())},
        dimension=store.manifest.dimension,
        reranker=scorer_of(store, named).version,
        policy=policy.digest,
        bytes_on_disk=store.bytes_on_disk(),
        languages=OtherLanguages().towers() if store.manifest.encoder == encoder_card().name else {},
        indexed_at=max((root.indexed_at for root in roots), default=None),
        roots=tuple(root.path if root.path not in withheld else _WITHHELD_ROOT for root in roots),
    )

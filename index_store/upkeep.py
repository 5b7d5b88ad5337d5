"""Keep a store with the shipped models: index folders into it, and tell what it holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from index_store.compliance.policy import load_policy
from index_store.encoders import encoder_card, load_photo_encoder
from index_store.indexing import IndexModels, IndexOptions, Judge, Progress, index_photos
from index_store.manifest import Manifest
from index_store.places import default_store
from index_store.records import IndexReport, StoreStatus
from index_store.store import create_store, open_store


def index_folders(
    paths: Sequence[str],
    *,
    store: str | None = None,
    encoder: str | None = None,
    policy_file: Path | None = None,
    options: IndexOptions | None = None,
    progress: Progress = lambda done, total: None,
) -> IndexReport:
    """Index the photos below `paths` into a store, by default the user's own; the same as `imgsearch index`.

    Raises:
        PolicyError, EncoderError, WeightsError: something that is needed is missing or broken; nothing was changed.
        UsageError, StoreError: see `index_store.indexing.index_photos`.
    """
    policy = load_policy(policy_file)
    card = encoder_card(encoder)

    def load_judge() -> Judge:
        from index_store.compliance.photo_rule import load_photo_rule

        return load_photo_rule(card.name, policy).judge

    opened = create_store(store or default_store(), Manifest(card.name, card.dimension))
    models = IndexModels(card.photo_input, lambda: load_photo_encoder(encoder), load_judge)
    return index_photos(paths, opened, models, options, progress)


def store_status(store: str | None = None, encoder: str | None = None, policy_file: Path | None = None) -> StoreStatus:
    """Tell what a store holds and which models it is used with.

    Raises:
        StoreError: there is no such store, or it cannot be read.
    """
    from index_store.relevance.reranking import load_reranker

    place = store or default_store()
    opened = open_store(place, encoder)
    roots = opened.roots()
    return StoreStatus(
        store=place,
        schema=opened.manifest.schema,
        photos=opened.count(),
        withheld=opened.count_withheld(),
        encoder=opened.manifest.encoder,
        dimension=opened.manifest.dimension,
        reranker=load_reranker(opened.manifest.encoder).version,
        policy=load_policy(policy_file).digest,
        bytes_on_disk=opened.bytes_on_disk(),
        indexed_at=max((root.indexed_at for root in roots), default=None),
        roots=tuple(root.path for root in roots),
    )

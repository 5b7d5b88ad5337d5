"""Which encoders a store was built with, a collection each, and which of them is in use."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from index_store.errors import StoreError
from index_store.paths import shown_place
from index_store.store.client import connect, store_exists, translated
from index_store.store.manifest import Manifest

if TYPE_CHECKING:
    from chromadb.api import ClientAPI


def encoders_in(place: str) -> list[str]:
    """Return the names of the encoders that a store was built with, sorted; empty where there is no store."""
    if not store_exists(place):
        return []
    return sorted(manifests_in(connect(place, read_only=True), shown_place(place)))


def encoder_in_use(place: str, preferred: str) -> str | None:
    """Return the name of the encoder that a store is used with, as `open_store` chooses it; None where it has none.

    Raises:
        StoreError: the store holds several, and none of them was chosen.
    """
    if not store_exists(place):
        return None
    manifests = manifests_in(connect(place, read_only=True), shown_place(place))
    return in_use(manifests, preferred, shown_place(place)) if manifests else None


def in_use(manifests: Mapping[str, Manifest], preferred: str | None, place: str) -> str:
    """Return the encoder that was chosen last, else `preferred`, else the only one.

    Raises:
        StoreError: there are several, and none of them was chosen.
    """
    latest = max(manifests.values(), key=lambda manifest: manifest.used)
    if latest.used:
        return latest.encoder
    if preferred is not None and preferred in manifests:
        return preferred
    if len(manifests) > 1:
        raise StoreError(f"{place}: holds several encoders ({listed(manifests)}); name one with --encoder")
    return latest.encoder


def manifests_in(client: ClientAPI, place: str) -> dict[str, Manifest]:
    """Return the manifests of all collections of photos, by the encoder's name."""
    with translated(place):
        collections = client.list_collections()
    found = (Manifest.from_metadata(c.metadata, place) for c in collections if Manifest.is_in(c.metadata))
    return {manifest.encoder: manifest for manifest in found}


def collection_name(encoder: str) -> str:
    """Return what the collection of an encoder is called."""
    # Chroma takes 3 to 512 characters of [a-zA-Z0-9._-]; a folder's path has others
    return f"photos-{hashlib.blake2b(encoder.encode('utf-8', 'surrogateescape'), digest_size=8).hexdigest()}"


def listed(manifests: Mapping[str, Manifest]) -> str:
    """Return the encoders' names as a message shows them."""
    return ", ".join(sorted(manifests))

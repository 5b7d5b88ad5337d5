"""ImageStore: photos and their embeddings in a ChromaDB, on disk or on a server.

With `chroma_client.py` the only importer of chromadb. One collection for each encoder holds the photos; a small one
holds the indexed roots.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import socket
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from index_store.chroma_client import (
    batch_size,
    connect,
    make_folder,
    refuse_other_addresses,
    shown,
    store_exists,
    translated,
)
from index_store.chroma_import import NotFoundError
from index_store.compliance.decisions import Decision
from index_store.errors import StoreError
from index_store.manifest import SCHEMA, Manifest
from index_store.naming import Naming, kept
from index_store.places import is_url
from index_store.records import BY_HAND, Candidate, IndexedRoot, StoredPhoto
from index_store.rows import (
    JUDGED_BY,
    WITHHELD_UP_TO,
    decision_row,
    indexed_root,
    judged_by,
    photo_row,
    root_row,
    stored_decision,
    stored_photo,
)

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.collection_configuration import CreateHNSWConfiguration
    from chromadb.api.models.Collection import Collection
    from chromadb.api.types import GetResult

    from index_store.encoders.protocols import Embeddings

HNSW: CreateHNSWConfiguration = {
    "space": "cosine",
    "max_neighbors": 32,
    "ef_construction": 100,
    "ef_search": 400,
    "sync_threshold": 1000,
}
"""How Chroma's approximate search is built; `ef_search` is raised for pools that are larger, and by `tune`."""

_TUNED_FOR = 100_000
"""Up to so many photos `ef_search` as above finds .996 of the true pool of 100."""

_GROWTH = 0.4
"""What `ef_search` grows with, as a power of the photos, to find .996 of a million too; 400 would find .959 there."""

MAX_POOL = 10_000
"""The most candidates that one query may ask for."""

_ROOTS = "imgsearch-roots"
_DECISIONS = "imgsearch-decisions"
_PAGE = 20_000
"""Rows read at once: Chroma counts off the rows before a page again for each page, and fails on more than 32,766."""

_OF_SCHEMA_1: dict[str, Any] = {"width": {"$gte": 1}}
"""Finds the rows of schema 1, which alone have that key; they are then looked at one by one."""

_Item = TypeVar("_Item")


class ImageStore:
    """The photos of one encoder in one store."""

    def __init__(self, client: ClientAPI, collection: Collection, manifest: Manifest, place: str) -> None:
        """Wrap an open collection; callers use `open_store` and `create_store`."""
        self._client = client
        self._collection = collection
        self.manifest = manifest
        self.place = place
        self._naming = Naming({root.name: root.path for root in self.roots() if root.name})

    # -- photos ------------------------------------------------------------------------------------------------------

    def count(self) -> int:
        """Return how many photos the store holds, withheld ones included."""
        with translated(self.place):
            return self._collection.count()

    def withheld(self, threshold: float) -> list[StoredPhoto]:
        """Return the photos that are withheld under a policy with this threshold, sorted by path."""
        found = self._photos_where({"$or": [{WITHHELD_UP_TO: {"$gte": threshold}}, _OF_SCHEMA_1]})
        return _by_path(photo for photo in found if photo.verdict.withholds_at(threshold))

    def judged_otherwise(self, rule: str, policy: str) -> list[StoredPhoto]:
        """Return the photos, sorted by path, that another rule or another policy judged, and nobody by hand."""
        others = {"$and": [{JUDGED_BY: {"$ne": judged_by(rule, policy)}}, {JUDGED_BY: {"$ne": BY_HAND}}]}
        found = self._photos_where({"$or": [others, _OF_SCHEMA_1]})
        now = (rule, policy)
        return _by_path(p for p in found if not p.verdict.by_hand and (p.verdict.rule, p.verdict.policy) != now)

    def photos(self) -> Iterator[StoredPhoto]:
        """Yield every row without its embedding, a page at a time, in no order."""
        return self._photos_where(None)

    def _photos_where(self, condition: Any) -> Iterator[StoredPhoto]:
        for page in self._pages(self._collection, condition):
            for row_id, row in zip(page["ids"], page["metadatas"] or [], strict=True):
                yield stored_photo(self._naming.image_id(row_id), row)

    def _pages(self, collection: Collection, condition: Any = None) -> Iterator[GetResult]:
        for offset in itertools.count(step=_PAGE):
            with translated(self.place):
                page = collection.get(where=condition, include=["metadatas"], limit=_PAGE, offset=offset)
            yield page
            if len(page["ids"]) < _PAGE:
                return

    def embeddings(self, image_ids: Sequence[str]) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
        """Return the embeddings of those of the photos that are stored, by image_id."""
        found: dict[str, np.ndarray[Any, np.dtype[np.float32]]] = {}
        for page in self._rows_of(image_ids, "embeddings"):
            rows = np.asarray(page["embeddings"], dtype=np.float32)
            found.update((self._naming.image_id(row_id), row) for row_id, row in zip(page["ids"], rows, strict=True))
        return found

    def upsert(self, photos: Sequence[StoredPhoto], embeddings: Embeddings) -> None:
        """Write photos with their embeddings, unit rows of shape (len(photos), dimension), in place of older rows.

        Raises:
            StoreError: the shapes do not fit the store, or it cannot be written.
        """
        if embeddings.shape != (len(photos), self.manifest.dimension):
            raise StoreError(
                f"{self.place}: {len(photos)} photos came with embeddings of shape {embeddings.shape}, "
                f"the store holds vectors of {self.manifest.dimension}; nothing was written"
            )
        with translated(self.place):
            self._claim_schema()
            for start in range(0, len(photos), self._batch_size()):
                part = slice(start, start + self._batch_size())
                # upsert, since Chroma's add passes over ids that it already knows
                self._collection.upsert(
                    ids=[self._naming.row_id(photo.image_id) for photo in photos[part]],
                    embeddings=embeddings[part],
                    metadatas=[photo_row(photo) for photo in photos[part]],
                )

    def update(self, photos: Sequence[StoredPhoto]) -> None:
        """Write what is known of photos that are stored already, leaving their embeddings as they are."""
        with translated(self.place):
            self._claim_schema()
            for batch in _batches(photos, self._batch_size()):
                self._collection.update(
                    ids=[self._naming.row_id(photo.image_id) for photo in batch],
                    metadatas=[photo_row(photo) for photo in batch],
                )

    def _claim_schema(self) -> None:
        """Before the first new row in a store of an older schema, say so, for the older program that may read it."""
        if self.manifest.schema < SCHEMA:
            self.manifest = replace(self.manifest, schema=SCHEMA)
            self._collection.modify(metadata=self.manifest.to_metadata())

    def delete(self, image_ids: Sequence[str]) -> None:
        """Forget photos; unknown ones are no error."""
        with translated(self.place):
            for batch in _batches(image_ids, self._batch_size()):
                self._collection.delete(ids=[self._naming.row_id(image_id) for image_id in batch])

    def nearest(self, query_embedding: np.ndarray[Any, np.dtype[np.float32]], pool: int) -> list[Candidate]:
        """Return the `pool` photos nearest to a unit vector of shape (dimension,), by falling similarity, ties by path.

        The search is approximate (HNSW) in a large store.
        """
        if pool < 1:
            return []  # Chroma refuses n_results=0
        with translated(self.place):
            # a store with fewer photos gives those it has; to count them first would take as long as the search
            answer = self._collection.query(
                query_embeddings=query_embedding[np.newaxis, :],
                n_results=min(pool, MAX_POOL),
                include=["distances", "embeddings"],  # metadata would take longer than the search
            )
        embeddings = np.asarray((answer["embeddings"] or [[]])[0], dtype=np.float32)
        candidates = [
            Candidate(self._naming.image_id(row_id), 1.0 - distance, embedding)
            for row_id, distance, embedding in zip(
                answer["ids"][0], (answer["distances"] or [[]])[0], embeddings, strict=True
            )
        ]
        candidates.sort(key=lambda candidate: (-candidate.similarity, candidate.image_id))
        return candidates

    def photos_of(self, image_ids: Sequence[str]) -> dict[str, StoredPhoto]:
        """Return what is known of those of the photos that are stored, by image_id."""
        found: dict[str, StoredPhoto] = {}
        for page in self._rows_of(image_ids, "metadatas"):
            for row_id, row in zip(page["ids"], page["metadatas"] or [], strict=True):
                image_id = self._naming.image_id(row_id)
                found[image_id] = stored_photo(image_id, row)
        return found

    def _rows_of(self, image_ids: Sequence[str], field: Literal["embeddings", "metadatas"]) -> Iterator[GetResult]:
        """Yield the ids and one field of those of the photos that are stored, a batch at a time."""
        for batch in _batches(image_ids, self._batch_size()):
            ids = [self._naming.row_id(image_id) for image_id in batch]
            with translated(self.place):
                page = self._collection.get(ids=ids, include=[field])
            yield page

    # -- decisions by hand -------------------------------------------------------------------------------------------

    def decisions(self) -> list[Decision]:
        """Return all decisions by hand, the oldest first."""
        with translated(self.place):
            try:
                collection = self._client.get_collection(_DECISIONS, embedding_function=None)
            except NotFoundError:
                return []
        rows = (row for page in self._pages(collection) for row in page["metadatas"] or [])
        return sorted(map(stored_decision, rows), key=lambda decision: decision.time)

    def add_decisions(self, decisions: Sequence[Decision]) -> None:
        """Write decisions behind those that are there; none is ever changed or deleted."""
        with translated(self.place):
            collection = self._client.get_or_create_collection(_DECISIONS, embedding_function=None)
            for batch in _batches(decisions, self._batch_size()):
                collection.add(
                    ids=[str(uuid.uuid4()) for _ in batch],
                    embeddings=np.ones((len(batch), 1), dtype=np.float32),
                    metadatas=[decision_row(decision) for decision in batch],
                )

    # -- roots -------------------------------------------------------------------------------------------------------

    def roots(self) -> list[IndexedRoot]:
        """Return what was given to `imgsearch index` for this encoder, sorted by path."""
        with translated(self.place):
            try:
                collection = self._client.get_collection(_ROOTS, embedding_function=None)
            except NotFoundError:
                return []
            rows = collection.get(where={"encoder": self.manifest.encoder}, include=["metadatas"])["metadatas"] or []
        here = [indexed_root(row) for row in rows if row["host"] in {"", _this_host()}]
        return sorted(here, key=lambda root: root.path)

    def set_root(self, root: IndexedRoot) -> None:
        """Remember a root, or what its last run found."""
        with translated(self.place):
            self._roots().upsert(
                ids=[self._root_id(root)],
                embeddings=np.ones((1, 1), dtype=np.float32),  # a row without a vector is refused
                metadatas=[root_row(root, self.manifest.encoder, _this_host())],
            )

    def drop_root(self, root: IndexedRoot) -> None:
        """Forget a root; its photos stay until they are deleted."""
        with translated(self.place):
            self._roots().delete(ids=[self._root_id(root)])

    def name_roots(self, names: Mapping[str, str]) -> None:
        """Know roots of this machine by names, name -> absolute path, besides those that the store remembers."""
        self._naming = Naming({root.name: root.path for root in self.roots() if root.name} | dict(names))

    def _roots(self) -> Collection:
        return self._client.get_or_create_collection(_ROOTS, embedding_function=None)

    def _root_id(self, root: IndexedRoot) -> str:
        place = f"{root.name}@{_this_host()}" if root.name else kept(root.path)
        return f"{self.manifest.encoder}:{place}"

    def _batch_size(self) -> int:
        return batch_size(self._client)

    # -- the store ---------------------------------------------------------------------------------------------------

    def tune(self) -> None:
        """Have the store searched as widely as its size needs, by the processes that open it from now on."""
        wanted = round(HNSW["ef_search"] * max(1.0, self.count() / _TUNED_FOR) ** _GROWTH)
        with translated(self.place):
            now = (self._collection.configuration.get("hnsw") or {}).get("ef_search")
            if now != wanted:
                self._collection.modify(configuration={"hnsw": {"ef_search": wanted}})

    def bytes_on_disk(self) -> int | None:
        """Return the size of the store's files, or None for a store on a server."""
        if is_url(self.place):
            return None
        folder = Path(self.place)
        return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def open_store(
    place: str, encoder: str | None = None, preferred: str | None = None, *, read_only: bool = False
) -> ImageStore:
    """Open the collection of `encoder` in an existing store; where none is named, `preferred` or the only one.

    With `read_only` a store that may not be written is opened too; the caller must not write then.

    Raises:
        StoreError: there is no store, it is something else, it is newer than this program, or lacks that collection.
    """
    refuse_other_addresses(place)
    if not is_url(place) and not os.path.isdir(place):
        raise StoreError(f"{place}: there is no store; make one with 'imgsearch index FOLDER'")
    if not store_exists(place):
        raise StoreError(f"{place}: is not a store of imgsearch; name another with --store")
    client = connect(place, read_only=read_only)
    place = shown(place)
    manifests = _manifests(client, place)
    if not manifests:
        raise StoreError(f"{place}: is a Chroma database without photos of imgsearch; name another with --store")
    name = encoder or (preferred if preferred in manifests else None)
    if name is None and len(manifests) == 1:
        name = next(iter(manifests))
    if name is None:
        raise StoreError(f"{place}: holds several encoders ({', '.join(sorted(manifests))}); name one with --encoder")
    if name not in manifests:
        raise StoreError(
            f"{place}: was built with the encoder {_listed(manifests)}, not with {name}; "
            "run 'imgsearch index' to add the other, or name the one it has with --encoder"
        )
    return _open_collection(client, manifests[name], place)


def encoders_in(place: str) -> list[str]:
    """Return the names of the encoders that a store was built with, sorted; empty where there is no store."""
    if not store_exists(place):
        return []
    return sorted(_manifests(connect(place, read_only=True), shown(place)))


def create_store(place: str, manifest: Manifest) -> ImageStore:
    """Open the collection that `manifest` describes, making the store and the collection where they are missing.

    Raises:
        StoreError: the place is a folder of something else or cannot be written, or another dimension is stored there.
    """
    refuse_other_addresses(place)
    if not is_url(place):
        make_folder(place)
    client = connect(place)
    place = shown(place)
    known = _manifests(client, place).get(manifest.encoder)
    if known is None:
        with translated(place):
            # two writers on one server may both find it missing
            client.get_or_create_collection(
                _collection_name(manifest.encoder),
                metadata=manifest.to_metadata(),
                configuration={"hnsw": HNSW},
                embedding_function=None,
            )
    elif known.dimension != manifest.dimension:
        raise StoreError(
            f"{place}: holds vectors of {known.dimension} for {known.encoder}, which now makes {manifest.dimension}; "
            "index into a new store"
        )
    return _open_collection(client, manifest, place)


def _manifests(client: ClientAPI, place: str) -> dict[str, Manifest]:
    with translated(place):
        collections = client.list_collections()
    found = (Manifest.from_metadata(c.metadata, place) for c in collections if Manifest.is_in(c.metadata))
    return {manifest.encoder: manifest for manifest in found}


def _open_collection(client: ClientAPI, manifest: Manifest, place: str) -> ImageStore:
    with translated(place):
        collection = client.get_collection(_collection_name(manifest.encoder), embedding_function=None)
    return ImageStore(client, collection, manifest, place)


def _collection_name(encoder: str) -> str:
    # Chroma takes 3 to 512 characters of [a-zA-Z0-9._-]; a folder's path has others
    return f"photos-{hashlib.blake2b(encoder.encode('utf-8', 'surrogateescape'), digest_size=8).hexdigest()}"


def _by_path(photos: Iterable[StoredPhoto]) -> list[StoredPhoto]:
    return sorted(photos, key=lambda photo: photo.image_id)


def _listed(manifests: Mapping[str, Manifest]) -> str:
    return ", ".join(sorted(manifests))


def _this_host() -> str:
    return socket.gethostname()


def _batches(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]

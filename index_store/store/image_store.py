"""ImageStore: photos and their embeddings in a ChromaDB, on disk or on a server.

One collection for each encoder holds a row for each content; two small ones hold the indexed roots and the decisions by
hand.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from index_store.compliance.decisions import Decision
from index_store.errors import StoreError
from index_store.paths import is_url, shown_place
from index_store.question import Filters
from index_store.records import BY_HAND, Candidate, IndexedRoot, StoredPhoto
from index_store.store.chroma_answers import AnsweredRow, rows_in, vectors_in, whole_number
from index_store.store.client import (
    batch_size,
    batches,
    close_client,
    connect,
    find_collection,
    make_folder,
    refuse_other_addresses,
    store_exists,
    translated,
)
from index_store.store.encoder_collections import collection_name, in_use, listed, manifests_in
from index_store.store.exact_search import ExactSearch
from index_store.store.group_table import GroupTable
from index_store.store.groups import Passing, group_of, passing
from index_store.store.manifest import KEYS, Manifest
from index_store.store.naming import Naming
from index_store.store.nearest import Nearest
from index_store.store.paging import pages_of
from index_store.store.roots_and_decisions import RootsAndDecisions
from index_store.store.row_format import (
    COPIES,
    JUDGED_BY,
    WITHHELD_UP_TO,
    DamagedRowError,
    judged_by,
    photo_row,
    stored_photo,
)
from index_store.store.row_table import RowTable

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.collection_configuration import CreateHNSWConfiguration
    from chromadb.api.models.Collection import Collection
    from chromadb.api.types import GetResult

    from index_store.encoders.protocols import Embeddings

HNSW: CreateHNSWConfiguration = {
    "space": "cosine",
    "max_neighbors": 32,
    "ef_construction": 200,
    "ef_search": 400,
    "sync_threshold": 1000,
}
"""How Chroma's approximate search is built; `tune` raises `ef_search` for large stores."""

_TUNED_FOR = 100_000
"""Up to this many photos `ef_search` as above finds .996 of the true pool of 100."""

_GROWTH = 0.4
"""`ef_search` grows with this power of the number of photos, to find .996 of a million too; 400 would find .959."""

_NO_FILTERS = Filters()


class ImageStore:
    """The photos of one encoder in one store."""

    def __init__(
        self, client: ClientAPI, collection: Collection, manifest: Manifest, place: str, encoders: Iterable[str]
    ) -> None:
        """Wrap an open collection; callers use `open_store` and `create_store`.

        `encoders` are the names of all encoders whose photos the store holds.
        """
        self._client = client
        self._collection = collection
        self.manifest = manifest
        self.place = place
        self.encoders = tuple(sorted(encoders))
        self._side = RootsAndDecisions(client, place)
        self._groups = GroupTable(client, place)
        here = None if is_url(place) else os.path.abspath(place)
        exact = None if here is None else ExactSearch(here, collection.name, manifest.dimension)
        self._nearest = Nearest(collection, place, manifest.dimension, exact, self._known, self._ids_passing)
        self._table = None if here is None else RowTable(here, collection.name)
        self._naming = Naming({root.name: root.path for root in self.roots() if root.name})

    # -- photos ------------------------------------------------------------------------------------------------------

    def count(self) -> int:
        """Return how many photos the store holds: rows, of which each has a content of its own, and their copies."""
        rows = None if self._table is None else self._table.count()
        if rows is None:
            with translated(self.place):
                rows = whole_number(self._collection.count())
        return rows + sum(len(photo.files) - 1 for photo in self._photos_from(COPIES, 2))

    def withheld(self, threshold: float) -> list[StoredPhoto]:
        """Return the photos that are withheld under a policy with this threshold, sorted by path."""
        return _by_path(self._photos_from(WITHHELD_UP_TO, float(threshold)))

    def outdated_verdicts(self, rule: str, policy: str) -> list[StoredPhoto]:
        """Return the photos, sorted by path, that another rule or policy judged, and that nobody decided by hand."""
        others = {"$and": [{JUDGED_BY: {"$ne": judged_by(rule, policy)}}, {JUDGED_BY: {"$ne": BY_HAND}}]}
        return _by_path(self._photos_where(others))

    def photos(self) -> Iterator[StoredPhoto]:
        """Yield every row without its embedding, a page at a time, in no order."""
        return self._photos_where(None)

    def damaged_rows(self) -> list[str]:
        """Return the ids of rows that do not hold what this program writes."""
        return [
            row_id
            for page in pages_of(self._collection, self.place)
            for row_id, row in page
            if not self._reads(row_id, row)
        ]

    def _reads(self, row_id: str, row: Mapping[str, Any]) -> bool:
        try:
            stored_photo(row_id, row, self._naming)
        except DamagedRowError:
            return False
        return True

    def _photos_where(self, condition: Any) -> Iterator[StoredPhoto]:
        for page in pages_of(self._collection, self.place, condition):
            for row_id, row in page:
                yield self._photo(row_id, row)

    def _photos_from(self, key: str, least: float) -> Iterator[StoredPhoto]:
        """Yield the photos whose number under `key` is at least `least`."""
        rows = None if self._table is None else self._table.rows_from(key, least)
        if rows is None:
            yield from self._photos_where({key: {"$gte": least}})
        else:
            for row_id, row in rows:
                yield self._photo(row_id, row)

    def _photo(self, row_id: str, row: Mapping[str, Any]) -> StoredPhoto:
        try:
            return stored_photo(row_id, row, self._naming)
        except DamagedRowError as error:
            raise DamagedRowError(f"{self.place}: {error}") from error

    def embeddings(self, contents: Sequence[str]) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
        """Return the embeddings of those of the contents that are stored, by content hash."""
        found: dict[str, np.ndarray[Any, np.dtype[np.float32]]] = {}
        for page in self._rows_of(contents, "embeddings"):
            with translated(self.place):
                found.update(vectors_in(page, self.manifest.dimension))
        return found

    def sample(self, most: int) -> Embeddings:
        """Return the embeddings of up to `most` photos, those that were written first; runs write theirs mixed."""
        with translated(self.place):
            page = self._collection.get(limit=most, include=["embeddings"])
            rows = [row for _, row in vectors_in(page, self.manifest.dimension)]
        return np.stack(rows) if rows else np.zeros((0, self.manifest.dimension), np.float32)

    def photos_of(self, contents: Sequence[str]) -> dict[str, StoredPhoto]:
        """Return what is known of those of the contents that are stored, by content hash."""
        return {row_id: self._photo(row_id, row) for row_id, row in self._known(contents)}

    def _rows_of(self, contents: Sequence[str], field: Literal["embeddings", "metadatas"]) -> Iterator[GetResult]:
        """Yield the ids and one field of those of the contents that are stored, a batch at a time."""
        for batch in batches(contents, self._batch_size()):
            with translated(self.place):
                page = self._collection.get(ids=list(batch), include=[field])
            yield page

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
        self._groups.keep(group_of(photo, self._naming) for photo in photos)
        with translated(self.place):
            for rows in batches(range(len(photos)), self._batch_size()):
                # upsert, since Chroma's add passes over ids that it already knows
                self._collection.upsert(
                    ids=[photos[row].content_hash for row in rows],
                    embeddings=embeddings[list(rows)],
                    metadatas=[photo_row(photos[row], self._naming) for row in rows],
                )

    def update(self, photos: Sequence[StoredPhoto]) -> None:
        """Write what is known of photos that are stored already, leaving their embeddings as they are."""
        self._groups.keep(group_of(photo, self._naming) for photo in photos)
        with translated(self.place):
            for batch in batches(photos, self._batch_size()):
                self._collection.update(
                    ids=[photo.content_hash for photo in batch],
                    metadatas=[self._whole_row(photo) for photo in batch],
                )

    def _whole_row(self, photo: StoredPhoto) -> dict[str, str | int | float | bool | None]:
        # None takes away a key that the row may have: Chroma merges what it is given into what is there
        return {COPIES: None, **photo_row(photo, self._naming)}

    def delete(self, contents: Sequence[str]) -> None:
        """Forget contents with all their files; unknown ones are no error."""
        with translated(self.place):
            for batch in batches(contents, self._batch_size()):
                self._collection.delete(ids=list(batch))

    def drop_paths(self, losses: Mapping[str, Iterable[str]]) -> None:
        """Take paths away from contents, content hash -> paths, and delete the rows that no file holds any more."""
        shorter, empty = [], []
        for content, photo in self.photos_of(sorted(losses)).items():
            lost = set(losses[content])
            left = [file for file in photo.files if file.image_id not in lost]
            if not left:
                empty.append(content)
            elif len(left) < len(photo.files):
                shorter.append(photo.with_files(left))
        self.update(shorter)
        self.delete(empty)

    def nearest(
        self, query_embedding: np.ndarray[Any, np.dtype[np.float32]], pool: int, filters: Filters = _NO_FILTERS
    ) -> list[Candidate]:
        """Return the `pool` contents nearest to a unit vector of shape (dimension,), by falling similarity, then key.

        Only photos that pass the filters count. In a folder the search is exact, unless the store is large and this
        process has asked before; all else is answered by Chroma's graph of neighbours (HNSW), which is approximate.

        Raises:
            StoreError: the store fails, or an earlier version wrote it, without what filters ask for.
        """
        return self.nearest_to_each(query_embedding[np.newaxis], pool, filters)[0]

    def nearest_to_each(self, queries: Embeddings, pool: int, filters: Filters = _NO_FILTERS) -> list[list[Candidate]]:
        """Return for each row of `queries` what `nearest` returns, in less time than one after the other."""
        rows = None if filters == _NO_FILTERS else self._passing(filters)
        if pool < 1 or not len(queries) or (rows is not None and rows.nothing):
            return [[] for _ in queries]  # Chroma refuses n_results=0
        return self._nearest.to_each(queries, pool, rows)

    def nearest_by_graph(self, query: np.ndarray[Any, np.dtype[np.float32]], pool: int) -> list[Candidate]:
        """Return what Chroma's graph of neighbours finds near a unit vector, in the order of `nearest`."""
        return self._nearest.by_graph(query, pool)

    def _known(self, contents: Sequence[str]) -> list[AnsweredRow]:
        """Return those of the rows that are stored."""
        found = None if self._table is None else self._table.rows_of(contents)
        if found is not None:
            return found
        known: list[AnsweredRow] = []
        for page in self._rows_of(contents, "metadatas"):
            with translated(self.place):
                known += rows_in(page)
        return known

    def _ids_passing(self, rows: Passing) -> Iterable[str]:
        found = None if self._table is None else self._table.passing(rows)
        if found is not None:
            return found
        pages = pages_of(self._collection, self.place, rows.condition(), ids_alone=True)
        return (row_id for page in pages for row_id, _ in page)

    # -- groups: what filters ask for ---------------------------------------------------------------------------------

    def _passing(self, filters: Filters) -> Passing:
        self._require_keys()
        return passing(filters, self._groups.all().values(), self._naming)

    def _require_keys(self) -> None:
        if self.manifest.keys < KEYS:
            raise StoreError(
                f"{self.place}: was written by an earlier version, which kept no days, folders and cameras to filter "
                "by; run 'imgsearch index' once, which adds them without reading a photo"
            )

    def folders(self) -> set[str]:
        """Return the absolute paths of the folders in which photos lie, and perhaps of some that are empty by now.

        Raises:
            StoreError: the store fails, or an earlier version wrote it, without its folders.
        """
        self._require_keys()
        return {self._naming.image_id(name) for group in self._groups.all().values() for name in group.folders}

    def add_keys(self) -> None:
        """Give the rows of an earlier version the keys that filters ask for; no photo is read."""
        if self.manifest.keys >= KEYS:
            return
        for page in pages_of(self._collection, self.place):
            self.update([self._photo(row_id, row) for row_id, row in page])
        manifest = replace(self.manifest, keys=KEYS)
        with translated(self.place):
            self._collection.modify(metadata=manifest.to_metadata())  # last: an interrupted run begins again
        self.manifest = manifest

    def drop_unused_groups(self) -> None:
        """Forget the names of folders and cameras that no photo of any encoder has any more."""
        stores = (self, *self.others())
        self._groups.drop_all_but({group_of(photo, self._naming).number for each in stores for photo in each.photos()})

    # -- roots and decisions by hand: of the store, whatever encoder --------------------------------------------------

    def decisions(self) -> list[Decision]:
        """Return all decisions by hand, the oldest first."""
        return self._side.decisions()

    def add_decisions(self, decisions: Sequence[Decision]) -> None:
        """Append decisions to the log; none is ever changed or deleted."""
        self._side.add_decisions(decisions)

    def roots(self) -> list[IndexedRoot]:
        """Return what was given to `imgsearch index`, sorted by path; of named roots those of this machine."""
        return self._side.roots()

    def set_roots(self, roots: Sequence[IndexedRoot]) -> None:
        """Remember roots, or what their last run found."""
        self._side.set_roots(roots)

    def drop_roots(self, roots: Sequence[IndexedRoot]) -> None:
        """Forget roots; their photos stay until they are deleted."""
        self._side.drop_roots(roots)

    def name_roots(self, names: Mapping[str, str]) -> None:
        """Add names of roots on this machine, name -> absolute path, to those that the store remembers."""
        self._naming = Naming({root.name: root.path for root in self.roots() if root.name} | dict(names))

    def _batch_size(self) -> int:
        return batch_size(self._client)

    # -- the store ---------------------------------------------------------------------------------------------------

    def others(self) -> list[ImageStore]:
        """Return the collections of the store's other encoders."""
        manifests = manifests_in(self._client, self.place)
        names = sorted(manifests.keys() - {self.manifest.encoder})
        return [_open_collection(self._client, manifests[name], self.place, manifests) for name in names]

    def close(self) -> None:
        """Give back what Chroma holds of the store in memory; nothing may be asked of it any more."""
        close_client(self._client)

    def drop(self) -> None:
        """Delete the collection of this encoder, photos, vectors and all."""
        with translated(self.place):
            self._client.delete_collection(collection_name(self.manifest.encoder))

    def choose(self) -> None:
        """Make this encoder the one that the store is used with from now on, where it holds several."""
        others = [store.manifest.used for store in self.others()] if len(self.encoders) > 1 else []
        if not others or self.manifest.used > max(others):
            return
        self.manifest = replace(self.manifest, used=datetime.now(UTC).isoformat())
        with translated(self.place):
            self._collection.modify(metadata=self.manifest.to_metadata())

    def tune(self) -> None:
        """Set how widely the store is searched by its size, for the processes that open it from now on."""
        with translated(self.place):
            rows = whole_number(self._collection.count())
            wanted = round(HNSW["ef_search"] * max(1.0, rows / _TUNED_FOR) ** _GROWTH)
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
    """Open the collection of `encoder` in an existing store; where none is named, the one in use.

    That is the encoder that was indexed with last, by name, else `preferred`, or the only one.

    With `read_only` also a store that this user may not write, or whose disk is full, is read; callers must not write.

    Raises:
        StoreError: there is no store, it is something else, it is newer than this program, or lacks that collection.
    """
    refuse_other_addresses(place)
    if not store_exists(place):
        if not os.path.isdir(place):
            raise StoreError(f"{place}: there is no store; make one with 'imgsearch index FOLDER'")
        raise StoreError(f"{place}: is not a store of imgsearch; name another with --store")
    client = connect(place, read_only=read_only)
    place = shown_place(place)
    manifests = manifests_in(client, place)
    if not manifests:
        raise StoreError(f"{place}: is a Chroma database without photos of imgsearch; name another with --store")
    name = encoder or in_use(manifests, preferred, place)
    if name not in manifests:
        raise StoreError(
            f"{place}: was built with the encoder {listed(manifests)}, not with {name}; "
            "run 'imgsearch index' to add the other, or name the one it has with --encoder"
        )
    return _open_collection(client, manifests[name], place, manifests)


def create_store(place: str, manifest: Manifest) -> ImageStore:
    """Open the collection that `manifest` describes, making the store and the collection where they are missing.

    Raises:
        StoreError: the place is a folder of something else or cannot be written, or another dimension is stored there.
    """
    refuse_other_addresses(place)
    if not is_url(place):
        make_folder(place)
    client = connect(place)
    place = shown_place(place)
    manifests = manifests_in(client, place)
    known = manifests.get(manifest.encoder)
    if known is None:
        with translated(place):
            # two writers on one server may both find it missing
            client.get_or_create_collection(
                collection_name(manifest.encoder),
                metadata=manifest.to_metadata(),
                configuration={"hnsw": HNSW},
                embedding_function=None,
            )
    elif known.dimension != manifest.dimension:
        raise StoreError(
            f"{place}: holds vectors of {known.dimension} for {known.encoder}, which now makes {manifest.dimension}; "
            "index into a new store"
        )
    return _open_collection(client, known or manifest, place, {*manifests, manifest.encoder})


def _open_collection(client: ClientAPI, manifest: Manifest, place: str, encoders: Iterable[str]) -> ImageStore:
    with translated(place):
        collection = find_collection(client, collection_name(manifest.encoder))
    if collection is None:
        raise StoreError(f"{place}: its photos were just deleted by another process; try again")
    return ImageStore(client, collection, manifest, place, encoders)


def _by_path(photos: Iterable[StoredPhoto]) -> list[StoredPhoto]:
    return sorted(photos, key=lambda photo: photo.image_id)

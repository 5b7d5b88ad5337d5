"""ImageStore: photos and their embeddings in a ChromaDB, on disk or on a server.

One collection for each encoder holds a row for each content; two small ones hold the indexed roots and the decisions by
hand.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import socket
import uuid
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
from index_store.store.answers import AnsweredRow, candidates_in, rows_in, vectors_in, whole_number
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
from index_store.store.database import state_of
from index_store.store.exact_search import ExactSearch, Listed
from index_store.store.group_table import GroupTable
from index_store.store.groups import Condition, Passing, group_of, passing
from index_store.store.manifest import KEYS, Manifest
from index_store.store.naming import Naming, kept
from index_store.store.row_table import RowTable
from index_store.store.rows import (
    COPIES,
    JUDGED_BY,
    WITHHELD_UP_TO,
    DamagedRowError,
    decision_row,
    indexed_root,
    judged_by,
    photo_row,
    root_row,
    stored_decision,
    stored_photo,
)
from index_store.store.seals import is_sealed, seal

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

MAX_POOL = 10_000
"""The most candidates that one query may ask for."""

_ROOTS = "imgsearch-roots"
_DECISIONS = "imgsearch-decisions"
_NO_FILTERS = Filters()
_WIDER, _WIDEST = 4, 10
"""Times the pool: so many of the nearest are looked at before all rows that pass are listed, by Chroma's graph and in
an exact search; enough where a third or a seventh of all pass."""

_GRAPH_FROM = 200_000
"""In a store of more rows a process that asks a second question loads the graph: 100,000 rows are read in about 30 ms,
the graph of a million is loaded in seconds, and then takes 20 ms for each question."""

_PAGE = 20_000
"""Rows read at once: offset paging is linear in the offset, and Chroma fails on more than 32,766."""


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
        self._log: list[Decision] = []
        self._log_rows = 0
        self._groups = GroupTable(client, place)
        here = None if is_url(place) else os.path.abspath(place)
        self._listed: tuple[object, Listed] = None, Listed(())
        self._exact = None if here is None else ExactSearch(here, collection.name, manifest.dimension)
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
            row_id for page in self._pages(self._collection) for row_id, row in page if not self._reads(row_id, row)
        ]

    def _reads(self, row_id: str, row: Mapping[str, Any]) -> bool:
        try:
            stored_photo(row_id, row, self._naming)
        except DamagedRowError:
            return False
        return True

    def _photos_where(self, condition: Any) -> Iterator[StoredPhoto]:
        for page in self._pages(self._collection, condition):
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

    def _pages(
        self, collection: Collection, condition: Any = None, *, ids_alone: bool = False
    ) -> Iterator[list[AnsweredRow]]:
        for offset in itertools.count(step=_PAGE):
            with translated(self.place):
                fields: Any = [] if ids_alone else ["metadatas"]
                page = rows_in(collection.get(where=condition, include=fields, limit=_PAGE, offset=offset), fields)
            yield page
            if len(page) < _PAGE:
                return

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
        found = self._exactly(queries, min(pool, MAX_POOL), rows)
        return [self._by_graph(query, pool, rows) for query in queries] if found is None else found

    def _exactly(self, queries: Embeddings, pool: int, rows: Passing | None) -> list[list[Candidate]] | None:
        exact = self._exact
        if exact is None or (exact.rows > _GRAPH_FROM and len(queries) == 1):
            return None
        if rows is None:
            return exact.nearest(queries, pool)
        state = state_of(self.place)  # before the rows are listed
        if len(queries) == 1 and (rows, state) != self._listed[0]:
            # to list all rows that pass takes longer the more they are; then the nearest of all hold enough of them
            wanted = min(_WIDEST * pool, MAX_POOL)
            near = exact.nearest(queries, wanted)
            if near is None:
                return None
            admitted = self._admitted(near[0], pool, rows)
            if len(admitted) == pool or len(near[0]) < wanted:
                return [admitted]
        if state is None or (rows, state) != self._listed[0]:
            self._listed = (rows, state), Listed(self._ids_passing(rows))
        return exact.nearest(queries, pool, self._listed[1])

    def _admitted(self, near: Sequence[Candidate], pool: int, rows: Passing) -> list[Candidate]:
        """Return the first `pool` of some candidates that pass."""
        admitted: list[Candidate] = []
        for some in batches(near, 2 * pool):
            known = dict(self._known([candidate.key for candidate in some]))
            admitted += [candidate for candidate in some if rows.admits(known.get(candidate.key, {}))]
            if len(admitted) >= pool:
                break
        return admitted[:pool]

    def _by_graph(
        self, query: np.ndarray[Any, np.dtype[np.float32]], pool: int, rows: Passing | None
    ) -> list[Candidate]:
        if rows is None:
            return self.nearest_by_graph(query, pool)
        # as above: Chroma's own filter lists all rows that pass
        near = [] if _WIDER * pool > MAX_POOL else self.nearest_by_graph(query, _WIDER * pool)
        admitted = self._admitted(near, pool, rows)
        return admitted if len(admitted) == pool else self.nearest_by_graph(query, pool, rows.condition())

    def nearest_by_graph(
        self, query: np.ndarray[Any, np.dtype[np.float32]], pool: int, condition: Condition | None = None
    ) -> list[Candidate]:
        """Return what Chroma finds near a unit vector, in the order of `nearest`; `condition` is its own filter."""
        with translated(self.place):
            # a store with fewer photos gives those it has; to count them first would take as long as the search
            answer = self._collection.query(
                query_embeddings=query[np.newaxis, :],
                n_results=min(pool, MAX_POOL),
                where=condition,
                include=["distances", "embeddings"],  # metadata would take longer than the search
            )
            candidates = candidates_in(answer, self.manifest.dimension)
        candidates.sort(key=lambda candidate: (-candidate.similarity, candidate.key))
        return candidates

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
        pages = self._pages(self._collection, rows.condition(), ids_alone=True)
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
        for page in self._pages(self._collection):
            self.update([self._photo(row_id, row) for row_id, row in page])
        manifest = replace(self.manifest, keys=KEYS)
        with translated(self.place):
            self._collection.modify(metadata=manifest.to_metadata())  # last: an interrupted run begins again
        self.manifest = manifest

    def drop_unused_groups(self) -> None:
        """Forget the names of folders and cameras that no photo of any encoder has any more."""
        stores = (self, *self.others())
        self._groups.drop_all_but({group_of(photo, self._naming).number for each in stores for photo in each.photos()})

    # -- decisions by hand: of the store, whatever encoder ------------------------------------------------------------

    def decisions(self) -> list[Decision]:
        """Return all decisions by hand, the oldest first."""
        collection = self._small_collection(_DECISIONS)
        if collection is None:
            return []
        with translated(self.place):
            count = whole_number(collection.count())
        if count != self._log_rows:  # the log only grows
            rows = (row for page in self._pages(collection) for _, row in page)
            self._log = sorted(filter(None, map(stored_decision, rows)), key=lambda decision: decision.time)
            self._log_rows = count
        return list(self._log)

    def add_decisions(self, decisions: Sequence[Decision]) -> None:
        """Append decisions to the log; none is ever changed or deleted."""
        with translated(self.place):
            collection = self._client.get_or_create_collection(_DECISIONS, embedding_function=None)
            for batch in batches(decisions, self._batch_size()):
                collection.add(
                    ids=[str(uuid.uuid4()) for _ in batch],
                    embeddings=np.ones((len(batch), 1), dtype=np.float32),
                    metadatas=[decision_row(decision) for decision in batch],
                )

    # -- roots: of the store, whatever encoder ------------------------------------------------------------------------

    def roots(self) -> list[IndexedRoot]:
        """Return what was given to `imgsearch index`, sorted by path; of named roots those of this machine."""
        collection = self._small_collection(_ROOTS)
        if collection is None:
            return []
        here = []
        for page in self._pages(collection):
            for _, row in page:
                root = indexed_root(row, trusted=is_sealed(row.get("seal"), *_sealed_facts(row)))
                if root is not None and row.get("host") in {"", _this_host()}:
                    here.append(root)
        return sorted(here, key=lambda root: root.path)

    def set_roots(self, roots: Sequence[IndexedRoot]) -> None:
        """Remember roots, or what their last run found."""
        if not roots:
            return
        rows = [root_row(root, _this_host(), "") for root in roots]
        with translated(self.place):
            collection = self._client.get_or_create_collection(_ROOTS, embedding_function=None)
            for batch in batches(list(zip(roots, rows, strict=True)), self._batch_size()):
                collection.upsert(
                    ids=[_root_id(root) for root, _ in batch],
                    embeddings=np.ones((len(batch), 1), dtype=np.float32),  # a row without a vector is refused
                    metadatas=[
                        row | {"seal": seal(*_sealed_facts(row)) if root.trusted else ""} for root, row in batch
                    ],
                )

    def drop_roots(self, roots: Sequence[IndexedRoot]) -> None:
        """Forget roots; their photos stay until they are deleted."""
        collection = self._small_collection(_ROOTS) if roots else None
        if collection is not None:
            with translated(self.place):
                collection.delete(ids=[_root_id(root) for root in roots])

    def name_roots(self, names: Mapping[str, str]) -> None:
        """Add names of roots on this machine, name -> absolute path, to those that the store remembers."""
        self._naming = Naming({root.name: root.path for root in self.roots() if root.name} | dict(names))

    def _small_collection(self, name: str) -> Collection | None:
        with translated(self.place):
            return find_collection(self._client, name)

    def _batch_size(self) -> int:
        return batch_size(self._client)

    # -- the store ---------------------------------------------------------------------------------------------------

    def others(self) -> list[ImageStore]:
        """Return the collections of the store's other encoders."""
        manifests = _manifests(self._client, self.place)
        names = sorted(manifests.keys() - {self.manifest.encoder})
        return [_open_collection(self._client, manifests[name], self.place, manifests) for name in names]

    def close(self) -> None:
        """Give back what Chroma holds of the store in memory; nothing may be asked of it any more."""
        close_client(self._client)

    def drop(self) -> None:
        """Delete the collection of this encoder, photos, vectors and all."""
        with translated(self.place):
            self._client.delete_collection(_collection_name(self.manifest.encoder))

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
    manifests = _manifests(client, place)
    if not manifests:
        raise StoreError(f"{place}: is a Chroma database without photos of imgsearch; name another with --store")
    name = encoder or _in_use(manifests, preferred, place)
    if name not in manifests:
        raise StoreError(
            f"{place}: was built with the encoder {_listed(manifests)}, not with {name}; "
            "run 'imgsearch index' to add the other, or name the one it has with --encoder"
        )
    return _open_collection(client, manifests[name], place, manifests)


def encoders_in(place: str) -> list[str]:
    """Return the names of the encoders that a store was built with, sorted; empty where there is no store."""
    if not store_exists(place):
        return []
    return sorted(_manifests(connect(place, read_only=True), shown_place(place)))


def encoder_in_use(place: str, preferred: str) -> str | None:
    """Return the name of the encoder that a store is used with, as `open_store` chooses it; None where it has none.

    Raises:
        StoreError: the store holds several, and none of them was chosen.
    """
    if not store_exists(place):
        return None
    manifests = _manifests(connect(place, read_only=True), shown_place(place))
    return _in_use(manifests, preferred, shown_place(place)) if manifests else None


def _in_use(manifests: Mapping[str, Manifest], preferred: str | None, place: str) -> str:
    latest = max(manifests.values(), key=lambda manifest: manifest.used)
    if latest.used:
        return latest.encoder
    if preferred is not None and preferred in manifests:
        return preferred
    if len(manifests) > 1:
        raise StoreError(f"{place}: holds several encoders ({_listed(manifests)}); name one with --encoder")
    return latest.encoder


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
    manifests = _manifests(client, place)
    known = manifests.get(manifest.encoder)
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
    return _open_collection(client, known or manifest, place, {*manifests, manifest.encoder})


def _manifests(client: ClientAPI, place: str) -> dict[str, Manifest]:
    with translated(place):
        collections = client.list_collections()
    found = (Manifest.from_metadata(c.metadata, place) for c in collections if Manifest.is_in(c.metadata))
    return {manifest.encoder: manifest for manifest in found}


def _open_collection(client: ClientAPI, manifest: Manifest, place: str, encoders: Iterable[str]) -> ImageStore:
    with translated(place):
        collection = find_collection(client, _collection_name(manifest.encoder))
    if collection is None:
        raise StoreError(f"{place}: its photos were just deleted by another process; try again")
    return ImageStore(client, collection, manifest, place, encoders)


def _collection_name(encoder: str) -> str:
    # Chroma takes 3 to 512 characters of [a-zA-Z0-9._-]; a folder's path has others
    return f"photos-{hashlib.blake2b(encoder.encode('utf-8', 'surrogateescape'), digest_size=8).hexdigest()}"


def _by_path(photos: Iterable[StoredPhoto]) -> list[StoredPhoto]:
    return sorted(photos, key=lambda photo: photo.image_id)


def _root_id(root: IndexedRoot) -> str:
    return f"{root.name}@{_this_host()}" if root.name else kept(root.path)


def _sealed_facts(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return str(row.get("path")), str(row.get("name")), str(row.get("find"))


def _listed(manifests: Mapping[str, Manifest]) -> str:
    return ", ".join(sorted(manifests))


def _this_host() -> str:
    return socket.gethostname()

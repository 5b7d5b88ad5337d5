"""The small collection in which a store keeps its groups; read again only where another process has added some."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from index_store.store.chroma_answers import rows_in, whole_number
from index_store.store.client import batch_size, batches, find_collection, translated
from index_store.store.groups import Group, group_row, stored_group

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection as ChromaCollection

_NAME = "imgsearch-groups"
_PAGE = 20_000


class GroupTable:
    """The groups of a store, of whatever encoder."""

    def __init__(self, client: ClientAPI, place: str) -> None:
        """Take the client of an open store, and how errors name the store."""
        self._client = client
        self._place = place
        self._groups: dict[int, Group] = {}
        self._rows = 0

    def all(self) -> Mapping[int, Group]:
        """Return all groups by number."""
        collection = self._collection()
        if collection is None:
            return {}
        with translated(self._place):
            count = whole_number(collection.count())
            if count != self._rows:  # a group never changes: its number follows from it
                self._groups = {group.number: group for group in _stored(collection)}
                self._rows = count
        return self._groups

    def keep(self, groups: Iterable[Group]) -> None:
        """Write the groups that the table does not have yet."""
        fresh = {group.number: group for group in groups if group.number not in self._groups}
        fresh = {number: fresh[number] for number in fresh.keys() - self.all().keys()} if fresh else {}
        if not fresh:
            return
        with translated(self._place):
            collection = self._client.get_or_create_collection(_NAME, embedding_function=None)
            for batch in batches(sorted(fresh), batch_size(self._client)):
                collection.upsert(
                    ids=list(map(str, batch)),
                    embeddings=np.ones((len(batch), 1), dtype=np.float32),  # a row without a vector is refused
                    metadatas=[group_row(fresh[number]) for number in batch],
                )

    def drop_all_but(self, used: Collection[int]) -> None:
        """Forget the groups, with the names of their folders, whose numbers no photo has any more."""
        unused = sorted(self.all().keys() - set(used))
        collection = self._collection() if unused else None
        if collection is not None:
            with translated(self._place):
                for batch in batches(list(map(str, unused)), batch_size(self._client)):
                    collection.delete(ids=list(batch))

    def _collection(self) -> ChromaCollection | None:
        with translated(self._place):
            return find_collection(self._client, _NAME)


def _stored(collection: ChromaCollection) -> Iterable[Group]:
    for offset in itertools.count(step=_PAGE):
        page = rows_in(collection.get(include=["metadatas"], limit=_PAGE, offset=offset))
        yield from filter(None, (stored_group(row) for _, row in page))
        if len(page) < _PAGE:
            return

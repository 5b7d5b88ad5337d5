"""What belongs to a store whatever its encoder, a small collection each: indexed roots, decisions by hand."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from index_store.compliance.decisions import Decision
from index_store.records import IndexedRoot
from index_store.store.chroma_answers import whole_number
from index_store.store.client import batch_size, batches, find_collection, translated
from index_store.store.naming import kept
from index_store.store.paging import pages_of
from index_store.store.row_format import decision_row, indexed_root, root_row, stored_decision
from index_store.store.seals import is_sealed, seal

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection

ROOTS = "imgsearch-roots"
DECISIONS = "imgsearch-decisions"


class RootsAndDecisions:
    """Reads and writes them; what was read of the log is kept, which only grows."""

    def __init__(self, client: ClientAPI, place: str) -> None:
        """Take an open client, and the store's place as messages show it."""
        self._client = client
        self._place = place
        self._log: list[Decision] = []
        self._log_rows = 0

    def decisions(self) -> list[Decision]:
        """Return all decisions by hand, the oldest first."""
        collection = self.find(DECISIONS)
        if collection is None:
            return []
        with translated(self._place):
            count = whole_number(collection.count())
        if count != self._log_rows:  # the log only grows
            rows = (row for page in pages_of(collection, self._place) for _, row in page)
            self._log = sorted(filter(None, map(stored_decision, rows)), key=lambda decision: decision.time)
            self._log_rows = count
        return list(self._log)

    def add_decisions(self, decisions: Sequence[Decision]) -> None:
        """Append decisions to the log; none is ever changed or deleted."""
        with translated(self._place):
            collection = self._client.get_or_create_collection(DECISIONS, embedding_function=None)
            for batch in batches(decisions, batch_size(self._client)):
                collection.add(
                    ids=[str(uuid.uuid4()) for _ in batch],
                    embeddings=np.ones((len(batch), 1), dtype=np.float32),
                    metadatas=[decision_row(decision) for decision in batch],
                )

    def roots(self) -> list[IndexedRoot]:
        """Return what was given to `imgsearch index`, sorted by path; of named roots those of this machine."""
        collection = self.find(ROOTS)
        if collection is None:
            return []
        here = []
        for page in pages_of(collection, self._place):
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
        with translated(self._place):
            collection = self._client.get_or_create_collection(ROOTS, embedding_function=None)
            for batch in batches(list(zip(roots, rows, strict=True)), batch_size(self._client)):
                collection.upsert(
                    ids=[_root_id(root) for root, _ in batch],
                    embeddings=np.ones((len(batch), 1), dtype=np.float32),  # a row without a vector is refused
                    metadatas=[
                        row | {"seal": seal(*_sealed_facts(row)) if root.trusted else ""} for root, row in batch
                    ],
                )

    def drop_roots(self, roots: Sequence[IndexedRoot]) -> None:
        """Forget roots; their photos stay until they are deleted."""
        collection = self.find(ROOTS) if roots else None
        if collection is not None:
            with translated(self._place):
                collection.delete(ids=[_root_id(root) for root in roots])

    def find(self, name: str) -> Collection | None:
        """Return one of the two, None where nothing was written to it yet."""
        with translated(self._place):
            return find_collection(self._client, name)


def _root_id(root: IndexedRoot) -> str:
    return f"{root.name}@{_this_host()}" if root.name else kept(root.path)


def _sealed_facts(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return str(row.get("path")), str(row.get("name")), str(row.get("find"))


def _this_host() -> str:
    return socket.gethostname()

"""Find the photos nearest to a vector among those that pass: by an exact search in a folder, else by Chroma's graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from index_store.records import Candidate
from index_store.store.chroma_answers import AnsweredRow, candidates_in
from index_store.store.client import batches, translated
from index_store.store.exact_search import ExactSearch, Listed
from index_store.store.groups import Condition, Passing
from index_store.store.sqlite_file import state_of

if TYPE_CHECKING:
    from chromadb.api.models.Collection import Collection

    from index_store.encoders.protocols import Embeddings

MAX_POOL = 10_000
"""The most candidates that one query may ask for."""

_WIDER, _WIDEST = 4, 10
"""Times the pool: so many of the nearest are looked at before all rows that pass are listed, by Chroma's graph and in
an exact search; enough where a third or a seventh of all pass."""

_GRAPH_FROM = 200_000
"""In a store of more rows a process that asks a second question loads the graph: 100,000 rows are read in about 30 ms,
the graph of a million is loaded in seconds, and then takes 20 ms for each question."""


class Nearest:
    """Searches one collection; remembers which rows passed the last filters."""

    def __init__(
        self,
        collection: Collection,
        place: str,
        dimension: int,
        exact: ExactSearch | None,
        known: Callable[[Sequence[str]], list[AnsweredRow]],
        ids_passing: Callable[[Passing], Iterable[str]],
    ) -> None:
        """Take the collection, and what reads its rows: those of some contents, and the ids of all that pass."""
        self._collection = collection
        self._place = place
        self._dimension = dimension
        self._exact = exact
        self._known = known
        self._ids_passing = ids_passing
        self._listed: tuple[object, Listed] = None, Listed(())

    def to_each(self, queries: Embeddings, pool: int, rows: Passing | None) -> list[list[Candidate]]:
        """Return the `pool` nearest to each row of `queries`, of all rows where `rows` is None."""
        found = self._exactly(queries, min(pool, MAX_POOL), rows)
        return [self._passing_by_graph(query, pool, rows) for query in queries] if found is None else found

    def _exactly(self, queries: Embeddings, pool: int, rows: Passing | None) -> list[list[Candidate]] | None:
        exact = self._exact
        if exact is None or (exact.rows > _GRAPH_FROM and len(queries) == 1):
            return None
        if rows is None:
            return exact.nearest(queries, pool)
        state = state_of(self._place)  # before the rows are listed
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

    def _passing_by_graph(
        self, query: np.ndarray[Any, np.dtype[np.float32]], pool: int, rows: Passing | None
    ) -> list[Candidate]:
        if rows is None:
            return self.by_graph(query, pool)
        # as above: Chroma's own filter lists all rows that pass
        near = [] if _WIDER * pool > MAX_POOL else self.by_graph(query, _WIDER * pool)
        admitted = self._admitted(near, pool, rows)
        return admitted if len(admitted) == pool else self.by_graph(query, pool, rows.condition())

    def by_graph(
        self, query: np.ndarray[Any, np.dtype[np.float32]], pool: int, condition: Condition | None = None
    ) -> list[Candidate]:
        """Return what Chroma finds near a unit vector, in the order of `nearest`; `condition` is its own filter."""
        with translated(self._place):
            # a store with fewer photos gives those it has; to count them first would take as long as the search
            answer = self._collection.query(
                query_embeddings=query[np.newaxis, :],
                n_results=min(pool, MAX_POOL),
                where=condition,
                include=["distances", "embeddings"],  # metadata would take longer than the search
            )
            candidates = candidates_in(answer, self._dimension)
        candidates.sort(key=lambda candidate: (-candidate.similarity, candidate.key))
        return candidates

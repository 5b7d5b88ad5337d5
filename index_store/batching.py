"""Answer many queries, one a line: texts or JSON objects in, one answer or one error for each line out, in order."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import Queue
from threading import Thread
from typing import Any

from index_store.errors import UsageError
from index_store.records import Answer
from index_store.search import DEFAULT_K, DEFAULT_POOL, Searcher

_SIDE_BY_SIDE = 4
"""Queries that are answered at the same time: more brought little on two cores."""


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """What one line asks; the defaults are those of the command."""

    query: str
    k: int = DEFAULT_K
    pool: int = DEFAULT_POOL
    min_score: float | None = None


@dataclass(frozen=True, slots=True)
class BatchError:
    """A line that cannot be answered, by its number from 1, and why."""

    line: int
    error: str


def answer_lines(
    lines: Iterable[str], searcher: Searcher, defaults: BatchRequest | None = None
) -> Iterator[Answer | BatchError]:
    """Yield an answer or an error for each line as it comes; blank lines are passed over.

    A line is a text, or a JSON object with `query` and perhaps `k`, `pool` and `min_score`. Models are loaded once.
    Only a line's own mistakes become errors; what concerns all queries, such as a missing store, is raised.
    """
    waiting: Queue[Future[Answer | BatchError] | None] = Queue(2 * _SIDE_BY_SIDE)

    def answer(number: int, line: str) -> Answer | BatchError:
        try:
            request = _read_request(line, defaults or BatchRequest(""))
            return searcher.ask(request.query, k=request.k, pool=request.pool, min_score=request.min_score)
        except UsageError as error:
            return BatchError(number, str(error))

    def read(pool: ThreadPoolExecutor) -> None:
        # in a thread of its own, so that an answer goes out while the next line is still waited for
        opened = False
        try:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    future = pool.submit(answer, number, line.strip())
                    waiting.put(future)
                    if not opened:  # the first one opens the models
                        opened = isinstance(future.result(), Answer)
            waiting.put(None)
        except BaseException as error:  # whoever takes the answers shall meet it
            failed: Future[Answer | BatchError] = Future()
            failed.set_exception(error)
            waiting.put(failed)

    pool = ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="queries")
    try:
        Thread(target=read, args=(pool,), daemon=True).start()
        while (future := waiting.get()) is not None:
            yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _read_request(line: str, defaults: BatchRequest) -> BatchRequest:
    if not line.startswith("{"):
        return BatchRequest(line, defaults.k, defaults.pool, defaults.min_score)
    try:
        fields: dict[str, Any] = json.loads(line)
    except ValueError as error:
        raise UsageError(f"is no JSON object: {error}") from error
    kinds = {"query": str, "k": int, "pool": int, "min_score": int | float}
    unknown = sorted(set(fields) - set(kinds))
    if unknown:
        raise UsageError(f"has unknown keys: {', '.join(unknown)} (known: {', '.join(kinds)})")
    if "query" not in fields:
        raise UsageError("has no query")
    for name, kind in kinds.items():
        if name in fields and (not isinstance(fields[name], kind) or isinstance(fields[name], bool)):
            raise UsageError(f"{name} is {json.dumps(fields[name])}, which is no {'text' if kind is str else 'number'}")
    return BatchRequest(
        fields["query"],
        fields.get("k", defaults.k),
        fields.get("pool", defaults.pool),
        fields.get("min_score", defaults.min_score),
    )

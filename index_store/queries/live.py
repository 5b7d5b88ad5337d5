"""A searcher for a process that runs for hours: it sees what others write to the store and to the policy meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition

from index_store.compliance.machine_policy import MACHINE_POLICY
from index_store.paths import is_url, named_store
from index_store.queries.ask import Searcher

REOPENED_AFTER = 1.0
"""Seconds after which the store is looked at again: an index run writes many batches, and to open it takes time."""


class LiveSearcher:
    """Lends a `Searcher` that is up to date; several threads may use it at the same time.

    Deletions and decisions by hand are seen at once, since Chroma reads rows from the disk; new photos within a
    second. A policy that changes, or that becomes mandatory, holds for the next use.
    """

    def __init__(
        self,
        store: str | os.PathLike[str] | None = None,
        encoder: str | None = None,
        policy_file: Path | None = None,
        language: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Name store, encoder, policy and language as for `Searcher`; `clock` counts seconds.

        Raises:
            PolicyError, EncoderError: what is named cannot be used.
        """
        self._named = store, encoder, policy_file
        self._language = language
        self._place = named_store(store)
        self._clock = clock
        self._idle = Condition()
        self._users = 0
        self._reopening = False
        self._looked = clock()
        self._policy = self._policy_state()
        self._searcher = self._made()
        self._written = self._store_state()

    @contextmanager
    def use(self) -> Iterator[Searcher]:
        """Lend the searcher.

        Raises:
            PolicyError: the policy has changed, and the new one is broken: nothing is shown.
        """
        with self._idle:
            self._idle.wait_for(lambda: not self._reopening)
            if self._is_outdated():
                self._bring_up_to_date()
            self._users += 1
            searcher = self._searcher
        try:
            yield searcher
        finally:
            with self._idle:
                self._users -= 1
                self._idle.notify_all()

    def _is_outdated(self) -> bool:
        """Whether policy or store have changed; the store is looked at now and then only."""
        if self._policy_state() != self._policy:
            return True
        if self._clock() < self._looked + REOPENED_AFTER:
            return False
        self._looked = self._clock()
        written = self._store_state()
        return written is not None and written != self._written

    def _bring_up_to_date(self) -> None:
        """Open the store again once nobody uses it; the caller holds the lock, which others get while this waits."""
        self._reopening = True
        try:
            self._idle.wait_for(lambda: self._users == 0)
            policy, written = self._policy_state(), self._store_state()
            encoder = self._searcher.store.manifest.encoder
            self._searcher.reopen()
            if policy != self._policy or self._searcher.store.manifest.encoder != encoder:
                self._searcher = self._made()
            self._policy, self._written = policy, written
        finally:
            self._reopening = False
            self._idle.notify_all()

    def _made(self) -> Searcher:
        store, encoder, policy_file = self._named
        return Searcher(store, encoder=encoder, policy_file=policy_file, language=self._language)

    def _store_state(self) -> object:
        from index_store.store.sqlite_file import state_of  # late: `--help` of a command loads nothing of the store

        return None if is_url(self._place) else state_of(self._place)

    def _policy_state(self) -> tuple[object, ...]:
        return tuple(_file_state(path) for path in (self._named[2], MACHINE_POLICY) if path is not None)


def _file_state(path: Path) -> object:
    try:
        status = path.stat()
    except OSError as error:
        return error.errno
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode, status.st_uid

"""Let one process at a time write to a store on disk; readers are never stopped.

The only importer of filelock. The lock is the operating system's, so that it ends with its holder, however that ends.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from filelock import FileLock, Timeout

from index_store.errors import StoreError

_LOCK_FILE = ".writer.lock"
_HOLDER_FILE = ".writer.json"


@contextmanager
def writing(store: str, *, wait: bool = False) -> Iterator[None]:
    """Hold the writer's lock of the store in the folder `store`; with `wait`, once nobody else holds it.

    Raises:
        StoreError: another process holds it, or the folder cannot be written.
    """
    holder_file = os.path.join(store, _HOLDER_FILE)
    lock = FileLock(os.path.join(store, _LOCK_FILE), timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except Timeout as error:
        raise StoreError(
            f"{store}: is being written by {_holder(holder_file)}; try again later, or say --wait"
        ) from error
    except OSError as error:
        raise StoreError(f"{store}: cannot be written: {(error.strerror or str(error)).lower()}") from error
    try:
        _introduce(holder_file)
        yield
    finally:
        lock.release()


def _introduce(holder_file: str) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    holder = {"process": os.getpid(), "host": socket.gethostname(), "since": now}
    with open(holder_file, "w", encoding="utf-8") as file:
        json.dump(holder, file)


def _holder(holder_file: str) -> str:
    try:
        with open(holder_file, encoding="utf-8") as file:
            holder = json.load(file)
        return f"process {holder['process']} on {holder['host']} since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"  # it holds the lock and has not yet said who it is

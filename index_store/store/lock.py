"""Let one process at a time write to a store on disk; readers are never stopped.

The only importer of filelock. The lock is the operating system's, so that it ends with its holder, however that ends.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from filelock import FileLock, Timeout

from index_store.errors import StoreError, os_reason
from index_store.store.client import make_folder, refuse_other_addresses

_LOG = logging.getLogger(__name__)

_LOCK_FILE = ".writer.lock"
_HOLDER_FILE = ".writer.json"
_LONGEST_HOLDER = 1000


@contextmanager
def writing(store: str, *, wait: bool | float = False, make: bool = False) -> Iterator[None]:
    """Hold the writer's lock of the store in the folder `store`; with `wait`, once nobody else holds it.

    `wait` may be a number of seconds, after which it fails all the same. Whoever is waited for is logged as a warning.

    With `make`, a new store's folder is made first: of several first writers one makes the database, and the others
    find it.

    Raises:
        StoreError: another process holds the lock, or the folder is none of a store or cannot be written.
    """
    if make:
        refuse_other_addresses(store)
        make_folder(store)
    lock = _lock(os.path.join(store, _LOCK_FILE))
    try:
        _acquire(lock, store, wait)
    except Timeout as error:
        raise StoreError(f"{store}: is being written by {_holder(store)}; try again later, or use --wait") from error
    except OSError as error:
        raise _cannot_write(store, error) from error
    try:
        _record_holder(store)
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, store: str, wait: bool | float) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not wait:
            raise
        _LOG.warning("%s: is being written by %s; waiting for it", store, _holder(store))
        lock.acquire(timeout=-1 if wait is True else wait)


def _lock(path: str) -> FileLock:
    with suppress(OSError):
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise StoreError(f"{path}: is no regular file, and a lock must be one; remove it")
    return FileLock(path, mode=0o600)


def _cannot_write(store: str, error: OSError) -> StoreError:
    return StoreError(f"{store}: cannot be written: {os_reason(error)}")


def _record_holder(store: str) -> None:
    """Write who holds the lock into a new file: an existing one of that name may be a link to somewhere else."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    holder = {"process": os.getpid(), "host": socket.gethostname(), "since": now}
    path = os.path.join(store, _HOLDER_FILE)
    try:
        with suppress(FileNotFoundError):
            os.unlink(path)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(holder, file)
    except OSError as error:
        raise _cannot_write(store, error) from error


def _holder(store: str) -> str:
    try:
        # a named pipe would wait for a writer for ever
        descriptor = os.open(os.path.join(store, _HOLDER_FILE), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, encoding="utf-8") as file:
            holder = json.loads(file.read(_LONGEST_HOLDER))
        return f"process {int(holder['process'])} on {str(holder['host'])[:100]} since {str(holder['since'])[:40]}"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "another process"  # it holds the lock and has not yet said who it is

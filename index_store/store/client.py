"""Connect to Chroma, on disk or on a server, and turn what it raises into StoreErrors."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from index_store.errors import StoreError, os_reason
from index_store.paths import is_there, is_url, shown_place
from index_store.store.reading_client import ReadingClient, open_for_reading
from index_store.store.reading_copy import can_be_written, reading_copy
from index_store.store.sqlite_file import DAMAGED_ADVICE, DATABASE_FILE, refuse_damaged
from index_store.store.vector_loss import refuse_lost_vectors

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection

_LEAST_FREE_BYTES = 1_000_000
_LONGEST_REASON = 300
_MOST_ROWS_AT_ONCE = 5_000
_FILES_OF_A_STORE = 24
"""About as many files as Chroma holds open at once while it writes."""

_OLD_TEXT_CACHE = "texts.sqlite3"
"""What earlier versions kept in the store: embeddings of queries, which say nearly as much as the queries."""


_Item = TypeVar("_Item")


def store_exists(place: str) -> bool:
    """Return whether a folder holds a Chroma database; a server is assumed to be there until it fails.

    Raises:
        StoreError: the folder may not be entered, so nobody knows.
    """
    if is_url(place):
        return True
    path = os.path.join(place, DATABASE_FILE)
    try:
        return is_there(path) and os.path.isfile(path)
    except ValueError:  # a zero byte, which no name can hold
        return False
    except OSError as error:
        raise StoreError(f"{place}: cannot be read: {os_reason(error)}") from error


def refuse_other_addresses(place: str) -> None:
    """Raise StoreError for a name that Chroma cannot take, before a folder is made of it.

    A misspelt address of a server is not mistaken for the name of a folder.
    """
    try:
        if not place or "\0" in place:
            raise StoreError("the store's name is empty or holds a zero byte; name a folder with --store")
        place.encode()
    except UnicodeEncodeError as error:
        name = os.fsencode(place).decode(errors="replace")
        raise StoreError(f"{name}: Chroma takes only names in UTF-8; name another folder with --store") from error
    if "://" in place and not is_url(place):
        raise StoreError(
            f"{place.rpartition('@')[2]}: a store is a folder or a server at http://HOST:PORT or https://HOST:PORT"
        )


def make_folder(place: str) -> None:
    """Make the folder of a new store, for its owner alone; raise StoreError where that is not possible.

    A folder with other files in it is refused: its files would be mistaken for parts of the store.
    """
    try:
        if not os.path.lexists(place):
            os.makedirs(os.path.dirname(os.path.abspath(place)), exist_ok=True)
            with suppress(FileExistsError):  # another writer was first
                os.mkdir(place, 0o700)
        others = [name for name in os.listdir(place) if not name.startswith(".writer.")]
    except OSError as error:
        raise StoreError(f"{place}: the store cannot be made: {os_reason(error)}") from error
    if others and not store_exists(place):
        raise StoreError(f"{place}: holds other files and is no store; name an empty or new folder with --store")


def connect(place: str, *, read_only: bool = False) -> ClientAPI:
    """Open the Chroma database in a folder, or the server at an address.

    With `read_only`, a store that may only be read, or whose disk is full, is read through a copy of its database: what
    is written to that is lost. The caller must not write then.

    Raises:
        StoreError: there is none, it is damaged, it has lost vectors, or it cannot be read.
    """
    with translated(place):
        if is_url(place):
            from index_store.store.server import connect_to_server  # late: its HTTP library takes time

            return connect_to_server(place)
        if store_exists(place):
            writable = can_be_written(place)
            if not writable and not read_only:
                raise StoreError(f"{place}: cannot be written: it is read-only, or another user's")
            refuse_damaged(place)
            refuse_lost_vectors(place)
            if read_only:
                shown = place if writable and not _is_full(place) else reading_copy(place)
                return open_for_reading(os.path.abspath(shown)) or open_folder(shown)
        client = open_folder(place)
    if not read_only:
        _keep_private(place)
    return client


def open_folder(place: str) -> ClientAPI:
    """Open the Chroma database in a folder without checking it first; callers use `connect`."""
    from index_store.store.chroma_import import chromadb, own_settings  # late: it takes longer than a query

    # SQLite would read a relative name such as "file:photos" as an address
    return chromadb.PersistentClient(os.path.abspath(place), settings=own_settings())


def close_folder(place: str) -> None:
    """Close all that this process has opened of a store in a folder; nothing that was opened may be used any more.

    What Chroma keeps in memory does not notice what other processes write, and must not be written over it.
    """
    if "chromadb" not in sys.modules:  # nothing but readers, each of which was opened for itself
        return
    from index_store.store.chroma_import import SharedSystemClient

    path = os.path.abspath(place)
    SharedSystemClient._identifier_to_refcount.pop(path, None)
    system = SharedSystemClient._identifier_to_system.pop(path, None)
    if system is not None:
        system.stop()


def find_collection(client: ClientAPI, name: str) -> Collection | None:
    """Return a collection by its name, None where the store has none of that name."""
    if isinstance(client, ReadingClient):
        return client.find(name)
    from index_store.store.chroma_import import NotFoundError  # late, as above

    try:
        return client.get_collection(name, embedding_function=None)
    except NotFoundError:
        return None


def close_client(client: ClientAPI) -> None:
    """Close a client; what is opened in the same place from now on is read again from the disk."""
    close = getattr(client, "close", None)  # Chroma's interface does not promise it, its clients have it
    if close is not None:
        close()


def _keep_private(place: str) -> None:
    """Make the files private that Chroma leaves readable, in a store whose folder is its owner's alone."""
    with suppress(OSError):
        os.unlink(os.path.join(place, _OLD_TEXT_CACHE))
    with suppress(OSError):  # the folder keeps them out already
        if os.stat(place).st_mode & 0o077:
            return
        for folder, _, files in os.walk(place):
            os.chmod(folder, 0o700)
            for name in files:
                if not os.path.islink(path := os.path.join(folder, name)):
                    os.chmod(path, 0o600)


def batch_size(client: ClientAPI) -> int:
    """Return how many rows the store takes at once; what a server says is kept within bounds."""
    try:
        return min(max(int(client.get_max_batch_size()), 1), _MOST_ROWS_AT_ONCE)
    except (TypeError, ValueError, OverflowError):
        return _MOST_ROWS_AT_ONCE


def batches(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    """Yield the items in order, at most `size` at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


class translated:  # noqa: N801  (reads as a word in a with statement)
    """Turn the errors of Chroma into a StoreError that names the store."""

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, StoreError) or not _is_of_chroma(error, self._place):
            return
        reason = " ".join(str(error).split())[:_LONGEST_REASON] or type(error).__name__
        status = _http_status(error)
        if status and (not str(error).strip() or reason.startswith("<")):  # no body, or a page for people
            reason = f"it answers {status}, which no Chroma server does; is the address right?"
        if not is_url(self._place) and not os.path.isdir(self._place):
            reason = "its folder is gone"
        if isinstance(error, KeyError | AttributeError | TypeError | IndexError):
            reason = f"it does not answer as a Chroma server does ({type(error).__name__}: {reason})"
        raise StoreError(
            f"{shown_place(self._place)}: the store failed: {reason}{_advice(error, reason, self._place)}"
        ) from error


def _http_status(error: BaseException | None) -> str | None:
    """Return what a server answered, as "404 Not Found", where an answer is what an error came from."""
    while error is not None:
        response = getattr(error, "response", None)
        if response is not None and hasattr(response, "status_code"):
            return f"{response.status_code} {response.reason_phrase}".strip()
        error = error.__cause__ or error.__context__
    return None


def _is_of_chroma(error: BaseException, place: str) -> bool:
    if is_url(place) and isinstance(error, Exception):
        return True  # what a server sends may be anything, and Chroma's client trips over it in any way
    # a panic of Chroma's Rust part is no Exception
    if isinstance(error, OSError | ValueError | RuntimeError) or type(error).__name__ == "PanicException":
        return True
    errors = sys.modules.get("chromadb.errors")  # before it is imported, nothing raises them
    return errors is not None and isinstance(error, errors.ChromaError)


def _advice(error: BaseException, reason: str, place: str) -> str:
    """Return what can be done about a failure, as far as Chroma's message shows what it is."""
    if _lacks_handles(error, reason):
        return "; too many files are open: ask for fewer --jobs, or raise the limit with 'ulimit -n'"
    if is_url(place):
        return ""
    if _is_full(place) or "(code: 13)" in reason:
        return "; its disk is full: free some space and try again"
    if "(code: 11)" in reason or "(code: 26)" in reason or "no such table" in reason or "no such column" in reason:
        return f"; {DAMAGED_ADVICE}"
    if "hnsw" in reason or "Error finding id" in reason or "Error getting embedding" in reason:
        return "; run 'imgsearch check --repair', then 'imgsearch index'"
    if "(code: 5)" in reason:
        return "; another process is writing to it: try again"
    return ""


def _lacks_handles(error: BaseException, reason: str) -> bool:
    """Whether the limit of open files was reached; SQLite only says that it cannot open its file (code 14)."""
    if isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}:
        return True
    if "Too many open files" in reason or "os error 24" in reason:
        return True
    if "(code: 14)" not in reason:
        return False
    opened: list[int] = []
    try:  # Chroma has closed its files again by the time that it reports
        while len(opened) < _FILES_OF_A_STORE:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as failure:
        return failure.errno in {errno.EMFILE, errno.ENFILE}
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return False


def _is_full(place: str) -> bool:
    """Whether too little space is left on a local store's disk; Chroma's own words do not always say so."""
    try:
        return not is_url(place) and shutil.disk_usage(place).free < _LEAST_FREE_BYTES
    except OSError:
        return False

"""Connect to Chroma, on disk or on a server, and turn what it raises into StoreErrors."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import chromadb
from chromadb.config import Settings
from chromadb.errors import ChromaError

from index_store.errors import StoreError
from index_store.places import is_url

if TYPE_CHECKING:
    from chromadb.api import ClientAPI

_DATABASE_FILE = "chroma.sqlite3"
OWN_FILES = frozenset({".writer.lock", ".writer.json"})
"""What the writer's lock leaves in a folder before there is a database in it."""

_LEAST_FREE_BYTES = 1_000_000


def store_exists(place: str) -> bool:
    """Tell whether a folder holds a Chroma database; a server is taken to be there until it fails."""
    return is_url(place) or os.path.isfile(os.path.join(place, _DATABASE_FILE))


def refuse_other_addresses(place: str) -> None:
    """Take no misspelt address of a server for the name of a folder."""
    if "://" in place and not is_url(place):
        raise StoreError(f"{place}: a store is a folder or a server at http://HOST:PORT or https://HOST:PORT")


def make_folder(place: str) -> None:
    """Make the folder of a new store; raise StoreError where it holds other files or cannot be made."""
    others = set(os.listdir(place)) - OWN_FILES if os.path.isdir(place) else set()
    if others and not store_exists(place):
        raise StoreError(f"{place}: holds other files and is no store; name an empty or new folder with --store")
    try:
        os.makedirs(place, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{place}: the store cannot be made: {(error.strerror or str(error)).lower()}") from error


def connect(place: str) -> ClientAPI:
    """Open the Chroma database in a folder, or the server at an address; raise StoreError where that fails."""
    with translated(place):
        if is_url(place):
            return _connect_to_server(place)
        return chromadb.PersistentClient(place, settings=Settings(anonymized_telemetry=False))


def _connect_to_server(place: str) -> ClientAPI:
    address = urlsplit(place)
    token, authority = os.environ.get("IMGSEARCH_STORE_TOKEN"), os.environ.get("IMGSEARCH_STORE_CA")
    secure = address.scheme == "https"
    return chromadb.HttpClient(
        host=address.hostname or "localhost",
        port=address.port or (443 if secure else 8000),
        ssl=secure,
        headers={"Authorization": f"Bearer {token}"} if token else None,
        settings=Settings(anonymized_telemetry=False, chroma_server_ssl_verify=authority or True),
    )


class translated:  # noqa: N801  (reads as a word in a with statement)
    """Turn what Chroma raises into a StoreError that names the store."""

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, StoreError):
            return
        if isinstance(error, ChromaError | OSError | ValueError | RuntimeError) or _is_of_httpx(error):
            reason = " ".join(str(error).split()) or type(error).__name__
            advice = "; its disk is full: free some space and try again" if _is_full(self._place) else ""
            raise StoreError(f"{self._place}: the store failed: {reason}{advice}") from error


def _is_full(place: str) -> bool:
    """Whether too little space is left on a local store's disk; Chroma's own words do not always say so."""
    try:
        return not is_url(place) and shutil.disk_usage(place).free < _LEAST_FREE_BYTES
    except OSError:
        return False


def _is_of_httpx(error: BaseException | None) -> bool:
    # Chroma's client lets the errors of its HTTP library through; that library is imported only for a server
    return type(error).__module__.split(".")[0] == "httpx"

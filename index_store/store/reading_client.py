"""Read a store in a folder through Chroma's compiled core alone: its Python client takes longer to import than to ask.

`chromadb_rust_bindings` is a private part of chromadb, so it is used for the versions that the tests compare with the
public client, and for reading only. The public client answers in all other cases. It also takes over as soon as this
process imports it, since writers that share a process share what Chroma holds of a store in memory.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from threading import Lock
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from index_store.store.sqlite_file import DATABASE_FILE, reading

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection

_LOG = logging.getLogger(__name__)

KNOWN_VERSIONS = ("1.5.9",)
"""Versions of chromadb whose compiled core was compared with the public client, answer by answer."""

_TENANT, _DATABASE = "default_tenant", "default_database"
_FILES_OF_AN_INDEX = 5


class UnknownCoreError(Exception):
    """The compiled core is not one that is known here."""


def open_for_reading(place: str) -> ClientAPI | None:
    """Open the database in an absolute folder without Chroma's Python client; None where that client has to do it.

    What is returned has of the client's interface only what reading needs: there is no way to write.
    """
    if "chromadb" in sys.modules:
        return None
    try:
        client = ReadingClient(place)
        client.list_collections()
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # a panic of the core
            raise
        _LOG.info("the store is read through chromadb's own client: %s: %s", type(error).__name__, error)
        return None
    return cast("ClientAPI", client)


class ReadingClient:
    """What reads the collections in one folder."""

    def __init__(self, place: str) -> None:
        """Open the database in an absolute folder; one that needs a migration is refused.

        Raises:
            Exception: of any kind, where the core is unknown or cannot open the database.
        """
        self._place = place
        self._bindings = _opened(place)
        self._public: ClientAPI | None = None
        self._found: dict[str, ReadingCollection] = {}
        self._lock = Lock()

    def public(self) -> ClientAPI | None:
        """Return Chroma's own client where this process has imported it by now."""
        if "chromadb" not in sys.modules:
            return None
        with self._lock:
            if self._public is None:
                from index_store.store.client import open_folder  # late: it imports this module

                self._public = open_folder(self._place)
            return self._public

    @property
    def bindings(self) -> Any:
        """The core's open database."""
        return self._bindings

    def list_collections(self) -> Sequence[Collection]:
        """Return all collections."""
        if (public := self.public()) is not None:
            return public.list_collections()
        found = self._bindings.list_collections(None, None, _TENANT, _DATABASE)
        return [cast("Collection", ReadingCollection(self, each.id, each.name, each.metadata)) for each in found]

    def find(self, name: str) -> Collection | None:
        """Return a collection by its name, None where there is none of that name.

        A collection that was found before is kept while the database names it: to list them takes milliseconds.
        """
        if self.public() is not None:
            return next((each for each in self.list_collections() if each.name == name), None)
        with reading(self._place) as database:
            row = database.execute("SELECT id FROM collections WHERE name = ?", (name,)).fetchone()
        if row is None:
            return None
        known = self._found.get(name)
        if known is None or known.identity != str(row[0]):
            self._found |= {each.name: cast("ReadingCollection", each) for each in self.list_collections()}
        return cast("Collection | None", self._found.get(name))

    def get_max_batch_size(self) -> int:
        """Return how many rows may be asked for at once."""
        public = self.public()
        return int(self._bindings.get_max_batch_size()) if public is None else public.get_max_batch_size()

    def close(self) -> None:
        """Give back what is held in memory."""
        public, self._public, self._bindings = self._public, None, None
        close = getattr(public, "close", None)
        if close is not None:
            close()


class ReadingCollection:
    """The rows of one collection."""

    def __init__(self, client: ReadingClient, identity: object, name: str, metadata: Mapping[str, Any] | None) -> None:
        """Wrap what `ReadingClient.list_collections` found."""
        self._client = client
        self.identity = str(identity)
        self.name = name
        self.metadata = metadata

    def count(self) -> int:
        """Return the number of rows."""
        if (public := self._public()) is not None:
            return public.count()
        return cast("int", self._client.bindings.count(self.identity, _TENANT, _DATABASE))

    def get(
        self,
        ids: list[str] | None = None,
        where: Any = None,
        limit: int | None = None,
        offset: int | None = None,
        include: Sequence[str] = ("metadatas",),
    ) -> Mapping[str, Any]:
        """Return ids, and the fields in `include`, of the rows that are named or pass a filter."""
        asked = list(include)
        if (public := self._public()) is not None:
            return public.get(ids, where, limit, offset, include=cast("Any", asked))
        answer = self._client.bindings.get(
            self.identity, ids, _json(where), limit, offset or 0, None, asked, _TENANT, _DATABASE
        )
        return {"ids": answer.ids, "metadatas": answer.metadatas, "embeddings": answer.embeddings}

    def query(
        self,
        query_embeddings: NDArray[np.float32],
        n_results: int,
        where: Any = None,
        include: Sequence[str] = ("distances",),
    ) -> Mapping[str, Any]:
        """Return ids, and the fields in `include`, of the rows nearest to each vector, of shape (n, dimension)."""
        asked = list(include)
        if (public := self._public()) is not None:
            return public.query(query_embeddings, n_results=n_results, where=where, include=cast("Any", asked))
        answer = self._client.bindings.query(
            self.identity, None, query_embeddings.tolist(), n_results, _json(where), None, asked, _TENANT, _DATABASE
        )
        return {"ids": answer.ids, "distances": answer.distances, "embeddings": answer.embeddings}

    def _public(self) -> Collection | None:
        public = self._client.public()
        return None if public is None else public.get_collection(self.name, embedding_function=None)


def _json(where: Any) -> str | None:
    return json.dumps(where) if where else None


def _opened(place: str) -> Any:
    """Open the database in a folder with the compiled core, which changes nothing in how it is laid out."""
    found = find_spec("chromadb_rust_bindings")
    packages = "" if found is None or found.origin is None else os.path.dirname(os.path.dirname(found.origin))
    if not any(os.path.isdir(os.path.join(packages, f"chromadb-{known}.dist-info")) for known in KNOWN_VERSIONS):
        raise UnknownCoreError(f"chromadb is not {' or '.join(KNOWN_VERSIONS)}")
    _guard_imports()
    import resource  # not on Windows, where the public client reads

    import chromadb_rust_bindings as core  # type: ignore[import-untyped]

    config = core.SqliteDBConfig(
        hash_type=core.MigrationHash.MD5,
        migration_mode=core.MigrationMode.Validate,
        url=os.path.join(place, DATABASE_FILE),
    )
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return core.Bindings(
        allow_reset=False,
        sqlite_db_config=config,
        persist_path=place,
        hnsw_cache_size=files // _FILES_OF_AN_INDEX,
    )


class _GuardedImport:
    """Where the core fails it imports chromadb, for the classes of its errors; that too happens with our settings."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return the spec of chromadb, with a loader that lets it read no `.env` file; None for all else."""
        spec = PathFinder.find_spec(name, path, target) if name == "chromadb" else None
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def guarded(module: ModuleType) -> None:
            from index_store.store.chroma_settings import built_from_defaults  # late: pydantic

            with built_from_defaults():
                load(module)

        spec.loader.exec_module = guarded  # type: ignore[method-assign]
        return spec


def _guard_imports() -> None:
    if not any(isinstance(finder, _GuardedImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, cast("Any", _GuardedImport()))

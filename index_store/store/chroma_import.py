"""Import chromadb with settings of our own: no `.env` file and no environment variable decides what Chroma does.

Chroma builds its settings while it is imported, and by default reads them from `.env` in the working directory and from
variables such as `ENVIRONMENT` or `MIGRATIONS`, which are meant for other programs: a broken file would stop every
command, a named pipe would block it, and a hostile one could name modules to import and addresses to report to.
"""

from __future__ import annotations

from typing import Any

from index_store.store.chroma_settings import built_from_defaults

with built_from_defaults():
    import chromadb
    from chromadb.api.shared_system_client import SharedSystemClient
    from chromadb.config import Settings
    from chromadb.errors import ChromaError, NotFoundError


def own_settings(kind: type[Settings] = Settings, **values: Any) -> Settings:
    """Return Chroma's settings from `values` and its defaults, without telemetry."""
    # model_construct reads no file and no variable; the values are ours and need no validation
    return kind.model_construct(anonymized_telemetry=False, **values)


__all__ = ["ChromaError", "NotFoundError", "Settings", "SharedSystemClient", "chromadb", "own_settings"]

"""Import chromadb with settings of our own: no `.env` file and no environment variable decides what Chroma does.

Chroma builds its settings while it is imported, and by default reads them from `.env` in the working directory and from
variables such as `ENVIRONMENT` or `MIGRATIONS`, which are meant for other programs: a broken file would stop every
command, a named pipe would block it, and a hostile one could name modules to import and addresses to report to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel
from pydantic_settings import BaseSettings


@contextmanager
def _built_from_defaults() -> Iterator[None]:
    """Build Chroma's settings from their defaults in this block; those of other libraries are built as usual."""
    original = BaseSettings.__init__

    def from_defaults(self: BaseSettings, *args: Any, **values: Any) -> None:
        if type(self).__module__ == "chromadb.config":
            BaseModel.__init__(self, **values)
        else:
            original(self, *args, **values)

    BaseSettings.__init__ = from_defaults  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        BaseSettings.__init__ = original  # type: ignore[method-assign]


with _built_from_defaults():
    import chromadb
    from chromadb.api.shared_system_client import SharedSystemClient
    from chromadb.config import Settings
    from chromadb.errors import ChromaError, NotFoundError


def own_settings(kind: type[Settings] = Settings, **values: Any) -> Settings:
    """Return Chroma's settings from `values` and its defaults, without telemetry."""
    # model_construct reads no file and no variable; the values are ours and need no validation
    return kind.model_construct(anonymized_telemetry=False, **values)


__all__ = ["ChromaError", "NotFoundError", "Settings", "SharedSystemClient", "chromadb", "own_settings"]

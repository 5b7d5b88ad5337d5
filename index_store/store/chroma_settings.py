"""Build Chroma's settings from their defaults, whoever imports it; why is said in `chroma_import`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel
from pydantic_settings import BaseSettings


@contextmanager
def built_from_defaults() -> Iterator[None]:
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

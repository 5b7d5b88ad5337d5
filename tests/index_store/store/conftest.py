"""Fixtures of the tests of the library."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.index_store.store import vector_store


@pytest.fixture(scope="session")
def made_vector_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with vectors in files; to be copied, not changed."""
    return vector_store.make(tmp_path_factory.mktemp("vectors") / "store")


@pytest.fixture
def vectored(made_vector_store: Path, tmp_path: Path) -> Path:
    """A copy of the store with vectors in files, for one test."""
    return vector_store.copy(made_vector_store, tmp_path / "vectored")

"""The models that ship, opened once in a process: to open them takes a query longer than to answer it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from index_store.encoders import onnx_dual
from index_store.reranker import reranking

SHIPPED = Path(onnx_dual.__file__).parents[1] / "weights"


def share_what_ships(patch: pytest.MonkeyPatch) -> None:
    """Let whatever opens a tower, a tokenizer or a reranker that ships get the one that is open already."""
    for module, name in (
        (onnx_dual, "_open_session"),
        (onnx_dual, "_open_tokenizer"),
        (reranking, "read_reranker"),
    ):
        patch.setattr(module, name, _once(getattr(module, name)))


def _once(opening: Callable[..., object]) -> Callable[..., object]:
    kept = cache(opening)

    def opened(path: Path, *more: object) -> object:
        return (kept if SHIPPED in path.parents else opening)(path, *more)

    return opened

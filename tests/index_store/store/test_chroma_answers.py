"""Answers of a store that do not have the shape that was asked for are one error each, and name no password."""

from __future__ import annotations

import numpy as np
import pytest

from index_store.errors import StoreError, UsageError
from index_store.store import image_store as store_module
from index_store.store.chroma_answers import candidates_in, rows_in, vectors_in, whole_number
from index_store.store.client import translated
from index_store.store.image_store import ImageStore, open_store
from index_store.store.manifest import Manifest

PLACE = "http://user:secret@127.0.0.1:9"
UNIT = [1.0, 0.0, 0.0, 0.0]

WRONG_ROWS = [
    {"ids": ["a"], "metadatas": []},
    {"ids": ["a"], "metadatas": None},
    {"ids": [], "metadatas": [{}]},
    {"ids": [7], "metadatas": [{}]},
    {"ids": ["a"], "metadatas": ["text"]},
    {"ids": ["a"], "metadatas": [[1]]},
]
WRONG_VECTORS = [
    {"ids": ["a"], "embeddings": [[1.0, 0.0]]},
    {"ids": ["a"], "embeddings": [[1.0, float("nan"), 0.0, 0.0]]},
    {"ids": ["a", "b"], "embeddings": [UNIT]},
    {"ids": ["a"], "embeddings": [UNIT, UNIT]},
    {"ids": [None], "embeddings": [UNIT]},
    {"ids": ["a"], "embeddings": [["one", "two", "three", "four"]]},
]
WRONG_CANDIDATES = [
    {"ids": [["a"]], "embeddings": [[UNIT]], "distances": [[]]},
    {"ids": [["a"]], "embeddings": [[UNIT]], "distances": [[float("inf")]]},
    {"ids": [["a"]], "embeddings": [[[1.0]]], "distances": [[0.1]]},
    {"ids": [[None]], "embeddings": [[UNIT]], "distances": [[0.1]]},
    {"ids": [], "embeddings": [], "distances": []},
]


@pytest.mark.parametrize("answer", WRONG_ROWS, ids=str)
def test_rows_of_another_shape_are_refused(answer):
    with pytest.raises(StoreError, match="the store failed"), translated(PLACE):
        rows_in(answer)


@pytest.mark.parametrize("answer", WRONG_VECTORS, ids=str)
def test_vectors_of_another_shape_are_refused(answer):
    with pytest.raises(StoreError, match="the store failed"), translated(PLACE):
        vectors_in(answer, 4)


@pytest.mark.parametrize("answer", WRONG_CANDIDATES, ids=str)
def test_candidates_of_another_shape_are_refused(answer):
    with pytest.raises(StoreError, match="the store failed"), translated(PLACE):
        candidates_in(answer, 4)


@pytest.mark.parametrize("count", [None, "3", -1, True, 1.5, [3]])
def test_a_count_that_is_none_is_refused(count):
    with pytest.raises(StoreError, match="the store failed"), translated(PLACE):
        whole_number(count)


class _Answering:
    """A client and a collection of a server that sends one row, and too few facts."""

    configuration: dict[str, object] = {}  # noqa: RUF012

    def count(self) -> object:
        return 1

    def get(self, **asked: object) -> dict[str, object]:
        include = asked["include"]
        return {"ids": ["aa" * 16]} | ({"metadatas": []} if include == ["metadatas"] else {"embeddings": [[1.0]]})

    def query(self, **asked: object) -> dict[str, object]:
        return {"ids": [["a"]], "embeddings": [[[1.0]]], "distances": [[0.0]]}

    def get_collection(self, *_: object, **__: object) -> _Answering:
        return self

    def list_collections(self) -> list[object]:
        return []

    def get_max_batch_size(self) -> int:
        return 10**9


ASKING = {
    "count": lambda store: store.count(),
    "withheld": lambda store: store.withheld(0.1),
    "outdated": lambda store: store.outdated_verdicts("rule", "policy"),
    "photos": lambda store: list(store.photos()),
    "damaged rows": lambda store: store.damaged_rows(),
    "embeddings": lambda store: store.embeddings(["aa" * 16]),
    "photos of": lambda store: store.photos_of(["aa" * 16]),
    "nearest": lambda store: store.nearest(np.ones(4, dtype=np.float32), 10),
    "decisions": lambda store: store.decisions(),
    "roots": lambda store: store.roots(),
}


@pytest.mark.parametrize("asking", ASKING)
def test_whatever_is_asked_a_wrong_answer_is_one_error_without_the_password(monkeypatch, asking):
    monkeypatch.setattr(ImageStore, "roots", lambda self: [])
    store = ImageStore(_Answering(), _Answering(), Manifest("e", 4), PLACE, ["e"])
    monkeypatch.undo()
    with pytest.raises(StoreError) as caught:
        ASKING[asking](store)
    assert str(caught.value).startswith("http://***@127.0.0.1:9: ")
    assert "\n" not in str(caught.value)


def test_no_error_about_a_server_names_the_password(monkeypatch):
    monkeypatch.setattr(store_module, "connect", lambda place, read_only: _Answering())
    with pytest.raises(StoreError, match=r"^http://\*\*\*@127\.0\.0\.1:9: is a Chroma database without photos"):
        open_store(PLACE)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("http://u:p@host:8000: no", "http://***@host:8000: no"),
        ("https://u:p/q@r@host/path: no", "https://***@host/path: no"),
        ("a: http://host and me@work", "a: http://host and me@work"),
        ("/home/me@work/store: no", "/home/me@work/store: no"),
    ],
)
def test_messages_lose_user_and_password_and_nothing_else(message, shown):
    assert str(UsageError(message)) == shown

"""Whether a run can go to Ray: what is refused before anything is written, without Ray."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from index_store.errors import ClusterError, UsageError
from index_store.indexing import cluster
from index_store.indexing.cluster import RayOptions, keep_to_ourselves, refuse_unusable

SERVER = "http://127.0.0.1:8000"
SETTINGS = b"\0\0\0\4\0\0\0\0\0"


@pytest.fixture
def answering() -> Iterator:
    """A function that lets something answer once, with some bytes, and returns its address."""
    pytest.importorskip("ray")
    listeners = []

    def answer(answer: bytes | None) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve() -> None:
            with closing(listener.accept()[0]) as connection:
                connection.recv(100)
                if answer is None:
                    connection.recv(100)  # says nothing until the other side goes
                else:
                    connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield answer
    for listener in listeners:
        listener.close()


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"has one writer.*chroma run --path DIR"):
        refuse_unusable(str(tmp_path / "store"), RayOptions())


@pytest.mark.parametrize("address", ["", "head", "head:", "head:1:2", "http://head:6379", "head:123456"])
def test_an_address_that_is_none_is_refused(address):
    pytest.importorskip("ray")
    with pytest.raises(UsageError, match=r"--ray-address is HOST:PORT"):
        refuse_unusable(SERVER, RayOptions(address))


def test_a_port_on_which_nothing_listens_is_refused():
    pytest.importorskip("ray")
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        free = taken.getsockname()[1]
    with pytest.raises(ClusterError, match=r"no Ray cluster answers there \(connection refused\)"):
        refuse_unusable(SERVER, RayOptions(f"127.0.0.1:{free}"))


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"\0\0"])
def test_a_port_on_which_something_else_answers_is_refused(answering, answer):
    """Ray itself would try for a quarter of an hour."""
    with pytest.raises(ClusterError, match="what answers there is no Ray cluster; nothing was changed"):
        refuse_unusable(SERVER, RayOptions(answering(answer)))


def test_a_port_on_which_something_listens_and_says_nothing_is_refused(answering, monkeypatch):
    monkeypatch.setattr(cluster, "_CONNECT_SECONDS", 0.1)
    with pytest.raises(ClusterError, match=r"no Ray cluster answers there \(timed out\)"):
        refuse_unusable(SERVER, RayOptions(answering(None)))


def test_what_begins_as_ray_does_is_taken(answering):
    refuse_unusable(SERVER, RayOptions(answering(SETTINGS)))


def test_a_local_ray_gets_a_token_of_its_own_and_a_cluster_the_users(monkeypatch):
    monkeypatch.setattr(os, "environ", {})
    keep_to_ourselves(RayOptions("head:6379"))
    assert not any("TOKEN" in name for name in os.environ)
    keep_to_ourselves(RayOptions())
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64

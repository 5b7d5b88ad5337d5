"""Servers that are slow, endless, wrong or hostile: one line each, within a bounded time, and no password in it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from chromadb.api.models.Collection import Collection

from index_store.errors import StoreError
from index_store.paths import shown_place
from index_store.store import server
from index_store.store.client import batch_size, connect, translated

IDENTITY = {"user_id": "", "tenant": "default_tenant", "databases": ["default_database"]}
COLLECTION = {
    "id": "6e67cfd5-37c7-449a-bfd8-84a438e19684", "name": "photos", "metadata": None, "dimension": 4,
    "configuration_json": {}, "tenant": "default_tenant", "database": "default_database", "version": 0,
    "log_position": 0,
}  # fmt: skip


class Request(BaseHTTPRequestHandler):
    """One request, which the test's own function answers."""

    answer: Callable[[Request], None]
    authorizations: list[str | None]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.authorizations.append(self.headers.get("Authorization"))
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            self.answer()
        except OSError:
            self.close_connection = True  # the client had enough

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass

    def send(self, body: bytes, code: int = 200, **headers: str) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def send_json(self, content: object) -> None:
        self.send(json.dumps(content).encode())


@pytest.fixture
def serve(monkeypatch) -> Iterator[Callable[..., str]]:
    """Return a function that starts a server with one way of answering, and returns its address."""
    monkeypatch.setattr(server, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(server, "MAX_ANSWER_BYTES", 1_000_000)
    started: list[ThreadingHTTPServer] = []

    def serve(answer: Callable[[Request], None], authorizations: list[str | None] | None = None) -> str:
        kind = type("Answering", (Request,), {"answer": answer, "authorizations": authorizations or []})
        if authorizations is not None:
            kind.authorizations = authorizations
        started.append(ThreadingHTTPServer(("127.0.0.1", 0), kind))
        started[-1].daemon_threads = True
        threading.Thread(target=started[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{started[-1].server_port}"

    yield serve
    for each in started:
        each.shutdown()
        each.server_close()


def drip(request: Request, text: bytes) -> None:
    for byte in text * 1000:
        request.wfile.write(bytes([byte]))
        request.wfile.flush()
        time.sleep(0.05)


def stream_for_ever(request: Request) -> None:
    request.send_response(200)
    request.end_headers()
    while True:
        request.wfile.write(b" " * 100_000)


def announce_for_ever(request: Request) -> None:
    while True:
        request.wfile.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")


WAYS: dict[str, Callable[[Request], None]] = {
    "says nothing": lambda request: time.sleep(30),
    "closes at once": lambda request: request.connection.close(),
    "drips its header": lambda request: drip(request, b"HTTP/1.1 200 OK\r\nX-Header: "),
    "drips its body": lambda request: (request.send_response(200), request.end_headers(), drip(request, b" ")),
    "streams without end": stream_for_ever,
    "announces without end": announce_for_ever,
    "promises more than it sends": lambda request: request.send(b"{}", Content_Length="100000000000"),
    "sends no HTTP": lambda request: request.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n" * 10),
    "sends HTML": lambda request: request.send(b"<html>Please log in</html>"),
    "sends nothing at all": lambda request: request.send(b""),
    "sends no text": lambda request: request.send(b"\xff\xfe\0" * 100),
    "sends a list": lambda request: request.send_json([1, 2, 3]),
    "sends a number": lambda request: request.send_json(7),
    "sends null": lambda request: request.send_json(None),
    "sends deep JSON": lambda request: request.send(b"[" * 400_000),
    "sends other fields": lambda request: request.send_json({"user_id": {"a": 1}, "nothing": "else"}),
    "sends wrong types": lambda request: request.send_json({"user_id": [], "tenant": 5, "databases": {"a": 1}}),
    "redirects elsewhere": lambda request: request.send(b"", 302, Location="http://127.0.0.1:9/"),
    "is no Chroma": lambda request: request.send(b"", 404),
    "is a page for people": lambda request: request.send(b"<html>not here</html>", 404),
    "fails": lambda request: request.send(b"internal error\nsecond line", 500),
    "fails with an error of Chroma": lambda request: request.send(
        b'{"error":"NotFoundError","message":"\x1b[31mno"}', 404
    ),
    "asks for a password": lambda request: request.send(b"who are you?", 401),
    "sends compressed zeros": lambda request: request.send(b"\x1f\x8b" + b"\0" * 100, Content_Encoding="gzip"),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_bad_server_is_one_line_within_a_bounded_time(serve, way):
    address = serve(WAYS[way]).replace("http://", "http://user:secret-word@")
    started = time.monotonic()
    with pytest.raises(StoreError) as caught:
        connect(address)
    assert time.monotonic() - started < 10
    message = str(caught.value)
    assert message.startswith(f"{shown_place(address)}: the store failed: ")
    assert "secret-word" not in message
    assert len(message) < 500
    assert "\n" not in message


@pytest.mark.parametrize("way", ["is no Chroma", "is a page for people"])
def test_another_server_is_named_as_such(serve, way):
    with pytest.raises(StoreError, match="it answers 404 Not Found, which no Chroma server does; is the address right"):
        connect(serve(WAYS[way]))


def after_connecting(answer: Callable[[Request], None]) -> Callable[[Request], None]:
    """A server that looks right until the collection is asked for something."""

    def answering(request: Request) -> None:
        path = request.path.partition("?")[0]
        if path.endswith("/auth/identity"):
            request.send_json(IDENTITY)
        elif path.endswith(("/default_tenant", "/default_database")):
            request.send_json({"id": "1", "name": path.rpartition("/")[2], "tenant": "default_tenant"})
        elif path.endswith("/collections/photos"):
            request.send_json(COLLECTION)
        else:
            answer(request)

    return answering


@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_turns_bad_later_is_one_line_too(serve, way):
    address = serve(after_connecting(WAYS[way]))
    collection = connect(address).get_collection("photos", embedding_function=None)
    with pytest.raises(StoreError, match=f"^{address}: the store failed: "):
        _first_answer(collection, address)


def _first_answer(collection: Collection, address: str) -> list[str]:
    with translated(address):
        answer = collection.query(query_embeddings=np.ones((1, 4), dtype=np.float32), n_results=3)
        return [f"{name} {far}" for name, far in zip(answer["ids"][0], answer["distances"][0], strict=True)]


@pytest.mark.parametrize(("said", "taken"), [(0, 1), (-5, 1), (10**12, 5000), ("many", 5000), (None, 5000), (41, 41)])
def test_a_server_does_not_decide_how_much_is_sent_at_once(said, taken):
    class Client:
        def get_max_batch_size(self) -> object:
            return said

    assert batch_size(Client()) == taken


def test_a_password_in_the_address_is_sent_and_shown_nowhere(serve, monkeypatch):
    sent: list[str | None] = []
    address = serve(after_connecting(lambda request: request.send_json(0)), sent)
    connect(address.replace("http://", "http://user:p%40ss@"))
    assert set(sent) == {"Basic dXNlcjpwQHNz"}  # user:p@ss
    sent.clear()
    monkeypatch.setenv(server.TOKEN_VARIABLE, "token")
    connect(address.replace("http://", "http://user:p%40ss@"))
    assert set(sent) == {"Bearer token"}


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("http://user:secret@host:8000", "http://***@host:8000"),
        ("https://user:se@cret@host/path", "https://***@host/path"),
        ("http://user@host", "http://***@host"),
        ("http://host:8000", "http://host:8000"),
        ("http://user:secret@[::1", "http://***@[::1"),
        ("/home/me@work/store", "/home/me@work/store"),
    ],
)
def test_an_address_is_named_without_its_password(address, name):
    assert shown_place(address) == name


@pytest.mark.parametrize("address", ["http://", "http://:8000", "http://user:secret@", "http://u:secret@host:notaport"])
def test_an_address_that_cannot_be_one_is_one_line(address):
    with pytest.raises(StoreError) as caught:
        connect(address)
    assert "secret" not in str(caught.value)


def test_certificates_that_are_not_there_are_named(monkeypatch):
    monkeypatch.setenv(server.CERTIFICATES_VARIABLE, "/nowhere/ca.pem")
    with pytest.raises(StoreError, match="/nowhere/ca.pem: there are no certificates; IMGSEARCH_STORE_CA names them"):
        connect("https://127.0.0.1:9")

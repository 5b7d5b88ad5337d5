"""Connect to a Chroma server that may be slow, broken or hostile: each answer has a time limit and a greatest size.

Chroma's own client waits for ever, reads bodies of any size and unpacks compressed ones. It offers no setting for
that, but it accepts the name of the class that sends its requests: here a class with another transport.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Iterable, Iterator
from threading import local
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx
from chromadb.api.fastapi import FastAPI

from index_store.errors import StoreError, os_reason
from index_store.paths import is_there
from index_store.store.chroma_import import Settings, chromadb, own_settings

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.config import System
    from httpcore import SOCKET_OPTION

CONNECT_SECONDS = 5.0
"""How long a server may take to accept a connection."""

ANSWER_SECONDS = 120.0
"""How long a whole answer may take, from the request to the last byte: a large batch on a slow machine takes tens."""

MAX_ANSWER_BYTES = 256 * 1024 * 1024
"""The largest answer: the largest pool, 10,000 rows of 1,000 numbers as text, has about 200 MB."""

TOKEN_VARIABLE = "IMGSEARCH_STORE_TOKEN"
CERTIFICATES_VARIABLE = "IMGSEARCH_STORE_CA"


def connect_to_server(place: str) -> ClientAPI:
    """Open the server at an address; a user and password in it are sent as basic authentication.

    Raises:
        StoreError: the address cannot be used.
        Exception: whatever Chroma makes of a server that is not there or answers something else.
    """
    address = urlsplit(place)
    secure = address.scheme == "https"
    host = address.hostname or ""
    if not host:
        raise StoreError("the address names no host; write http://HOST:PORT or https://HOST:PORT")
    return chromadb.HttpClient(
        host=f"[{host}]" if ":" in host else host,
        port=address.port or (443 if secure else 8000),
        ssl=secure,
        headers=_authorization(address),
        settings=own_settings(_ServerSettings, chroma_server_ssl_verify=_certificates() or True),
    )


def _authorization(address: SplitResult) -> dict[str, str] | None:
    token = os.environ.get(TOKEN_VARIABLE)
    if token:
        return {"Authorization": f"Bearer {token}"}
    if address.username is None:
        return None
    pair = f"{unquote(address.username)}:{unquote(address.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _certificates() -> str | None:
    file = os.path.expanduser(os.environ.get(CERTIFICATES_VARIABLE, ""))
    try:
        if file and not is_there(file):
            raise StoreError(f"{file}: there are no certificates; {CERTIFICATES_VARIABLE} names them")
    except OSError as error:
        raise StoreError(f"{file}: cannot be read: {os_reason(error)}; {CERTIFICATES_VARIABLE} names it") from error
    return file or None


class _ServerSettings(Settings):
    """Settings under which Chroma sends its requests through `BoundedFastAPI`."""

    def require(self, key: str) -> Any:
        # the attribute must keep Chroma's own name, which shows Chroma that this is a client of a server
        return f"{__name__}.{BoundedFastAPI.__name__}" if key == "chroma_api_impl" else super().require(key)


class BoundedFastAPI(FastAPI):
    """Chroma's client of servers, with limits."""

    def __init__(self, system: System) -> None:
        super().__init__(system)
        headers = {**self._session.headers, "Accept-Encoding": "identity"}
        self._session.close()
        url, verify = self.get_api_url(), system.settings.chroma_server_ssl_verify
        self._session = httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            transport=_BoundedTransport(verify=True if verify is None else verify, proxy=_proxy(url)),
            follow_redirects=False,  # another host is not the one that was named
        )


def _proxy(url: str) -> str | None:
    """Return the proxy that the environment names; httpx ignores it for a client with a transport of its own."""
    address = urlsplit(url)
    return None if proxy_bypass(address.netloc) else getproxies().get(address.scheme)


class _Deadline(local):
    """When the answer to the request that this thread has sent must be complete."""

    at = float("inf")

    def left(self, timeout: float | None) -> float:
        """Return how long to wait for the next bytes; raise ReadTimeout when the time is over."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout(f"no complete answer within {ANSWER_SECONDS:.0f} s")
        return left if timeout is None else min(left, timeout)


_deadline = _Deadline()


class _BoundedTransport(httpx.HTTPTransport):
    """Sends requests, and gives up on answers that take too long, are too large or are compressed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # httpx has no argument for it; timeouts alone begin again with each byte of a header that drips
        self._pool._network_backend = _BoundedBackend()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        _deadline.at = time.monotonic() + ANSWER_SECONDS
        response = super().handle_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            response.close()
            raise ValueError("it answered in a compressed form that nobody asked for")
        assert isinstance(response.stream, httpx.SyncByteStream)
        response.stream = _BoundedBody(response.stream)
        return response


class _BoundedBody(httpx.SyncByteStream):
    """The bytes of an answer, up to the largest size."""

    def __init__(self, stream: httpx.SyncByteStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for part in self._stream:
            size += len(part)
            if size > MAX_ANSWER_BYTES:
                raise ValueError(f"it answered with more than {MAX_ANSWER_BYTES / 1024 / 1024:.0f} MiB")
            yield part

    def close(self) -> None:
        self._stream.close()


class _BoundedBackend(httpcore.SyncBackend):
    """Opens connections on which no read outlasts the deadline."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        return _BoundedStream(super().connect_tcp(host, port, timeout, local_address, socket_options))


class _BoundedStream(httpcore.NetworkStream):
    """A connection on which no read outlasts the deadline."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _deadline.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, *args: Any, **options: Any) -> httpcore.NetworkStream:
        return _BoundedStream(self._stream.start_tls(*args, **options))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

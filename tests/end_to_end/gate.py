"""A proxy in front of a Chroma server that counts the photos written, and stops in the middle of a run on request."""

from __future__ import annotations

import http.client
import json
import select
import socket
import threading
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil

SECONDS = 300
_HOPS = {"connection", "transfer-encoding", "content-length", "keep-alive", "server", "date"}


class Gate:
    """Passes requests on to the server at a port.

    After `stop_at(rows)` the write that brings the photos to so many is carried out and its answer is kept back, and
    all later writes wait, until `open`. A client that is gone by then gets nothing, and nothing is written for it.
    `written` counts how often each photo was written.
    """

    def __init__(self, port: int) -> None:
        self.written: Counter[str] = Counter()
        self._server_port = port
        self._stop_at: int | None = None
        self._changed = threading.Condition()
        self._waiting_for_answer: int | None = None
        self._waiting_to_write = 0
        self._refused = 0
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle(self) -> None:
                with suppress(ConnectionError):  # the client was killed
                    super().handle()

            def pass_on(self) -> None:
                gate._pass_on(self)

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = pass_on

            def log_message(self, *arguments: object) -> None:
                pass

        self._proxy = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._proxy.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._proxy.server_port}"
        threading.Thread(target=self._proxy.serve_forever, daemon=True).start()

    def stop_at(self, rows: int) -> None:
        """Stop at the write that brings the photos to so many."""
        self._stop_at = rows

    def wait_until_stopped(self, actors: int) -> psutil.Process:
        """Wait until so many actors wait inside `embed`; return the one whose rows are written, without its knowing."""
        with self._changed:
            stopped = self._changed.wait_for(
                lambda: self._waiting_for_answer and self._waiting_to_write >= actors - 1, SECONDS
            )
        assert stopped, f"{len(self.written)} photos written, {self._waiting_to_write} writers wait"
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                for connection in process.net_connections("tcp"):
                    ports = connection.laddr.port, connection.raddr and connection.raddr.port
                    if ports == (self._waiting_for_answer, self._proxy.server_port):
                        return process
        raise AssertionError("the writer is gone")

    def wait_until_refused(self, times: int) -> None:
        """Wait until the server was asked so often while it was not there."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._refused >= times, SECONDS)

    def open(self) -> None:
        """Let all pass that wait, and all that come."""
        with self._changed:
            self._stop_at = None
            self._changed.notify_all()

    def close(self) -> None:
        """End the proxy."""
        self.open()
        self._proxy.shutdown()
        self._proxy.server_close()

    def _pass_on(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        photos = _photos_in(handler.path, body)
        answer_waits = False
        if photos:
            with self._changed:
                if self._stop_at is not None and len(self.written) >= self._stop_at:
                    self._waiting_to_write += 1
                    self._wait()
                if _is_gone(handler.connection):
                    handler.close_connection = True
                    return
                self.written.update(photos)
                answer_waits = self._stop_at is not None and len(self.written) >= self._stop_at
        status, headers, answer = self._ask_server(handler, body)
        if answer_waits and status < 300:
            with self._changed:
                self._waiting_for_answer = handler.client_address[1]
                self._wait()
        if status == 0:
            handler.close_connection = True
            return
        handler.send_response(status)
        for name, value in headers:
            if name.lower() not in _HOPS:
                handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer)))
        handler.end_headers()
        handler.wfile.write(answer)

    def _wait(self) -> None:
        self._changed.notify_all()
        self._changed.wait_for(lambda: self._stop_at is None, SECONDS)

    def _ask_server(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        """Return the server's answer, with the status 0 where there is no server."""
        connection = http.client.HTTPConnection("127.0.0.1", self._server_port, timeout=SECONDS)
        try:
            connection.request(handler.command, handler.path, body, dict(handler.headers))
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        except (OSError, http.client.HTTPException):
            with self._changed:
                self._refused += 1
                self._changed.notify_all()
            return 0, [], b""
        finally:
            connection.close()


def _photos_in(path: str, body: bytes) -> list[str]:
    """Return the ids of the photos that a request writes."""
    if not path.endswith(("/upsert", "/add")):
        return []
    rows = json.loads(body)
    return [row_id for row_id, row in zip(rows["ids"], rows["metadatas"] or [], strict=False) if "photo" in (row or {})]


def _is_gone(connection: socket.socket) -> bool:
    readable, _, _ = select.select([connection], [], [], 0)
    try:
        return bool(readable) and not connection.recv(1, socket.MSG_PEEK)
    except OSError:
        return True

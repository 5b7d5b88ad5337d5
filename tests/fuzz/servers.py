"""Answers of a hostile Chroma server: one line each in bounded time, and nothing read that a server merely names.

`answers.json` has what a real `chroma run` answered; `python -m tests.fuzz.record` writes it.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random

from index_store import server
from tests.fuzz.fuzzing import Target
from tests.fuzz.mutating import json_bytes
from tests.fuzz.processes import expect_defined, prepare, run_command

ANSWERS = Path(__file__).with_name("answers.json")
ELSEWHERE = "/elsewhere"
"""What the recorded paths begin with."""
SECONDS = 20.0

COMMANDS = (
    ("query", "a cat", "--min-score", "0"),
    ("query", "a dog", "--format", "jsonl"),
    ("status",),
    ("check",),
    ("policy", "list"),
    ("policy", "list", "--log"),
    ("index", "--dry-run"),
    ("index",),
    ("index", "photos"),
    ("policy", "withhold", "photos", "--reason", "a test"),
    ("forget", "photos"),
)
_STATUS = (200, 200, 200, 200, 200, 200, 201, 204, 301, 400, 401, 404, 409, 418, 500, 503)


class Servers(Target):
    """A server that answers as Chroma does, but for one kind of request."""

    name = "servers"

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        prepare()
        server.ANSWER_SECONDS = 5.0
        self._answers = json.loads(ANSWERS.read_text(encoding="utf-8"))
        self._outside = scratch / "outside"
        self._outside.mkdir()
        (self._outside / "private.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        self._replies = _Replies(self._answers, str(self._outside))
        kind = type("Answering", (_Request,), {"replies": self._replies})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def make(self, chance: Random, folder: Path) -> None:
        answer = chance.choice(self._answers)
        body = json_bytes(json.loads(answer["body"]), chance)
        case = {"method": answer["method"], "path": answer["path"], "status": chance.choice(_STATUS)}
        case["commands"] = chance.sample(COMMANDS, 2)
        (folder / "case.json").write_text(json.dumps(case))
        (folder / "body").write_bytes(body)

    def check(self, folder: Path) -> None:
        case = json.loads((folder / "case.json").read_text())
        self._replies.changed = (case["method"], case["path"], case["status"], (folder / "body").read_bytes())
        (folder / "photos").mkdir()
        for arguments in case["commands"]:
            place = ("--store", f"http://127.0.0.1:{self._server.server_port}")
            expect_defined(run_command([*arguments, *place], folder, forbidden=self._outside, seconds=SECONDS))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Replies:
    """What is answered to a request: what was recorded, but for the one that is changed."""

    def __init__(self, answers: list[dict[str, str]], outside: str) -> None:
        self._outside = outside
        self._known = {(each["method"], each["path"]): each for each in answers}
        self._exact = {(each["method"], each["path"], each["asked"]): each for each in answers}
        self.changed: tuple[str, str, int, bytes] | None = None

    def to(self, method: str, path: str, asked: str) -> tuple[int, bytes]:
        if self.changed is not None and self.changed[:2] == (method, path):
            return self.changed[2], self.changed[3].replace(ELSEWHERE.encode(), self._outside.encode())
        known = self._exact.get((method, path, asked)) or self._known.get((method, path))
        if known is None:
            return 404, b'{"error":"NotFoundError","message":"there is no such thing"}'
        return int(known["status"]), known["body"].replace(ELSEWHERE, self._outside).encode()


class _Request(BaseHTTPRequestHandler):
    replies: _Replies
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        asked = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, body = self.replies.to(self.command, self.path.partition("?")[0], asked.decode("utf-8", "replace"))
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            self.close_connection = True  # the client had enough

    do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, *_: object) -> None:
        pass

"""Write down what a real Chroma server answers: `python -m tests.fuzz.record`; `answers.json` is made of it."""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.fuzz.__main__ import _live_in
from tests.fuzz.processes import run_command
from tests.fuzz.servers import ANSWERS, COMMANDS, ELSEWHERE
from tests.fuzz.stores import paint

CHROMA = (sys.executable, "-P", "-c", "from chromadb.cli.cli import app; app()")


class _Passing(BaseHTTPRequestHandler):
    """Passes a request on to the server, and writes down both."""

    port: int
    seen: list[dict[str, object]]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        asked = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with closing(http.client.HTTPConnection("127.0.0.1", self.port)) as real:
            real.request(self.command, self.path, asked, {"Content-Type": "application/json"})
            answer = real.getresponse()
            body = answer.read()
        self.seen.append(
            {
                "method": self.command,
                "path": self.path.partition("?")[0],
                "asked": asked.decode() if len(asked) < 300 else "",
                "status": answer.status,
                "body": body.decode(),
            }
        )
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    with tempfile.TemporaryDirectory() as name, closing(socket.socket()) as probe:
        folder = Path(name)
        _live_in(folder / "home")
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        real = subprocess.Popen([*CHROMA, "run", "--path", str(folder / "server"), "--port", str(port)], stdout=-3)
        try:
            _wait_for(port)
            seen = _record(port, folder)
        finally:
            real.kill()
            real.wait()
    text = json.dumps(_each_once(seen), indent=1).replace(name, ELSEWHERE)
    ANSWERS.write_text(text + "\n", encoding="utf-8")
    print(f"{len(seen)} answers, {len(text):,} bytes")


def _record(port: int, folder: Path) -> list[dict[str, object]]:
    seen: list[dict[str, object]] = []
    passing = ThreadingHTTPServer(("127.0.0.1", 0), type("Passing", (_Passing,), {"port": port, "seen": seen}))
    threading.Thread(target=passing.serve_forever, daemon=True).start()
    (folder / "photos").mkdir()
    for number in range(3):
        paint(folder / "photos" / f"{number}.png", number)
    store = ("--store", f"http://127.0.0.1:{passing.server_port}")
    for arguments in (("index", "photos"), ("policy", "withhold", "photos/1.png"), *COMMANDS):
        done = run_command([*arguments, *store], folder)
        print(done.command.replace(str(folder), ""), done.code)
    return seen


def _each_once(seen: list[dict[str, object]]) -> list[dict[str, object]]:
    """Return for each request the longest answer: that of the fullest store; with numbers of four digits."""
    longest: dict[tuple[object, ...], dict[str, object]] = {}
    for each in sorted(seen, key=lambda each: len(str(each["body"]))):
        longest[each["method"], each["path"], each["asked"]] = each
    return [each | {"body": _NUMBER.sub(r"\1", str(each["body"]))} for each in longest.values()]


_NUMBER = re.compile(r"(-?\d\.\d{4})\d+")


def _wait_for(port: int) -> None:
    for _ in range(300):
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit("the server did not start")


if __name__ == "__main__":
    main()

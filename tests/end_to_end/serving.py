"""Run `imgsearch serve` for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

SECONDS = 60.0


class Served(httpx.Client):
    """A client of a page that is served: `link` is what the program wrote, `process` what serves it."""

    def __init__(self, link: str, process: subprocess.Popen[str]) -> None:
        super().__init__(base_url=link.partition("?")[0], timeout=SECONDS, trust_env=False)
        self.link = link
        self.process = process

    def end(self) -> str:
        """End it as Ctrl-C does, and return all that it has said."""
        self.process.send_signal(signal.SIGINT)
        return "".join(self.process.communicate(timeout=SECONDS))


@contextmanager
def serving(store: Path, *arguments: str, cwd: Path | None = None) -> Iterator[Served]:
    """Serve a store on a free port."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("IMGSEARCH_")}
    program = str(Path(sys.executable).with_name("imgsearch"))
    process = subprocess.Popen(
        [program, "-vv", "serve", "--port", "0", "--store", str(store), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean, cwd=cwd,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        link = process.stdout.readline().strip()
        assert link.startswith("http://"), process.communicate()[1]
        with Served(link, process) as client:
            yield client
            if process.poll() is None:
                client.end()
    finally:
        process.kill()


def until(holds, seconds: float = SECONDS):
    """Return what `holds` returns once that is true; fail when it has not become so in time."""
    deadline = time.monotonic() + seconds
    while not (result := holds()):
        assert time.monotonic() < deadline, "did not come about in time"
        time.sleep(0.05)
    return result

"""Ask a Chroma server with many photos from many clients at once: `python -m benchmarks.asking [--photos 100000]`.

The rows are those of `benchmarks.scale`, served by `chroma run` on this machine. Clients are threads of one process
that has loaded the models, as a web service does; `imgsearch query` in a process of its own; and bare requests for the
nearest 100 of a ready vector, which show what the server itself can do. "While written": a process writes 100 photos a
second, about what two cores embed. `--folder` keeps the store for the next time.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from benchmarks.rows import Row, show
from benchmarks.scale import POOL, Synthetic, fill, make_files
from benchmarks.speed import IMGSEARCH
from index_store.encoders.registry import encoder_card
from index_store.queries.ask import Searcher
from index_store.store.image_store import create_store, open_store
from index_store.store.manifest import Manifest

CLIENTS = (1, 8, 32)
SECONDS = 20.0
WRITTEN_AT_ONCE = 100
NEVER = 1e9
_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Asked:
    """How long the answers took that came, and how many did not come."""

    seconds: list[float]
    errors: int
    wall: float

    def rows(self, name: str, server: str) -> list[Row]:
        """Return the rows of the table; they have no bar of their own but for the errors."""
        p50, p95 = (1000 * float(np.percentile(self.seconds, share)) if self.seconds else NEVER for share in (50, 95))
        rate = f"{len(self.seconds) / self.wall:.1f} answers/s"
        return [
            Row(f"{name}: p50, ms", p50, rate, server, NEVER, NEVER, False),
            Row(f"{name}: p95, ms", p95, f"{self.errors} errors", f"{len(self.seconds)} answers", NEVER, NEVER, False),
        ]


def main() -> None:
    """Build, serve, ask, and show the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = chosen.folder or Path(temporary)
        show(measure(work, chosen.photos, chosen.seconds), chosen.json)


def measure(work: Path, photos: int, seconds: float) -> list[Row]:
    """Build the store where it is not there yet, serve it, and ask it from 1, 8 and 32 clients."""
    card = encoder_card()
    if not (work / "large").exists():
        files = make_files(work / "photos", photos)
        store = create_store(str(work / "large"), Manifest(card.name, card.dimension))
        fill(store, files, Synthetic(card.dimension))
        store.tune()
    with served(work / "large") as (url, server):
        searcher = Searcher(url)
        ask_warm(searcher)  # the server loads the graph with its first question
        rows = [Row(f"memory of the server with {photos:,} photos, MB", _memory(server), "", "", NEVER, NEVER, False)]
        bare = bare_request(url, Synthetic(card.dimension, seed=3).draw(200))
        for writes in (False, True):
            with writing(url, card.dimension) if writes else nullcontext():
                while_written = ", while written" if writes else ""
                for clients in CLIENTS:
                    name = f"{clients} clients{while_written}"
                    kinds = {
                        "bare requests": bare,
                        "models loaded": lambda: ask_warm(searcher),
                        "imgsearch query": lambda: ask_cold(url),
                    }
                    for kind, ask in kinds.items():
                        before = core_seconds(server)
                        asked = at_once(ask, clients, seconds)
                        each = 1000 * (core_seconds(server) - before) / max(1, len(asked.seconds))
                        rows += asked.rows(f"{name}, {kind}", f"{each:.0f} ms of the server's cores each")
    return rows


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Run a Chroma server over a folder, on a port of its own."""
    command = [str(Path(sys.executable).with_name("chroma")), "run", "--path", str(folder), "--host", "127.0.0.1"]
    with listening(lambda port: [*command, "--port", str(port)]) as running:
        yield running


@contextmanager
def listening(command: Callable[[int], Sequence[str]]) -> Iterator[tuple[str, psutil.Process]]:
    """Run a server on a free port, and wait until it listens."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(command(port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 120
        while True:
            with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), 1)):
                break
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < until, "the server did not start"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()


def at_once(ask: Callable[[], None], clients: int, seconds: float) -> Asked:
    """Let each of so many clients ask one question after the other; all ask at least once."""
    taken: list[float] = []
    errors = itertools.count()
    started = time.perf_counter()

    def client(number: int) -> None:
        while True:
            begun = time.perf_counter()
            try:
                ask()
                taken.append(time.perf_counter() - begun)
            except Exception:
                next(errors)
            if time.perf_counter() - started > seconds:
                return

    with ThreadPoolExecutor(clients) as threads:
        list(threads.map(client, range(clients)))
    return Asked(taken, next(errors), time.perf_counter() - started)


def ask_warm(searcher: Searcher) -> None:
    """Ask for a text that nobody has asked for."""
    searcher.ask(_new_text(), min_score=0)


def ask_cold(url: str) -> None:
    """Do the same in a fresh process."""
    command = [IMGSEARCH, "query", _new_text(), "--min-score", "0", "--format", "paths", "--store", url]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=300)


def _new_text() -> str:
    return f"a dog beside house number {next(_NUMBERS)}"


def bare_request(url: str, vectors: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> Callable[[], None]:
    """Return what asks the server for the nearest `POOL` of the next vector, and does not parse the answer."""
    collection = open_store(url)._collection.id
    path = f"/api/v2/tenants/default_tenant/databases/default_database/collections/{collection}/query"
    include = ["distances", "embeddings"]
    bodies = [json.dumps({"query_embeddings": [v.tolist()], "n_results": POOL, "include": include}) for v in vectors]
    turns, own = itertools.count(), threading.local()

    def ask() -> None:
        if not hasattr(own, "connection"):
            own.connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=120)
        body = bodies[next(turns) % len(bodies)]
        own.connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = own.connection.getresponse()
        content = answer.read()
        assert answer.status == 200, content[:200]

    return ask


@contextmanager
def writing(url: str, dimension: int) -> Iterator[None]:
    """Write photos from a process of its own meanwhile."""
    command = [sys.executable, "-c", f"from benchmarks.asking import write; write({url!r}, {dimension})"]
    process = subprocess.Popen(command)
    try:
        yield
        assert process.poll() is None, "the writer ended early"
    finally:
        process.kill()
        process.wait()


def write(url: str, dimension: int) -> None:
    """Write `WRITTEN_AT_ONCE` new photos a second, until killed."""
    store, synthetic = open_store(url), Synthetic(dimension, seed=4)
    with tempfile.TemporaryDirectory() as folder:
        for number in itertools.count():
            begun = time.monotonic()
            fill(store, make_files(Path(folder) / str(number), WRITTEN_AT_ONCE), synthetic)
            time.sleep(max(0.0, 1 - (time.monotonic() - begun)))


def core_seconds(process: psutil.Process) -> float:
    """Return what a process has used of cores."""
    times = process.cpu_times()
    return float(times.user + times.system)


def _memory(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 1e6


if __name__ == "__main__":
    main()

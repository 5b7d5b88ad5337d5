"""What embedding on Ray takes, against the plain command: `python -m benchmarks.fleet PHOTOS [--json FILE]`.

PHOTOS is a folder of real photos. All write to a `chroma run` on this machine. "One core" and "two cores" hold all that
takes part: Ray's processes, actors, decoders, the driver, and the server.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import psutil

from benchmarks.asking import core_seconds, served
from benchmarks.rows import Row, show
from benchmarks.speed import IMGSEARCH
from index_store.indexing.cluster import RayOptions, keep_to_ourselves

TIMES = 3


@dataclass(frozen=True)
class Run:
    """Photos/s of a whole run, and from the moment an actor was ready; core seconds a photo, Ray's start left out."""

    whole: float
    steady: float
    core_seconds: float


def main() -> None:
    """Measure, and show the rows; or do one run on a cluster, in the process that the cores were given to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--times", type=int, default=TIMES)
    parser.add_argument("--nodes", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if chosen.nodes:
            print(json.dumps(asdict(on_nodes(chosen.photos, Path(folder), chosen.nodes))))
            return
        rows = [*local(chosen.photos, Path(folder), chosen.times), *one_and_two(chosen.photos, chosen.times)]
        show(rows, chosen.json)


def local(photos: Path, work: Path, times: int) -> list[Row]:
    """Time the whole command with a local Ray of two actors against the plain one, both into a server."""

    def index(number: int, *options: str) -> tuple[float, float]:
        with served(work / f"{number}{len(options)}") as (url, server):
            return watched([IMGSEARCH, "-q", "index", str(photos), "--store", url, *options], server)

    pairs = [(index(number), index(number, "--ray", "--jobs", "2")) for number in range(times)]
    count = len(list(photos.iterdir()))
    plain, with_ray = (tuple(map(median, zip(*(pair[which] for pair in pairs), strict=True))) for which in (0, 1))
    ratios = sorted(one[0] / other[0] for one, other in pairs)
    cores = sorted(one[1] / other[1] for one, other in pairs)
    return [
        Row(
            f"photos/s, local Ray with 2 actors / plain command, {count:,} photos, median of {times}",
            median(ratios),
            f"{count / with_ray[0]:.1f}/s, ratios {ratios[0]:.2f} to {ratios[-1]:.2f}",
            f"{count / plain[0]:.1f}/s",
            0.75,
            0.95,
            True,
        ),
        Row(
            "the same by core seconds, whatever else runs here",
            median(cores),
            f"{with_ray[1]:.1f} s of cores, ratios {cores[0]:.2f} to {cores[-1]:.2f}",
            f"{plain[1]:.1f} s of cores",
            0.75,
            0.95,
            True,
        ),
    ]


def watched(command: Sequence[str], server: psutil.Process) -> tuple[float, float]:
    """Run a command; return its seconds, and the core seconds of all processes that it starts and of the server."""
    spent: dict[int, float] = {}
    before, started = core_seconds(server), time.perf_counter()
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        with suppress(psutil.Error):
            for each in (process, *process.children(recursive=True)):
                with suppress(psutil.Error):
                    spent[each.pid] = core_seconds(each)
        time.sleep(0.1)
    seconds = time.perf_counter() - started
    assert process.returncode == 0, process.returncode
    return seconds, sum(spent.values()) + core_seconds(server) - before


def one_and_two(photos: Path, times: int) -> list[Row]:
    """Compare a cluster of two nodes on two cores with one of one node on one core."""
    one, two = [list[Run](), list[Run]()]
    for _ in range(times):
        one.append(_apart(photos, 1))
        two.append(_apart(photos, 2))
    ratios = [b.steady / a.steady for a, b in zip(one, two, strict=True)]
    cores = [2 * a.core_seconds / b.core_seconds for a, b in zip(one, two, strict=True)]
    return [
        Row(
            "photos/s of one actor, all on one core",
            median(run.steady for run in one),
            f"{median(run.whole for run in one):.1f} with the start of actors",
            f"{1000 * median(run.core_seconds for run in one):.1f} ms of a core for a photo",
            0,
            0,
            True,
        ),
        Row(
            "photos/s, two nodes on two cores / one node on one core",
            median(ratios),
            f"{median(run.steady for run in two):.1f}/s, ratios {min(ratios):.2f} to {max(ratios):.2f}",
            f"{median(run.steady for run in one):.1f}/s",
            1.7,
            1.9,
            True,
        ),
        Row(
            "the same by core seconds, whatever else runs here",
            median(cores),
            f"{1000 * median(run.core_seconds for run in two):.1f} ms of a core for a photo",
            f"{1000 * median(run.core_seconds for run in one):.1f} ms",
            1.7,
            1.9,
            True,
        ),
    ]


def _apart(photos: Path, nodes: int) -> Run:
    """Do one run in a process that has as many cores as nodes."""
    cores = sorted(os.sched_getaffinity(0))[:nodes]
    command = [sys.executable, "-m", "benchmarks.fleet", str(photos), "--nodes", str(nodes)]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: os.sched_setaffinity(0, cores)
    )
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def on_nodes(photos: Path, work: Path, nodes: int) -> Run:
    """Index the photos on a cluster of so many nodes of one core each, all on the cores of this process."""
    keep_to_ourselves(RayOptions())
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster  # late: it reads its variables

    from index_store.indexing.ray_connection import few_processes
    from index_store.indexing.run import IndexOptions
    from index_store.library import Library

    def progress(done: int, total: int, note: str = "") -> None:
        for process in (me, *me.children(recursive=True)):
            with suppress(psutil.Error):  # an actor that has nothing left to do is ended before the run is
                spent[process.pid] = core_seconds(process)
        if note.startswith("block") and (not marks or done == total):
            marks.append((time.perf_counter(), sum(spent.values())))

    me, spent, marks = psutil.Process(), dict[int, float](), list[tuple[float, float]]()
    with served(work / "store") as (url, _), few_processes():
        head = {"num_cpus": 0, "object_store_memory": 80_000_000, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            for _ in range(nodes):
                cluster.add_node(wait=False, num_cpus=1, object_store_memory=80_000_000)
            cluster.wait_for_nodes(timeout=300)
            started = time.perf_counter()
            report = Library(url).index(str(photos), IndexOptions(ray=RayOptions(cluster.address)), progress)
            whole = time.perf_counter() - started
        finally:
            cluster.shutdown()
    count = report.encoded
    (begun, before), (ended, after) = marks[0], marks[-1]
    return Run(count / whole, count / (ended - begun), (after - before) / count)


if __name__ == "__main__":
    main()

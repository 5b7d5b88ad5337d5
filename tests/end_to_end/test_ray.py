"""Embedding on Ray: the installed program, a local Ray or a cluster of two nodes, and a real Chroma server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from index_store.records import StoredPhoto
from index_store.store.image_store import open_store
from tests.end_to_end.gate import Gate
from tests.index_store.store.test_server import Server

TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64, "RAY_worker_niceness": "0"}
os.environ.update(TOKEN | {"RAY_USAGE_STATS_ENABLED": "0"})

ray = pytest.importorskip("ray", reason="needs the extra: pip install 'imgsearch-cli[ray]'")
from ray._private.node import Node  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

from index_store.indexing import ray_connection as connecting  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.ray]

ROUNDS = int(os.environ.get("IMGSEARCH_KILL_ROUNDS", "1"))
"""How often each kind of process is killed; `make test-kills` does so five times, 20 kills in all."""

PHOTOS = 128  # four blocks
MIDDLE = PHOTOS // 4
PROGRAM = str(Path(sys.executable).with_name("imgsearch"))
SECONDS = 500  # of a machine that does much else
Rows = dict[str, tuple[StoredPhoto, np.ndarray]]

DRIVER = """
from index_store.indexing import blocks, cluster
cluster.keep_to_ourselves(cluster.RayOptions("auto"))
from index_store.indexing import on_ray
{change}
from imgsearch_cli.main import run
run()
"""
ACTORS = """
class Embedder(blocks.BlockEmbedder):
    def _ready(self):
        {change}
        return super()._ready()
on_ray.BlockEmbedder = Embedder
"""
WITHOUT_REPEATS = DRIVER.format(change="on_ray.RETRIES = 0")
WITHOUT_WAITING = DRIVER.format(change=ACTORS.format(change="blocks.STORE_TRIES = 1"))
WITHOUT_UPSERT = DRIVER.format(
    change="""
from dataclasses import replace
from uuid import uuid4
from index_store.store.image_store import ImageStore
upsert = ImageStore.upsert
def add(self, photos, embeddings):
    upsert(self, [replace(photo, content_hash=uuid4().hex) for photo in photos], embeddings)
"""
    + ACTORS.format(change="ImageStore.upsert = add")
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Small photos, all different, one of which is none."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(PHOTOS):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((64, 48)).save(folder / f"{number:03}.png")
    (folder / "none.png").write_bytes(b"no photo")
    return folder


@pytest.fixture(scope="module")
def expected(photos, tmp_path_factory) -> Rows:
    """The rows of a plain run."""
    place = str(tmp_path_factory.mktemp("plain") / "store")
    subprocess.run([PROGRAM, "-q", "index", str(photos), "--store", place], check=True)
    return rows(place)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster that finds out soon that a node is gone."""
    quickly = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}
    head = {"num_cpus": 0, "object_store_memory": 80_000_000, "include_dashboard": False, "_system_config": quickly}
    with connecting.few_processes(), pytest.MonkeyPatch.context() as patched:
        patched.setenv("RAY_gcs_server_port_wait_time_s", "120")
        started = Cluster(initialize_head=True, head_node_args=head)
    yield started
    started.shutdown()


@pytest.fixture
def nodes(cluster) -> Cluster:
    """The cluster with two nodes of one core each."""
    while len(cluster.worker_nodes) < 2:
        cluster.add_node(wait=False, num_cpus=1, object_store_memory=80_000_000)
    cluster.wait_for_nodes(timeout=SECONDS)
    return cluster


@pytest.fixture
def server(tmp_path) -> Iterator[Server]:
    started = Server(tmp_path / "server")
    yield started
    started.stop()


@pytest.fixture
def gate(server) -> Iterator[Gate]:
    """What runs write through, which stops them in the middle."""
    started = Gate(server.port)
    started.stop_at(MIDDLE)
    yield started
    started.close()


def rows(place: str) -> Rows:
    store = open_store(place)
    photos = list(store.photos())
    vectors = store.embeddings([photo.content_hash for photo in photos])
    return {photo.content_hash: (photo, vectors[photo.content_hash]) for photo in photos}


def rounded(found: Rows) -> dict[str, StoredPhoto]:
    """Return the rows with probabilities of six digits: what else was in a batch moves the ninth."""
    return {
        content: replace(row, verdict=replace(row.verdict, probability=round(row.verdict.probability, 6)))
        for content, (row, _) in found.items()
    }


@dataclass(frozen=True)
class Stopped:
    """A run in the middle, the actor that wrote last and does not know it, and how many photos are written."""

    run: subprocess.Popen[str]
    writer: psutil.Process
    written: int


def raylet(node: Node) -> int:
    """The process that starts the actors of a node."""
    return node.all_processes["raylet"][0].process.pid


def assert_equal(found: Rows, expected: Rows) -> None:
    assert len(expected) == PHOTOS
    assert rounded(found) == rounded(expected)
    for content, (_, vector) in expected.items():
        assert found[content][1] == pytest.approx(vector, abs=1e-5)


def start(photos: Path, place: str, *options: str, script: str = "") -> subprocess.Popen[str]:
    program = [sys.executable, "-P", "-c", script] if script else [PROGRAM]
    command = [*program, "index", str(photos), "--store", place, "--ray", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=photos)


def finish(run: subprocess.Popen[str], code: int = 0) -> str:
    out, err = run.communicate(timeout=SECONDS)
    assert run.returncode == code, err
    assert out == ""
    return err


def ours(said: str) -> list[str]:
    """Return the lines without those that Ray's core may write as it ends: "[2026-11-25 15:29:12,244 E ..."."""
    return [line for line in said.splitlines() if not line.startswith("[20")]


@contextmanager
def stopped(gate: Gate, photos: Path, nodes: Cluster, script: str = "") -> Iterator[Stopped]:
    """Start a run that stands still in the middle: both actors are inside `embed`, and one has written its rows."""
    run = start(photos, gate.url, "--ray-address", nodes.address, script=script)
    try:
        writer = gate.wait_until_stopped(actors=2)
        written = len(gate.written)
        assert 0.1 * PHOTOS <= written <= 0.9 * PHOTOS
        assert run.poll() is None
        yield Stopped(run, writer, written)
    finally:
        if run.poll() is None:
            run.kill()
            run.communicate()


def kill(process: psutil.Process) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait(SECONDS)


def assert_complete(server: Server, expected: Rows) -> None:
    assert_equal(rows(server.url), expected)
    done = subprocess.run([PROGRAM, "check", "--store", server.url], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_local_ray_gives_the_rows_of_a_plain_run_and_leaves_nothing_behind(photos, expected, server, monkeypatch):
    for name in TOKEN:
        monkeypatch.delenv(name)
    (photos / "numpy.py").write_text("raise SystemExit('a module among the photos was imported')")
    before = {process.pid for process in psutil.process_iter()}
    said = finish(start(photos, server.url))
    assert f"{PHOTOS} added" in said
    assert "skipped none.png: is not a photo" in said
    assert said.count("\n") == 2
    assert_complete(server, expected)
    left = [each for each in psutil.process_iter(["name"]) if each.pid not in before and "ray" in each.info["name"]]
    assert not psutil.wait_procs(left, timeout=60)[1]
    (photos / "numpy.py").unlink()


@pytest.mark.parametrize("number", range(ROUNDS))
def test_an_actor_that_is_killed_costs_nothing(photos, expected, server, gate, nodes, number):
    with stopped(gate, photos, nodes) as middle:
        kill(middle.writer)
        assert len(rows(server.url)) == middle.written
        gate.open()
        assert f"{PHOTOS} added" in finish(middle.run)
    assert max(gate.written.values()) == 2  # its block was written, and ran once more
    assert_complete(server, expected)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_node_that_is_gone_costs_nothing(photos, expected, server, gate, nodes, number):
    with stopped(gate, photos, nodes) as middle:
        [node] = [each for each in nodes.worker_nodes if raylet(each) == middle.writer.ppid()]
        nodes.remove_node(node, allow_graceful=False)
        middle.writer.wait(SECONDS)
        assert len(rows(server.url)) == middle.written
        gate.open()
        assert f"{PHOTOS} added" in finish(middle.run)
    assert max(gate.written.values()) == 2
    assert_complete(server, expected)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_after_a_driver_was_killed_the_next_run_does_the_rest(photos, expected, server, gate, nodes, number):
    with stopped(gate, photos, nodes) as middle:
        middle.run.kill()
        middle.run.communicate()
        middle.writer.wait(SECONDS)  # the actors belonged to it
    gate.open()
    assert len(rows(server.url)) == middle.written
    said = finish(start(photos, gate.url, "--ray-address", nodes.address))
    assert f"{PHOTOS - middle.written} added, {middle.written} unchanged" in said
    assert set(gate.written.values()) == {1}
    assert_complete(server, expected)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_server_that_is_started_again_is_waited_for(photos, expected, server, gate, nodes, number):
    with stopped(gate, photos, nodes) as middle:
        server.stop()
        gate.open()
        gate.wait_until_refused(3)
        assert middle.run.poll() is None
        server.start()
        assert f"{PHOTOS} added" in finish(middle.run)
    assert_complete(server, expected)


def test_without_repeats_a_killed_actor_ends_the_run_in_one_line(photos, expected, server, gate, nodes):
    with stopped(gate, photos, nodes, WITHOUT_REPEATS) as middle:
        kill(middle.writer)
        gate.open()
        [said] = ours(finish(middle.run, code=2))
    assert "actors on Ray died 1 times at the same block" in said
    assert len(rows(server.url)) < PHOTOS
    finish(start(photos, gate.url, "--ray-address", nodes.address))
    assert_complete(server, expected)


def test_without_waiting_a_server_that_is_started_again_ends_the_run(photos, server, gate, nodes):
    with stopped(gate, photos, nodes, WITHOUT_WAITING) as middle:
        server.stop()
        gate.open()
        [said] = ours(finish(middle.run, code=2))
        assert "the store failed" in said
        server.start()
    assert len(rows(server.url)) < PHOTOS


def test_without_upsert_a_block_that_ran_twice_leaves_its_rows_twice(photos, server, gate, nodes):
    with stopped(gate, photos, nodes, WITHOUT_UPSERT) as middle:
        kill(middle.writer)
        gate.open()
        finish(middle.run)
    assert len(rows(server.url)) > PHOTOS


def test_ctrl_c_ends_the_actors_and_keeps_what_is_written(photos, server, gate, nodes):
    with stopped(gate, photos, nodes) as middle:
        middle.run.send_signal(signal.SIGINT)
        said = finish(middle.run, code=130)
        assert said == "\ninterrupted; what was written is kept, the next run goes on from there\n"
        middle.writer.wait(SECONDS)
    assert len(rows(server.url)) == middle.written

"""Embedding on Ray: the installed program, a local Ray or a cluster of two nodes, and a real Chroma server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from index_store.records import StoredPhoto
from index_store.store.images import open_store
from tests.index_store.store.test_server import Server

TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64, "RAY_worker_niceness": "0"}
os.environ.update(TOKEN | {"RAY_USAGE_STATS_ENABLED": "0"})

ray = pytest.importorskip("ray", reason="needs the extra: pip install 'imgsearch-cli[ray]'")
from ray.cluster_utils import Cluster  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.ray]

PHOTOS = 320
PROGRAM = str(Path(sys.executable).with_name("imgsearch"))
SECONDS = 300
Rows = dict[str, tuple[StoredPhoto, np.ndarray]]


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
    started = Cluster(initialize_head=True, head_node_args=head)
    yield started
    started.shutdown()


@pytest.fixture
def nodes(cluster) -> Cluster:
    """The cluster with two nodes of one core each."""
    while len(cluster.worker_nodes) < 2:
        cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
    cluster.wait_for_nodes()
    return cluster


@pytest.fixture
def server(tmp_path) -> Iterator[Server]:
    started = Server(tmp_path / "server")
    yield started
    started.stop()


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


def assert_equal(found: Rows, expected: Rows) -> None:
    assert len(expected) == PHOTOS
    assert rounded(found) == rounded(expected)
    for content, (_, vector) in expected.items():
        assert found[content][1] == pytest.approx(vector, abs=1e-5)


def start(photos: Path, server: Server, *options: str, program: tuple[str, ...] = (PROGRAM,)) -> subprocess.Popen[str]:
    command = [*program, "index", str(photos), "--store", server.url, "--ray", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=photos)


def finish(run: subprocess.Popen[str], code: int = 0) -> str:
    out, err = run.communicate(timeout=SECONDS)
    assert run.returncode == code, err
    assert out == ""
    return err


def in_the_middle(run: subprocess.Popen[str], server: Server, event: Callable[[], bool] = lambda: True) -> int:
    """Wait until some rows are written, some are not, and an event has happened; return how many."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until and run.poll() is None:
        written = count(server)
        if 0.1 * PHOTOS <= written <= 0.9 * PHOTOS and event():
            return written
    raise AssertionError("the run was never in the middle")


def count(server: Server) -> int:
    try:
        return open_store(server.url).count()
    except Exception:
        return 0


def working_actors() -> list[psutil.Process]:
    """The actors that are inside `embed` now: Ray writes it into the process's title."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if "BlockEmbedder.embed" in " ".join(process.info["cmdline"] or ()):
            found.append(process)
    return found


def kill_an_actor() -> bool:
    for actor in working_actors()[:1]:
        actor.send_signal(signal.SIGKILL)
        return True
    return False


def check(server: Server) -> None:
    done = subprocess.run([PROGRAM, "check", "--store", server.url], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_local_ray_gives_the_rows_of_a_plain_run_and_leaves_nothing_behind(photos, expected, server, monkeypatch):
    for name in TOKEN:
        monkeypatch.delenv(name)
    (photos / "numpy.py").write_text("raise SystemExit('a module among the photos was imported')")
    before = {process.pid for process in psutil.process_iter()}
    said = finish(start(photos, server))
    assert f"{PHOTOS} added" in said
    assert "skipped none.png: is not a photo" in said
    assert said.count("\n") == 2
    assert_equal(rows(server.url), expected)
    check(server)
    left = [each for each in psutil.process_iter(["name"]) if each.pid not in before and "ray" in each.info["name"]]
    assert not psutil.wait_procs(left, timeout=60)[1]
    (photos / "numpy.py").unlink()


def test_an_actor_that_is_killed_costs_nothing(photos, expected, server, nodes):
    run = start(photos, server, "--ray-address", nodes.address)
    assert in_the_middle(run, server, kill_an_actor) < PHOTOS
    assert f"{PHOTOS} added" in finish(run)
    assert_equal(rows(server.url), expected)
    check(server)


def test_without_repeats_a_killed_actor_ends_the_run_in_one_line_and_the_next_completes_it(
    photos, expected, server, nodes
):
    script = (
        "from index_store.indexing import cluster; cluster.keep_to_ourselves(cluster.RayOptions('auto'))\n"
        "from index_store.indexing import on_ray; on_ray.RETRIES = 0\nfrom imgsearch_cli.main import run; run()"
    )
    run = start(photos, server, "--ray-address", nodes.address, program=(sys.executable, "-P", "-c", script))
    in_the_middle(run, server, kill_an_actor)
    said = finish(run, code=2)
    assert "actors on Ray died 1 times at the same block" in said
    assert said.count("\n") == 1
    assert count(server) < PHOTOS
    finish(start(photos, server, "--ray-address", nodes.address))
    assert_equal(rows(server.url), expected)


def test_a_node_that_is_gone_costs_nothing(photos, expected, server, nodes):
    run = start(photos, server, "--ray-address", nodes.address)
    in_the_middle(run, server, lambda: len(working_actors()) == 2)
    nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False)
    assert count(server) < PHOTOS
    assert f"{PHOTOS} added" in finish(run)
    assert_equal(rows(server.url), expected)
    check(server)


def test_a_driver_that_is_killed_leaves_what_is_written_and_the_next_run_does_the_rest(photos, expected, server, nodes):
    run = start(photos, server, "--ray-address", nodes.address)
    in_the_middle(run, server, lambda: bool(working_actors()))
    run.kill()
    run.communicate()
    actors = working_actors()
    assert not psutil.wait_procs(actors, timeout=60)[1]  # they belonged to it
    written = count(server)
    assert 0 < written < PHOTOS
    assert f"{PHOTOS - written} added, {written} unchanged" in finish(
        start(photos, server, "--ray-address", nodes.address)
    )
    assert_equal(rows(server.url), expected)
    check(server)


def test_a_server_that_is_started_again_is_waited_for(photos, expected, server, nodes):
    run = start(photos, server, "--ray-address", nodes.address)
    in_the_middle(run, server)
    server.stop()
    assert run.poll() is None
    server.start()
    assert count(server) < PHOTOS
    assert f"{PHOTOS} added" in finish(run)
    assert_equal(rows(server.url), expected)
    check(server)


def test_ctrl_c_ends_the_actors_and_keeps_what_is_written(photos, server, nodes):
    run = start(photos, server, "--ray-address", nodes.address)
    written = in_the_middle(run, server, lambda: bool(working_actors()))
    run.send_signal(signal.SIGINT)
    assert (
        finish(run, code=130) == "imgsearch: interrupted; what was written is kept, the next run goes on from there\n"
    )
    assert not psutil.wait_procs(working_actors(), timeout=60)[1]
    assert written <= count(server) < PHOTOS


def test_a_port_on_which_something_else_answers_is_one_line(photos, server):
    said = finish(start(photos, server, "--ray-address", server.url.removeprefix("http://")), code=2)
    assert "cannot be used as a Ray cluster" in said
    assert said.count("\n") == 1

"""Photos in a bucket of S3: the installed program against moto's server, which speaks S3 on the loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

pytest.importorskip("s3fs", reason="needs the extra: pip install 'imgsearch-cli[remote]'")
moto_server = pytest.importorskip("moto.server", reason="needs moto's server: pip install 'moto[s3,server]'")

from werkzeug.serving import make_server  # noqa: E402

from tests.demo_photos import main as copy_demo_photos  # noqa: E402
from tests.index_store.store.test_server import Server  # noqa: E402

pytestmark = pytest.mark.slow

PHOTOS = 12  # of the demo
PROGRAM = str(Path(sys.executable).with_name("imgsearch"))
SECRET = "a-secret-that-nobody-prints"
SLOW_DOWN, GONE = "503 Slow Down", "404 Not Found"


@dataclass
class S3:
    """An S3 that counts requests; `fails` gives for one (number, method, path) the error that it gets, or ""."""

    address: str = ""
    requests: list[tuple[str, str]] = field(default_factory=list)
    fails: Callable[[int, str, str], str] = lambda number, method, path: ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def counted(self) -> Counter[str]:
        return Counter(method if "." in path.rpartition("/")[2] else "LIST" for method, path in self.requests)


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    s3 = S3()
    inner = moto_server.DomainDispatcherApplication(moto_server.create_backend_app)

    def app(environ, start_response):
        with s3.lock:
            s3.requests.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
            failed = s3.fails(len(s3.requests), environ["REQUEST_METHOD"], environ["PATH_INFO"])
        if failed:
            start_response(failed, [("Content-Type", "application/xml")])
            code = "SlowDown" if failed == SLOW_DOWN else "NoSuchKey"
            return [f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()]
        return inner(environ, start_response)

    running = make_server("127.0.0.1", 0, app, threaded=True)
    s3.address = f"http://127.0.0.1:{running.server_port}"
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield s3
    running.shutdown()


@pytest.fixture
def s3(server, monkeypatch) -> S3:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": server.address,
    }.items():
        monkeypatch.setenv(name, value)
    server.fails = lambda number, method, path: ""
    server.requests.clear()
    return server


@pytest.fixture
def bucket(s3, tmp_path, request) -> str:
    """The demo's photos in a bucket of their own."""
    import s3fs

    copy_demo_photos(str(tmp_path / "photos"))
    name = f"bucket-{abs(hash(request.node.name)) % 10**9}"
    files = s3fs.S3FileSystem(skip_instance_cache=True)
    files.mkdir(name)
    for path in sorted((tmp_path / "photos").iterdir()):
        files.put_file(str(path), f"{name}/photos/{path.name}")
    s3.requests.clear()
    return f"s3://{name}/photos"


def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert SECRET not in done.stdout + done.stderr
    return done


def rows(store: str | Path) -> dict[str, tuple[bool, list[float]]]:
    """Return for each photo's name its verdict and its embedding."""
    script = (
        "import json, sys; from index_store.store.image_store import open_store; s = open_store(sys.argv[1])\n"
        "photos = list(s.photos()); v = s.embeddings([p.content_hash for p in photos])\n"
        "name = lambda p: p.image_id.split('/')[-1]\n"
        "print(json.dumps({name(p): (p.verdict.withheld, v[p.content_hash].tolist()) for p in photos}))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(store)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


Rows = dict[str, tuple[bool, list[float]]]


def assert_equal(one: Rows, other: Rows, photos: int = PHOTOS) -> None:
    assert len(one) == photos
    assert one.keys() == other.keys()
    for name, (withheld, vector) in one.items():
        assert other[name][0] == withheld
        assert other[name][1] == pytest.approx(vector, abs=1e-5)


def test_a_bucket_gives_the_rows_of_a_folder_and_is_only_listed_when_nothing_changed(bucket, s3, tmp_path):
    run("index", str(tmp_path / "photos"), "--store", str(tmp_path / "folder"))
    run("index", bucket, "--store", str(tmp_path / "store"))
    expected = rows(tmp_path / "folder")
    assert_equal(expected, rows(tmp_path / "store"))
    assert s3.counted()["GET"] >= PHOTOS

    s3.requests.clear()
    run("index", "--store", str(tmp_path / "store"))
    asked = s3.counted()
    assert asked["GET"] == 0
    assert asked["LIST"] + asked["HEAD"] <= 16  # however many objects a page of the listing holds

    answered = run(
        "query", "a cat", "-k", "2", "--min-score", "0", "--format", "paths", "--store", str(tmp_path / "store")
    )
    assert answered.stdout.splitlines()[0].startswith(f"{bucket}/")
    assert not s3.counted()["GET"]
    store = b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())
    assert SECRET.encode() not in store and s3.address.encode() not in store


def test_a_storage_that_often_says_slow_down_completes(bucket, s3, tmp_path):
    run("index", str(tmp_path / "photos"), "--store", str(tmp_path / "folder"))
    s3.fails = lambda number, method, path: "" if number % 10 else SLOW_DOWN
    run("index", bucket, "--store", str(tmp_path / "store"))
    assert sum(number % 10 == 0 for number in range(1, len(s3.requests))) >= 1
    assert_equal(rows(tmp_path / "folder"), rows(tmp_path / "store"))


def test_an_object_that_is_gone_between_listing_and_reading_costs_itself_alone(bucket, s3, tmp_path):
    import s3fs

    gone = sorted(os.listdir(tmp_path / "photos"))[3]
    files = s3fs.S3FileSystem(skip_instance_cache=True)
    s3.fails = lambda number, method, path: GONE if method == "GET" and path.endswith(f"/{gone}") else ""
    done = run("index", bucket, "--store", str(tmp_path / "store"))
    assert f"skipped {bucket}/{gone}: " in done.stderr
    s3.fails = lambda number, method, path: ""
    files.rm(f"{bucket}/{gone}")
    assert gone not in rows(tmp_path / "store")
    assert len(rows(tmp_path / "store")) == PHOTOS - 1
    assert "skipped" not in run("index", "--store", str(tmp_path / "store")).stderr


@pytest.mark.parametrize("place", ["s3://no-such-bucket-anywhere/photos", "{bucket}/none"])
def test_a_place_that_is_not_there_is_one_line(bucket, s3, tmp_path, place):
    done = run("index", place.format(bucket=bucket), "--store", str(tmp_path / "store"), code=2)
    assert done.stderr.count("\n") == 1
    assert "no such file or folder; nothing was indexed" in done.stderr


def test_a_storage_out_of_reach_keeps_what_is_stored(bucket, s3, tmp_path, monkeypatch):
    run("index", bucket, "--store", str(tmp_path / "store"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    done = run("index", "--store", str(tmp_path / "store"))
    assert f"skipped {bucket}: cannot be read, what is stored of it stays" in done.stderr
    assert len(rows(tmp_path / "store")) == PHOTOS


@pytest.mark.ray
def test_actors_on_ray_read_a_bucket_that_often_says_slow_down_and_loses_an_object(bucket, s3, tmp_path):
    pytest.importorskip("ray")
    gone = sorted(os.listdir(tmp_path / "photos"))[3]
    run("index", str(tmp_path / "photos"), "--store", str(tmp_path / "folder"))
    expected = rows(str(tmp_path / "folder"))
    del expected[gone]

    def fails(number: int, method: str, path: str) -> str:
        if method == "GET" and path.endswith(f"/{gone}"):
            return GONE
        return "" if number % 10 else SLOW_DOWN

    s3.fails = fails
    server = Server(tmp_path / "server")
    try:
        done = run("index", bucket, "--store", server.url, "--ray")
        assert f"skipped {bucket}/{gone}: " in done.stderr
        assert f"{PHOTOS - 1} added" in done.stderr
        assert_equal(rows(server.url), expected, PHOTOS - 1)
    finally:
        server.stop()

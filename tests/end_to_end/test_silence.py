"""The program reports to nobody: no connection, and no file but the store, its data and cache folders and the output.

Two watchers look on. The guard is a Python hook that refuses and records every connection. strace, where it is
installed, sees also what compiled libraries do.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.index_store.tiny_clip import plain_clip

__all__ = ["plain_clip"]

GUARD = """
import os, sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg") and not isinstance(arguments[1], tuple):
        return  # a Unix socket has a path, and what is connected already has no address
    if event in (
        "socket.connect", "socket.sendto", "socket.sendmsg",
        "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr",
    ):
        with open(os.environ["GUARD_LOG"], "a") as log:
            print(event, arguments[0 if "host" in event or "addr" in event else 1], file=log)
        raise ConnectionRefusedError("no connection is allowed here")

sys.addaudithook(refuse)
"""

KEPT = ("PATH", "LANG", "LC_", "LD_", "DYLD_", "OPENBLAS_")
"""The variables that processes are given; no others, since ONNX Runtime is silent in any case where CI is set."""

WRITERS = re.compile(
    r"^(?:\d+ +)?(?:(?:creat|mkdir|rmdir|rename|unlink|symlink|link|truncate|mknod|chmod|l?chown|f?utime|l?setxattr)\w*"
    r"|open(?:at2?)?(?=.*\bO_(?:WRONLY|RDWR|CREAT|TRUNC)\b))\("
)
SENDERS = re.compile(r"^(?:\d+ +)?(?:connect|sendto|sendmsg|sendmmsg)\(.*sa_family=(?!AF_UNIX\b)")
QUOTED = re.compile(r"(?:<([^<>]*)>, )?\"((?:[^\"\\]|\\.)*)\"")

OPTIONS = ("-f", "-qq", "-y", "--seccomp-bpf")  # the last stops processes at the calls that are asked for alone

LIBRARY = "from index_store.queries.ask import search; print(search('a cat', k=1, min_score=0).matches)"


def few_variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(KEPT)}


@dataclass
class Watched:
    """A home of its own, and what was seen of the processes that ran in it."""

    home: Path
    strace: str | None

    @property
    def allowed(self) -> tuple[str, ...]:
        own = (".cache", ".local/share", "Library/Caches", "Library/Application Support")
        places = (self.home / "store", self.home / "tmp", *(self.home / folder / "imgsearch" for folder in own))
        return tuple(map(str, (*places, "/dev/null", "/dev/tty")))

    def is_allowed(self, path: str) -> bool:
        """Whether a path is an allowed place, lies in one, or leads to one."""
        return any(
            path == place or path.startswith(place + "/") or place.startswith(path + "/") for place in self.allowed
        )

    def run(self, *command: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
        own = {
            "HOME": str(self.home),
            "TMPDIR": str(self.home / "tmp"),
            "IMGSEARCH_STORE": str(self.home / "store"),
            "PYTHONPATH": str(self.home / "guard"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "GUARD_LOG": str(self.home / "guard" / "log"),
        }
        environment = few_variables() | own
        log = self.home / "guard" / "calls"
        watch = [self.strace, *OPTIONS, "-A", "-o", log, "-e", "trace=network,file"] if self.strace else []
        return subprocess.run(
            list(map(str, [*watch, *command])),
            check=False, capture_output=True, text=True, input=text, env=environment, cwd=self.home / "work",
        )  # fmt: skip

    def refused(self) -> list[str]:
        log = self.home / "guard" / "log"
        return log.read_text().splitlines() if log.exists() else []

    def calls(self) -> list[str]:
        return (self.home / "guard" / "calls").read_text(errors="replace").splitlines()

    def written(self) -> list[str]:
        """Return what a call made, changed or removed elsewhere than is allowed, Python's own cache left out."""
        found = set()
        for call in self.calls():
            if WRITERS.match(call) and " = -1 " not in call and "__pycache__" not in call:
                for folder, name in QUOTED.findall(call):
                    path = os.path.normpath(os.path.join(folder or self.home / "work", name))
                    if not self.is_allowed(path):
                        found.add(path)
        return sorted(found)

    def left(self) -> list[str]:
        """Return the files in the home that are neither in the store nor in the program's own folders."""
        ours, temporary = self.home / "guard", self.home / "tmp"
        files = (path for path in self.home.rglob("*") if not path.is_dir() and path.parent != ours)
        return sorted(str(path) for path in files if path.is_relative_to(temporary) or not self.is_allowed(str(path)))


def a_working_strace() -> str | None:
    """Return strace's path, or None where it is not installed or may not look into processes."""
    found = shutil.which("strace")
    tried = found and subprocess.run([found, *OPTIONS, "-o", os.devnull, "true"], check=False, capture_output=True)
    return found if tried and tried.returncode == 0 else None


def a_home(folder: Path, strace: str | None) -> Watched:
    for name in ("work", "tmp", "guard"):
        (folder / name).mkdir()
    (folder / "guard" / "sitecustomize.py").write_text(GUARD)
    return Watched(folder, strace)


@pytest.fixture(scope="module")
def watched(demo, tmp_path_factory) -> Watched:
    """A home in which every kind of command has run."""
    photos = tmp_path_factory.mktemp("photos")
    for name in ("chelsea.png", "coffee.png", "rocket.jpg"):
        shutil.copyfile(demo / "test_images" / name, photos / name)
    home = a_home(tmp_path_factory.mktemp("home"), a_working_strace())
    program = Path(sys.executable).with_name("imgsearch")
    for code, *arguments in (
        (0, "index", photos),
        (0, "query", "a kid of a goat", "--min-score", "0"),  # "kid" asks spaCy
        (3, "query", "two boys"),
        (0, "status"),
        (0, "policy", "check", "a cat"),
        (0, "policy", "list"),
        (0, "encoders"),
    ):
        done = home.run(program, *arguments)
        assert done.returncode == code, done.stderr
    batch = home.run(program, "query", "--batch", "-", "--min-score", "0", text="a cat\na rocket\n")
    assert batch.returncode == 0, batch.stderr
    library = home.run(sys.executable, "-c", LIBRARY)
    assert "Match(" in library.stdout, library.stderr
    return home


def test_no_command_connects_to_anything(watched):
    assert watched.refused() == []


def test_no_command_leaves_files_outside_the_store_and_its_own_folders(watched):
    assert watched.left() == []


def test_no_call_of_the_system_connects_or_writes_elsewhere(watched):
    if watched.strace is None:
        pytest.skip("needs strace, which is not installed here or may not be used")
    assert [call for call in watched.calls() if SENDERS.match(call)] == []
    assert watched.written() == []
    assert any("chroma.sqlite3" in call and WRITERS.match(call) for call in watched.calls())


@pytest.mark.slow
def test_an_encoder_of_transformers_is_silent_too(demo, plain_clip, tmp_path):
    home = a_home(tmp_path, None)  # what transformers and the hub's library ask, they ask in Python
    program = Path(sys.executable).with_name("imgsearch")
    for arguments in (
        ("index", demo / "test_images"),
        ("query", "a cat", "--min-score", "0", "--no-policy"),
    ):
        done = home.run(program, *arguments, "--encoder", plain_clip)
        assert done.returncode == 0, done.stderr
    assert (home.refused(), home.left()) == ([], [])


@pytest.mark.parametrize(
    "talk",
    [
        "import socket; socket.create_connection(('127.0.0.1', 9), 1)",
        "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'hello', ('127.0.0.1', 9))",
        "import urllib.request; urllib.request.urlopen('http://telemetry.invalid/')",
    ],
)
def test_the_guard_sees_what_talks(tmp_path, talk):
    home = a_home(tmp_path, None)
    done = home.run(sys.executable, "-c", talk)
    assert "ConnectionRefusedError" in done.stderr or "URLError" in done.stderr
    assert len(home.refused()) == 1


def test_strace_sees_what_talks_and_what_writes(tmp_path):
    strace = a_working_strace()
    if strace is None:
        pytest.skip("needs strace, which is not installed here or may not be used")
    home = a_home(tmp_path, strace)
    script = (
        "import os, socket; os.mkdir(os.environ['HOME'] + '/.reports'); open('id', 'w').close()\n"
        "os.rename('id', '../tmp/id'); socket.socket(type=socket.SOCK_DGRAM).connect(('127.0.0.1', 9))\n"
    )
    home.run(sys.executable, "-I", "-c", script)  # isolated, without the guard
    assert home.refused() == []
    assert len([call for call in home.calls() if SENDERS.match(call)]) == 1
    assert home.written() == [f"{tmp_path}/.reports", f"{tmp_path}/work/id"]
    assert home.left() == [f"{tmp_path}/tmp/id"]


def telemetry(**environment: str) -> list[str]:
    """Return what a fresh process has in its environment once the library is imported."""
    script = (
        "import os, index_store\n"
        "for name in ('ORT_DISABLE_TELEMETRY', 'ANONYMIZED_TELEMETRY', 'HF_HUB_DISABLE_TELEMETRY'):\n"
        "    print(os.environ.get(name))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, env=few_variables() | environment
    )
    return done.stdout.split()


def test_telemetry_is_off_before_anything_of_the_library_is_used():
    assert telemetry() == ["1", "False", "1"]


def test_a_user_may_switch_telemetry_on():
    assert telemetry(ORT_DISABLE_TELEMETRY="0") == ["0", "False", "1"]

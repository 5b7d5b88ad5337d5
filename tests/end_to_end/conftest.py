"""The installed program, and a store of the demo's photos that several tests ask."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from tests.demo_photos import main as copy_demo_photos
from tests.end_to_end.forking import READING, WRITING, Forks, fixed, writes

NOTICE = "This image is unavailable in your country in compliance with local laws"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def installed() -> Run:
    """Return a function that runs the installed program: installed("query", "a cat", cwd=...)."""
    program = Path(sys.executable).with_name("imgsearch")
    if not program.exists():
        pytest.fail(f"{program} is missing; install the project: make test")

    def run(*arguments: str | Path, env: dict[str, str] | None = None, text: bool = True, **options: object):
        command = [str(program), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, check=False, text=text, env=_variables(env), **options)

    return run


@pytest.fixture(scope="session")
def imgsearch(installed) -> Iterator[Run]:
    """Return a function that does what `installed` does, without its start wherever that makes no difference."""
    forks: dict[bool, Forks] = {}

    def run(*arguments: str | Path, env: dict[str, str] | None = None, text: bool = True, **options: object):
        words, variables = list(map(str, arguments)), _variables(env)
        if not options.keys() <= {"cwd", "input", "stdout"} or fixed(variables) != fixed(os.environ):
            return installed(*arguments, env=env, text=text, **options)
        writer = writes(words)
        if writer not in forks:
            forks[writer] = Forks(WRITING if writer else READING)
        given = options.get("input") or b""
        given = given.encode() if isinstance(given, str) else given
        code, *written = forks[writer].run(words, variables, options.get("cwd"), given, options.get("stdout"))
        if text:
            written = [content.decode().replace("\r\n", "\n").replace("\r", "\n") for content in written]
        return subprocess.CompletedProcess(["imgsearch", *words], code, *written)

    yield run
    for each in forks.values():
        each.end()


def _variables(env: dict[str, str] | None) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("IMGSEARCH_")}
    return clean | (env or {})


@pytest.fixture(scope="session")
def demo(tmp_path_factory, imgsearch) -> Path:
    """A folder with test_images/ and store/, the index of it; all workers of pytest-xdist share one."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "demo"
    with FileLock(f"{folder}.lock"):
        if not (folder / "store").exists():
            copy_demo_photos(str(folder / "test_images"))
            done = imgsearch("index", folder / "test_images", "--store", folder / "store", cwd=folder)
            assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def ask(demo, imgsearch) -> Run:
    """Return a function that runs a query over the demo's photos, in their folder, showing also unlikely matches."""

    def ask(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        all_matches = () if "--min-score" in arguments else ("--min-score", "0")
        return imgsearch("query", *arguments, *all_matches, "--store", demo / "store", cwd=demo, **options)

    return ask

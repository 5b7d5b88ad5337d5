"""Run commands of the program in processes made by fork, with a guard over what they open."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from tests.fuzz.fuzzing import FaultFound

SECONDS = 30.0
"""How long a command over a store of a few photos may take."""
_MOST_LINES = 30
_EARLY = (
    *("imgsearch_cli.main", "imgsearch_cli.render", "imgsearch_cli.render_store", "imgsearch_cli.render_models"),
    *(
        "index_store.library",
        "index_store.queries.ask",
        "index_store.store.image_store",
        "index_store.queries.batch",
        "index_store.store.server",
    ),
    *("index_store.encoders.onnx_dual", "index_store.compliance.photo_rule", "index_store.compliance.showing"),
    *("index_store.reranker.reranking", "index_store.reranker.cosine", "index_store.store.vector_repair"),
)
"""Imported once, before the first fork."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended: exit code, negative for a signal, and what it wrote."""

    command: str
    code: int
    said: str


def prepare() -> None:
    """Import what commands need, so that the processes made by fork have it."""
    for module in _EARLY:
        import_module(module)


def run_command(
    arguments: Sequence[str],
    folder: Path,
    *,
    forbidden: Path | None = None,
    text: bytes = b"",
    seconds: float = SECONDS,
) -> Done:
    """Run `imgsearch` with arguments in a folder, as the installed program would.

    Raises:
        FaultFound: it did not end in time, or opened something below the folder `forbidden`.
    """
    written, given = folder / ".said", folder / ".given"
    given.write_bytes(text)
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process == 0:
        _become(arguments, folder, written, given, forbidden)
    command = " ".join(["imgsearch", *arguments])
    if not _ended(process, seconds):
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        raise FaultFound(f"{command!r} had not ended after {seconds:.0f} s")
    _, status = os.waitpid(process, 0)
    said = written.read_bytes().decode("utf-8", "backslashreplace")
    if _OPENED in said:
        raise FaultFound(f"{command!r} opened what it should not: {said[said.index(_OPENED) :][:300]!r}")
    return Done(command, os.waitstatus_to_exitcode(status), said)


def expect_defined(done: Done, codes: frozenset[int] = frozenset({0, 1, 2, 3})) -> None:
    """Raise FaultFound where a command did not end as defined: code, lines, no traceback, nothing unprintable."""
    where = f"{done.command!r} (exit code {done.code}): "
    if done.code not in codes:
        raise FaultFound(f"{where}{done.said[-600:]!r}")
    if "Traceback" in done.said or "this is a bug" in done.said:
        raise FaultFound(f"{where}a traceback: {done.said[-900:]}")
    lines = done.said.split("\n")
    if done.code == 2 and len(lines) > _MOST_LINES and " check " not in done.command:
        raise FaultFound(f"{where}{len(lines)} lines: {done.said[:600]!r}")
    bad = next((line for line in lines if not line.isprintable()), None)
    if bad is not None:
        raise FaultFound(f"{where}a line that is not printable: {bad[:300]!r}")


_OPENED = "OPENED WHAT IS FORBIDDEN: "
_OPENING = frozenset({"open", "os.listdir", "os.scandir", "sqlite3.connect", "subprocess.Popen", "socket.connect"})


def _become(arguments: Sequence[str], folder: Path, written: Path, given: Path, forbidden: Path | None) -> None:
    """Turn this process into the command; never returns."""
    code = 70
    try:
        os.chdir(folder)
        target = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(given, os.O_RDONLY), 0)
        os.dup2(target, 1)
        os.dup2(target, 2)
        if forbidden is not None:
            _watch(str(forbidden))
        sys.argv = ["imgsearch", *arguments]
        from imgsearch_cli.main import run

        run()
    except BaseException as error:
        os.write(2, f"Traceback: {type(error).__name__}: {error}".encode("utf-8", "backslashreplace"))
    finally:
        os._exit(code)


def _watch(forbidden: str) -> None:
    def watch(event: str, found: tuple[object, ...]) -> None:
        if event in _OPENING and found and isinstance(found[0], str | bytes) and forbidden in os.fsdecode(found[0]):
            os.write(2, f"\n{_OPENED}{event} {os.fsdecode(found[0])}\n".encode("utf-8", "backslashreplace"))

    sys.addaudithook(watch)


def _ended(process: int, seconds: float) -> bool:
    """Wait for a child to end, and tell whether it did; it stays to be waited for."""
    if hasattr(os, "pidfd_open"):
        descriptor = os.pidfd_open(process)
        try:
            return bool(select.select([descriptor], [], [], seconds)[0])
        finally:
            os.close(descriptor)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return True
        time.sleep(0.01)
    return False

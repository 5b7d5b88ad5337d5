"""Run the program in processes that are forked from one which has imported its libraries.

To start Python and to import takes a query four times as long as to answer. A forked process has streams, a working
directory, an environment and an exit code of its own, as the installed program has; the installed program itself is run
where the start is what a test is about.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
READING = (
    "imgsearch_cli.main",
    "imgsearch_cli.render",
    "imgsearch_cli.render_store",
    "index_store.compliance.lemmas",
    "index_store.encoders.onnx_dual",
    "index_store.library",
    "index_store.queries.ask",
    "index_store.queries.batch",
    "index_store.queries.given_photos",
    "index_store.reranker.reranking",
    "index_store.store.check",
    "index_store.store.image_store",
    "chromadb_rust_bindings",
)
WRITING = (*READING, "index_store.store.chroma_import", "index_store.indexing.run")
"""Where chromadb is imported, the program also reads with it, so that what only reads has a process without it."""

_WRITERS = ({"index"}, {"forget"}, {"move"}, {"policy", "withhold"}, {"policy", "allow"})
_READ_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "OMP_", "OPENBLAS_", "TZ", "MALLOC_")


class Forks:
    """One process that runs the program again and again, each time in a fork of itself."""

    def __init__(self, modules: tuple[str, ...]) -> None:
        """Start it; it ends with this process."""
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "tests.end_to_end.forking", str(theirs.fileno()), *modules]
        self._server = subprocess.Popen(command, cwd=ROOT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        self._socket = ours

    def run(
        self,
        arguments: list[str],
        environment: dict[str, str],
        cwd: str | Path | None,
        given: bytes,
        stdout: int | None = None,
    ) -> tuple[int, bytes, bytes]:
        """Return the exit code, and what was written to standard output, where none is given, and to standard error."""
        asked = {"arguments": arguments, "environment": environment, "cwd": os.fspath(cwd or os.getcwd())}
        with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
            stdin.write(given)
            stdin.seek(0)
            streams = [stdin.fileno(), out.fileno() if stdout is None else stdout, error.fileno()]
            content = json.dumps(asked).encode()
            socket.send_fds(self._socket, [len(content).to_bytes(4)], streams)
            self._socket.sendall(content)
            code = int.from_bytes(self._socket.recv(4, socket.MSG_WAITALL), signed=True)
            return code, *(stream.seek(0) or stream.read() for stream in (out, error))  # type: ignore[misc]

    def end(self) -> None:
        """End the process, and with it what it runs."""
        self._socket.close()
        self._server.wait()


def writes(arguments: list[str]) -> bool:
    """Return whether these arguments are a command that writes to the store."""
    words = {word for word in arguments if not word.startswith("-")}
    return any(words >= writer for writer in _WRITERS)


def fixed(environment) -> dict[str, str]:
    """Return the variables that Python and libraries read when they start."""
    return {name: value for name, value in environment.items() if name.startswith(_READ_AT_START)}


def _serve(connection: socket.socket) -> None:
    while True:
        size, streams, _, _ = socket.recv_fds(connection, 4, 3, socket.MSG_WAITALL)
        if not size:
            return
        asked = json.loads(connection.recv(int.from_bytes(size), socket.MSG_WAITALL))
        process = os.fork()
        if process == 0:
            connection.close()
            _run(asked, streams)
        for stream in streams:
            os.close(stream)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        connection.sendall(code.to_bytes(4, signed=True))


def _run(asked, streams: list[int]) -> None:
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.clear()
        os.environ.update(asked["environment"])
        os.chdir(asked["cwd"])
        sys.argv = ["imgsearch", *asked["arguments"]]
        sys.modules["imgsearch_cli.main"].run()
    finally:  # a fault that the program does not expect; it ends by itself else
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        os._exit(1)


def _open_models() -> None:
    """Open what a query and a run open, so that each fork has it; none of it has threads of its own."""
    from index_store.encoders.onnx_dual import OnnxPhotoEncoder, OnnxTextEncoder
    from index_store.encoders.registry import encoder_card
    from index_store.machine import share_cores
    from index_store.reranker.reranking import load_reranker
    from tests.opened_once import share_what_ships

    if "PYTEST_XDIST_WORKER" in os.environ:
        share_cores(1)
    share_what_ships(pytest.MonkeyPatch())
    card = encoder_card()
    OnnxTextEncoder(card), OnnxPhotoEncoder(card), load_reranker(card.towers)


if __name__ == "__main__":
    for module in sys.argv[2:]:
        importlib.import_module(module)
    _open_models()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.freeze()
    _serve(socket.socket(fileno=int(sys.argv[1])))

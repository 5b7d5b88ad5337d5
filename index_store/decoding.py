"""Decode photos in worker processes, so that a file that crashes or hangs a decoder costs one photo and not the run.

Parent and worker speak over pipes: a request is one line of JSON; the answer is a line of JSON and, behind it, the
pixels as they lie in memory. Nothing that a worker sends is executed, since a hostile photo may have taken it over.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, Any

import numpy as np

from index_store.encoders.protocols import PhotoInput
from index_store.errors import PhotoError, PhotoUnreadableError
from index_store.planning import EncodingJob
from index_store.records import OpenedPhoto, PhotoFile

PHOTO_SECONDS = 60.0
"""A photo that takes longer to decode is given up: a 100-megapixel PNG takes about 5 seconds on a slow machine."""

WORKER_BYTES = 3 << 30
"""The address space of a worker: decoding 100 megapixels needs about 1 GiB."""

AHEAD = 32
"""Decoded photos that wait for the encoder: 32 of 260 x 260 pixels are 6 MB."""

WORKER = (sys.executable, "-c", "from index_store.decoding import work; work()")

_Outcome = tuple[EncodingJob, OpenedPhoto | PhotoError]


def decode_ahead(
    jobs: Iterable[EncodingJob], wanted: PhotoInput, workers: int, command: Sequence[str] = WORKER
) -> Generator[_Outcome, None, None]:
    """Yield the jobs in order with their decoded photos or the reason why there is none, a bounded number ahead."""
    decoders: list[Decoder] = []
    own = threading.local()

    def start_decoder() -> None:
        own.decoder = Decoder(command)
        decoders.append(own.decoder)

    def decode(file: PhotoFile) -> OpenedPhoto | PhotoError:
        try:
            opened: OpenedPhoto = own.decoder.decode(file.image_id, wanted)
        except PhotoError as error:
            return error
        return opened

    threads = ThreadPoolExecutor(workers, thread_name_prefix="decode", initializer=start_decoder)
    running: deque[tuple[EncodingJob, Future[OpenedPhoto | PhotoError]]] = deque()
    try:
        for job in jobs:
            running.append((job, threads.submit(decode, job.file)))
            if len(running) > AHEAD:
                first, future = running.popleft()
                yield first, future.result()
        while running:
            first, future = running.popleft()
            yield first, future.result()
    finally:
        for decoder in decoders:
            decoder.close()
        threads.shutdown(wait=True, cancel_futures=True)


class Decoder:
    """One worker process, started when it is first needed and again after it broke down."""

    def __init__(self, command: Sequence[str] = WORKER, seconds: float = PHOTO_SECONDS) -> None:
        """Name the worker's command, and the time that one photo may take."""
        self._command = command
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def decode(self, path: str, wanted: PhotoInput) -> OpenedPhoto:
        """Return the decoded photo.

        Raises:
            PhotoError: the photo cannot be decoded, took too long, or broke the decoder.
            PhotoUnreadableError: the file cannot be read just now.
        """
        if self._closed:
            raise PhotoUnreadableError("was left for the next run")
        if self._process is None:
            self._process = _start(self._command)
        try:
            return self._ask(self._process, path, wanted)
        except TimeoutError as error:
            self._stop()
            raise PhotoError(f"took longer than {self._seconds:.0f} s to decode") from error
        except (EOFError, OSError, ValueError, KeyError) as error:
            raise PhotoError(f"broke the decoder ({self._stop()})") from error

    def close(self) -> None:
        """End the worker; a photo that it is at is given up."""
        self._closed = True
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _ask(self, process: subprocess.Popen[bytes], path: str, wanted: PhotoInput) -> OpenedPhoto:
        assert process.stdin is not None
        assert process.stdout is not None
        request = {"path": path, "side": wanted.side, "squash": wanted.squash}
        process.stdin.write(json.dumps(request).encode() + b"\n")  # JSON keeps bytes that are no UTF-8 as surrogates
        process.stdin.flush()
        reader = _Reader(process.stdout, time.monotonic() + self._seconds)
        answer = json.loads(reader.line())
        if "error" in answer:
            raise (PhotoUnreadableError if answer["unreadable"] else PhotoError)(str(answer["error"]))
        height, width = int(answer["shape"][0]), int(answer["shape"][1])
        pixels = np.frombuffer(reader.exactly(height * width * 3), dtype=np.uint8).reshape(height, width, 3)
        file = PhotoFile(path, answer["size_bytes"], answer["mtime_ns"], answer["content_hash"])
        return OpenedPhoto(file, pixels, answer["width"], answer["height"])

    def _stop(self) -> str:
        process, self._process = self._process, None
        if process is None:
            return "not started"
        try:
            code = process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        return signal.strsignal(-code) or f"signal {-code}" if code < 0 else f"exit code {code}"


class _Reader:
    """Reads a worker's answer up to a deadline, in seconds of the monotonic clock."""

    def __init__(self, pipe: IO[bytes], deadline: float) -> None:
        self._pipe = pipe
        self._deadline = deadline
        self._buffer = bytearray()

    def line(self) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            self._more()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._more()
        return bytes(self._buffer[:count])

    def _more(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._pipe, selectors.EVENT_READ)
            if not selector.select(max(0.0, self._deadline - time.monotonic())):
                raise TimeoutError
        chunk = os.read(self._pipe.fileno(), 1 << 20)
        if not chunk:
            raise EOFError
        self._buffer += chunk


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )


def work() -> None:
    """Answer requests on standard input until it ends; what a worker process runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    _bound_memory()
    while request := sys.stdin.buffer.readline():
        for part in _answer(json.loads(request)):
            sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()


def _answer(request: dict[str, Any]) -> tuple[bytes, ...]:
    from index_store.photos import open_photo  # late: the parent needs no Pillow

    try:
        opened = open_photo(request["path"], PhotoInput(request["side"], request["squash"]))
    except PhotoError as error:
        failure = {"error": str(error), "unreadable": isinstance(error, PhotoUnreadableError)}
        return (json.dumps(failure).encode() + b"\n",)
    header = {
        "shape": opened.pixels.shape,
        "width": opened.width,
        "height": opened.height,
        "size_bytes": opened.file.size_bytes,
        "mtime_ns": opened.file.mtime_ns,
        "content_hash": opened.file.content_hash,
    }
    return json.dumps(header).encode() + b"\n", opened.pixels.tobytes()


def _bound_memory() -> None:
    try:
        import resource  # not on Windows
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = WORKER_BYTES if hard == resource.RLIM_INFINITY else min(WORKER_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))

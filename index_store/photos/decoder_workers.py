"""Decode photos in worker processes, so that a file that crashes or hangs a decoder costs one photo and not the run.

Parent and worker speak over pipes: a request is one line of JSON; the answer is the length of a header in four bytes,
the header in JSON and, behind it, the pixels of the photo and its further frames as they lie in memory, for two towers
twice. Nothing that a worker sends is executed, and it is held to a size, since a hostile photo may have taken it over.
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
from contextlib import closing, suppress
from dataclasses import asdict, replace
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from index_store.errors import DecoderError, PhotoError, PhotoUnreadableError, os_reason
from index_store.paths import is_address
from index_store.photos.file_system import on_disk
from index_store.photos.hashing import MAX_FILE_BYTES
from index_store.records import MOST_FRAMES, EncodingJob, OpenedPhoto, PhotoFile, PhotoInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

PHOTO_SECONDS = 60.0
"""A photo that takes longer to decode is given up: a 100-megapixel PNG takes about 5 seconds on a slow machine."""

WORKER_BYTES = 3 << 30
"""The address space of a worker: decoding 100 megapixels needs about 1 GiB."""

AHEAD = 32
"""Decoded photos that wait for the encoder: 32 of 320 x 320 pixels are 10 MB."""

_LENGTH_BYTES = 4
_MOST_HEADER_BYTES = 1 << 20
_MOST_LETTERS = 200
_MOST_PIXEL_BYTES = 1 << 28
_PIPE_BYTES = 1 << 20
"""A photo's pixels go through the pipe at once, where the system lets it be so large."""

_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(8 << 20), "MALLOC_TRIM_THRESHOLD_": str(32 << 20)}
"""What makes glibc keep the memory of a photo for the next one; to take it from the system again each time was a fifth
of the time of decoding 0.2 megapixels. Other C libraries know no such names."""

WORKER = (sys.executable, "-P", "-c", "from index_store.photos.decoder_workers import work; work()")
"""The worker's command; without -P Python would look for modules among the photos, in the working directory, first."""

_Outcome = tuple[EncodingJob, OpenedPhoto | PhotoError]


def decode_ahead(
    jobs: Iterable[EncodingJob], wanted: PhotoInput, workers: int, command: Sequence[str] = WORKER
) -> Generator[_Outcome, None, None]:
    """Yield the jobs in order with their decoded photos or the reason why there is none, a bounded number ahead."""
    with closing(Decoders(workers, command)) as decoders:
        yield from decoders.ahead(jobs, wanted)


class Decoders:
    """Worker processes that decode photos side by side; they stay between one call of `ahead` and the next."""

    def __init__(self, workers: int, command: Sequence[str] = WORKER) -> None:
        """Take how many there are at most; each is started with its first photo."""
        self._command = command
        self._all: list[Decoder] = []
        self._own = threading.local()
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="decode", initializer=self._start_decoder)

    def ahead(self, jobs: Iterable[EncodingJob], wanted: PhotoInput) -> Generator[_Outcome, None, None]:
        """Yield the jobs in order with their decoded photos or the reason why there is none, a bounded number ahead."""
        running: deque[tuple[EncodingJob, Future[OpenedPhoto | PhotoError]]] = deque()
        try:
            for job in jobs:
                running.append((job, self._threads.submit(self._decode, job.file, wanted)))
                if len(running) > AHEAD:
                    first, future = running.popleft()
                    yield first, future.result()
            while running:
                first, future = running.popleft()
                yield first, future.result()
        finally:
            for _, future in running:
                future.cancel()

    def close(self) -> None:
        """End the workers; the photos that they are at are given up."""
        for decoder in self._all:
            decoder.close()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for decoder in self._all:
            decoder.close()  # one may have started its worker meanwhile

    def _start_decoder(self) -> None:
        self._own.decoder = Decoder(self._command)
        self._all.append(self._own.decoder)

    def _decode(self, file: PhotoFile, wanted: PhotoInput) -> OpenedPhoto | PhotoError:
        try:
            opened: OpenedPhoto = self._own.decoder.decode(file.image_id, wanted)
        except PhotoError as error:
            return error
        return _as_listed(opened, file) if is_address(file.image_id) else opened


def _as_listed(opened: OpenedPhoto, file: PhotoFile) -> OpenedPhoto | PhotoError:
    """Return a photo that was copied from storage with the time of its listing, unless its size is another now."""
    if opened.file.size_bytes != file.size_bytes:
        return PhotoUnreadableError("changed while it was read; the next run takes it up")
    return replace(opened, file=replace(opened.file, mtime_ns=file.mtime_ns))


class Decoder:
    """One worker process, started when it is first needed and again after it broke down."""

    def __init__(self, command: Sequence[str] = WORKER, seconds: float = PHOTO_SECONDS) -> None:
        """Name the worker's command, and the time that one photo may take."""
        self._command = command
        self._seconds = seconds
        self._worker: _Worker | None = None
        self._closed = False

    def decode(self, path: str, wanted: PhotoInput) -> OpenedPhoto:
        """Return the decoded photo.

        Raises:
            PhotoError: the photo cannot be decoded, took too long, or broke the decoder.
            PhotoUnreadableError: the file cannot be read just now.
        """
        if not is_address(path):
            return self._decode(path, wanted)
        try:
            with on_disk(path, MAX_FILE_BYTES) as copy:
                opened = self._decode(copy, wanted)
        except OSError as error:
            raise PhotoUnreadableError(os_reason(error)) from error
        return replace(opened, file=replace(opened.file, image_id=path))

    def _decode(self, path: str, wanted: PhotoInput) -> OpenedPhoto:
        if self._closed:
            raise PhotoUnreadableError("was left for the next run")
        if self._worker is None:
            self._worker = self._start()
        try:
            return self._ask(self._worker, path, wanted)
        except TimeoutError as error:
            self._stop()
            raise PhotoError(f"took longer than {self._seconds:.0f} s to decode") from error
        except (EOFError, OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise PhotoError(f"broke the decoder ({self._stop()})") from error

    def _start(self) -> _Worker:
        """Start a worker; where none can be, that is no photo's fault.

        Raises:
            DecoderError: it ended before it asked for work, for want of memory, processes or open files.
        """
        worker = _Worker(self._command)
        try:
            worker.wait_until_ready(self._seconds)
        except (EOFError, TimeoutError, OSError, ValueError) as error:
            raise DecoderError(
                f"no decoder can be started ({worker.end()}): free some memory or ask for fewer --jobs; "
                "what was written is kept"
            ) from error
        return worker

    def close(self) -> None:
        """End the worker; a photo that it is at is given up."""
        self._closed = True
        if (worker := self._worker) is not None:
            worker.process.kill()
            worker.process.wait()

    def _ask(self, worker: _Worker, path: str, wanted: PhotoInput) -> OpenedPhoto:
        answer = worker.answer({"path": path, **asdict(wanted)}, self._seconds)
        if "error" in answer:
            raise (PhotoUnreadableError if answer["unreadable"] else PhotoError)(str(answer["error"]))
        shapes = [(int(height), int(width)) for height, width in answer["shapes"]]
        times = 1 if wanted.second is None else 2
        if (
            len(shapes) % times
            or not times <= len(shapes) <= times * MOST_FRAMES
            or sum(3 * height * width for height, width in shapes) > _MOST_PIXEL_BYTES
        ):
            raise ValueError(f"an answer of {len(shapes)} pictures")
        pictures = [self._pixels(worker, *shape) for shape in shapes]
        count = len(pictures) // times
        file = PhotoFile(path, int(answer["size_bytes"]), int(answer["mtime_ns"]), str(answer["content_hash"]))
        taken = answer["taken"]
        return OpenedPhoto(
            file,
            pictures[0],
            int(answer["width"]),
            int(answer["height"]),
            taken=None if taken is None else _plain(taken),
            camera=_plain(answer["camera"]),
            frames=tuple(pictures[1:count]),
            unseen=bool(answer["unseen"]),
            note=_plain(answer["note"]),
            faults=_plain(answer["faults"]),
            second_form=tuple(pictures[count:]),
        )

    @staticmethod
    def _pixels(worker: _Worker, height: int, width: int) -> NDArray[np.uint8]:
        content = worker.exactly(height * width * 3, _MOST_PIXEL_BYTES)
        return np.frombuffer(content, dtype=np.uint8).reshape(height, width, 3)

    def _stop(self) -> str:
        worker, self._worker = self._worker, None
        return worker.end() if worker is not None else "not started"


def _plain(text: object) -> str:
    """Return what a worker says of a photo without what could act on a terminal, and not too long for a row."""
    return "".join(filter(str.isprintable, str(text)[:_MOST_LETTERS]))


class _Worker:
    """A worker process, and what is read from it up to a deadline in seconds of the monotonic clock."""

    def __init__(self, command: Sequence[str]) -> None:
        self.process = _start(command)
        assert self.process.stdout is not None
        self._pipe = self.process.stdout.fileno()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pipe, selectors.EVENT_READ)
        self._deadline = 0.0

    def wait_until_ready(self, seconds: float) -> None:
        """Wait for the empty answer that a worker begins with; raises as `answer` does."""
        self._deadline = time.monotonic() + seconds
        if self.exactly(_LENGTH_BYTES, _LENGTH_BYTES) != bytes(_LENGTH_BYTES):
            raise ValueError("no greeting")

    def answer(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send a request and return the header of its answer; the pixels behind it have to come in the same time.

        Raises:
            EOFError, OSError: the worker has ended.
            TimeoutError: the time is over.
            ValueError: what came is no header.
        """
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request).encode() + b"\n")  # bytes that are no UTF-8 stay, as surrogates
        self.process.stdin.flush()
        self._deadline = time.monotonic() + seconds
        length = int.from_bytes(self.exactly(_LENGTH_BYTES, _LENGTH_BYTES))
        header: dict[str, Any] = json.loads(self.exactly(length, _MOST_HEADER_BYTES))
        return header

    def exactly(self, count: int, most: int) -> bytearray:
        """Return the next `count` bytes, or raise as `answer` does; a ValueError where they are more than `most`."""
        if not 0 <= count <= most:
            raise ValueError(f"an answer of {count} bytes")
        buffer = bytearray(count)
        view, filled = memoryview(buffer), 0
        while filled < count:
            if not self._selector.select(max(0.0, self._deadline - time.monotonic())):
                raise TimeoutError
            read = os.readv(self._pipe, [view[filled:]])
            if not read:
                raise EOFError
            filled += read
        return buffer

    def end(self) -> str:
        """Wait for the process, or kill it, and tell how it ended."""
        self._selector.close()
        try:
            code = self.process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        return signal.strsignal(-code) or f"signal {-code}" if code < 0 else f"exit code {code}"


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    ours = {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(_import_path()), "PYTHONSAFEPATH": "1"}
    environment = os.environ | ours | _KEEP_MEMORY
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    _widen(process.stdout)
    return process


def _import_path() -> list[str]:
    """Return where a worker finds modules: where this process does, without the working directory.

    Where this package itself lies there, as in a checkout, that folder stays.
    """
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    try:
        working = os.path.realpath(os.getcwd())
    except OSError:  # it is gone
        working = ""
    found = [path for path in sys.path if os.path.isabs(path) and os.path.realpath(path) != working]
    return found if here in found else [*found, here]


def _widen(pipe: IO[bytes] | None) -> None:
    """Let the pipe hold a whole photo, so that a worker need not wait for its parent; where it cannot, it waits."""
    with suppress(ImportError, AttributeError, OSError):
        import fcntl  # POSIX, and the size on Linux only

        if pipe is not None:
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def work() -> None:
    """Answer requests on standard input until it ends; what a worker process runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    _bound_memory()
    import index_store.photos.open  # noqa: F401  (fails here, and not at each photo, where memory is short)

    sys.stdout.buffer.write(bytes(_LENGTH_BYTES))
    sys.stdout.buffer.flush()
    while request := sys.stdin.buffer.readline():
        for part in _answer(json.loads(request)):
            sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()


def _answer(request: dict[str, Any]) -> tuple[bytes | memoryview, ...]:
    from index_store.photos.open import open_photo  # late: the parent needs no Pillow

    try:
        opened = open_photo(request.pop("path"), PhotoInput(**request))
    except PhotoError as error:
        failure = {"error": str(error), "unreadable": isinstance(error, PhotoUnreadableError)}
        return (_header(failure),)
    pictures = (opened.pixels, *opened.frames, *opened.second_form)
    header = {
        "shapes": [picture.shape[:2] for picture in pictures],
        "width": opened.width,
        "height": opened.height,
        "size_bytes": opened.file.size_bytes,
        "mtime_ns": opened.file.mtime_ns,
        "content_hash": opened.file.content_hash,
        "taken": opened.taken,
        "camera": opened.camera,
        "unseen": opened.unseen,
        "note": opened.note,
        "faults": opened.faults,
    }
    return _header(header), *(np.ascontiguousarray(picture).data for picture in pictures)


def _header(facts: dict[str, Any]) -> bytes:
    content = json.dumps(facts).encode()
    return len(content).to_bytes(_LENGTH_BYTES) + content


def _bound_memory() -> None:
    try:
        import resource  # not on Windows
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = WORKER_BYTES if hard == resource.RLIM_INFINITY else min(WORKER_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))

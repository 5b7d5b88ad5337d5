"""Photos in all formats against the decoder: a photo or one printable line, in bounded time and memory."""

from __future__ import annotations

import os
import time
from pathlib import Path
from random import Random

import numpy as np

from index_store.errors import DecoderError, PhotoError
from index_store.photos import decoder_workers as decoding
from index_store.records import OpenedPhoto, PhotoInput
from tests.fuzz.fuzzing import FaultFound, Target
from tests.fuzz.mutating import metadata_replaced, photo_changed

CORPUS = Path(__file__).parents[1] / "corpus"
WANTED = PhotoInput(side=64, squash=True)
SECONDS = 20.0
"""How long one small file may take; the slowest of them takes a tenth of a second."""
MOST_BYTES = 1 << 30
"""The memory that a decoder may have used after small files: the address space alone is limited to more."""
METADATA = "metadata"
"""The end of a file's name in which only metadata were replaced: its picture has to come out."""


class Photos(Target):
    """Files of every format that is read, with changed bytes, parts and metadata."""

    name = "photos"

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        self._decoder = decoding.Decoder(decoding.WORKER, SECONDS)
        self._valid = {path.name: path.read_bytes() for path in sorted(CORPUS.iterdir()) if _is_photo(path)}
        self._sound = [name for name in self._valid if self._opens(CORPUS / name)]

    def make(self, chance: Random, folder: Path) -> None:
        name = chance.choice(self._sound)
        # what a RAW file says about its sensor is needed for its picture
        metadata_only = chance.random() < 0.3 and not name.startswith("raw-")
        content = metadata_replaced(self._valid[name], chance) if metadata_only else None
        if content is None:
            (folder / name).write_bytes(photo_changed(self._valid[name], chance))
        else:
            stem, suffix = os.path.splitext(name)
            (folder / f"{stem}-{METADATA}{suffix}").write_bytes(content)

    def check(self, folder: Path) -> None:
        for path in folder.iterdir():
            started = time.monotonic()
            try:
                answer = self._decoder.decode(str(path), WANTED)
            except PhotoError as error:
                self._check_error(path, str(error))
            except DecoderError as error:
                raise FaultFound(f"{path.name}: no decoder could be started: {error}") from error
            else:
                _check_photo(path, answer)
            seconds = time.monotonic() - started
            if seconds > SECONDS / 2:
                raise FaultFound(f"{path.name}: took {seconds:.1f} s")
            self._check_memory(path)

    def close(self) -> None:
        self._decoder.close()

    def _opens(self, path: Path) -> bool:
        try:
            self._decoder.decode(str(path), WANTED)
        except PhotoError:  # formats whose extras are not installed
            return False
        return True

    def _check_error(self, path: Path, message: str) -> None:
        if message.startswith(("broke the decoder", "took longer")):
            raise FaultFound(f"{path.name}: {message}")
        if METADATA in path.stem:
            raise FaultFound(f"{path.name}: only its metadata are broken, and it was refused: {message}")
        if not message.isprintable() or len(message) > 300 or any(sign in message for sign in ("b'", "0x", "Error")):
            raise FaultFound(f"{path.name}: its error is no line for people: {message!r}")

    def _check_memory(self, path: Path) -> None:
        worker = self._decoder._worker
        if worker is None:
            return
        used = _peak_bytes(worker.process.pid)
        if used > MOST_BYTES:
            raise FaultFound(f"{path.name}: its decoder used {used / 1e6:.0f} MB")


def _check_photo(path: Path, photo: OpenedPhoto) -> None:
    for pixels in (photo.pixels, *photo.frames):
        if pixels.shape != (WANTED.side, WANTED.side, 3) or pixels.dtype != np.uint8:
            raise FaultFound(f"{path.name}: came out as {pixels.dtype} of shape {pixels.shape}")
    said = (photo.camera, photo.taken or "", photo.note, photo.faults)
    if not all(text.isprintable() and len(text) < 300 for text in said):
        raise FaultFound(f"{path.name}: what it says of itself is not printable: {said!r}")
    if not 0 < photo.width * photo.height < 2**32:  # a JPEG is decoded at an eighth of its size
        raise FaultFound(f"{path.name}: has {photo.width} x {photo.height} pixels")


def _is_photo(path: Path) -> bool:
    return path.suffix not in {".py", ".tsv", ".pyc", ""}


def _peak_bytes(process: int) -> int:
    """Return the most memory that a process has had at once; 0 where the system does not tell."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)

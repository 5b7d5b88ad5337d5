"""Pictures for people: small or large, without metadata, made in decoder workers and encoded again as JPEG."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import LifoQueue
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from index_store.errors import PhotoError
from index_store.photos.decoder_workers import Decoder
from index_store.records import PhotoInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

SMALL_SIDE = 360
LARGE_SIDE = 1600
"""Pixels of the longer side."""

_QUALITY = 82
_MOST_KEPT_BYTES = 32 << 20


class Thumbnails:
    """Makes pictures of stored photos; several threads may ask, and as many decode at once as there are workers.

    What policy and decisions say is the caller's affair: whoever asks has to have decided that the photo is shown.
    Small pictures are kept in memory, never on the disk.
    """

    def __init__(self, workers: int = 1) -> None:
        """Name how many decoders may run; each is started when it is first needed."""
        self._decoders = [Decoder() for _ in range(workers)]
        self._idle: LifoQueue[Decoder] = LifoQueue()
        for decoder in self._decoders:
            self._idle.put(decoder)
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = Lock()

    def jpeg(self, content: str, paths: Sequence[str], side: int = SMALL_SIDE) -> bytes | None:
        """Return a JPEG of at most `side` x `side` pixels; None where no file at `paths` holds the content.

        A file whose content has changed since shows another picture, which nobody has judged: it is not taken.

        Raises:
            DecoderError: no decoder can be started.
        """
        key = content, side
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        pixels = self._pixels(content, paths, side)
        if pixels is None:
            return None
        made = _jpeg(Image.fromarray(pixels))
        if side <= SMALL_SIDE:
            self._keep(key, made)
        return made

    def picture(self, content: str, paths: Sequence[str], side: int) -> Image.Image | None:
        """Return what `jpeg` does as a picture of Pillow, which is not kept."""
        pixels = self._pixels(content, paths, side)
        return None if pixels is None else Image.fromarray(pixels)

    def forget(self, content: str) -> None:
        """Drop what is kept of a content: its photo is not to be shown any more."""
        with self._lock:
            for key in [key for key in self._kept if key[0] == content]:
                del self._kept[key]

    def close(self) -> None:
        """End the workers."""
        for decoder in self._decoders:
            decoder.close()

    def _pixels(self, content: str, paths: Sequence[str], side: int) -> Pixels | None:
        wanted = PhotoInput(side, squash=False, for_people=True)
        for path in paths:
            try:
                with self._decoder() as decoder:
                    opened = decoder.decode(path, wanted)
            except PhotoError:  # another copy may be there
                continue
            if opened.file.content_hash == content:
                return opened.pixels
        return None

    @contextmanager
    def _decoder(self) -> Iterator[Decoder]:
        decoder = self._idle.get()
        try:
            yield decoder
        finally:
            self._idle.put(decoder)

    def _keep(self, key: tuple[str, int], picture: bytes) -> None:
        with self._lock:
            self._kept[key] = picture
            while sum(map(len, self._kept.values())) > _MOST_KEPT_BYTES:
                self._kept.popitem(last=False)


def strip(pictures: Sequence[Image.Image | None], width: int, height: int, gap: int) -> Image.Image:
    """Return pictures side by side, each cut to `width` x `height` pixels; None leaves its place empty."""
    joined = Image.new("RGB", (len(pictures) * (width + gap) - gap, height))
    for place, picture in enumerate(pictures):
        if picture is not None:
            joined.paste(ImageOps.fit(picture, (width, height)), (place * (width + gap), 0))
    return joined


def _jpeg(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=_QUALITY)
    return content.getvalue()

"""Give texts and photos their vectors, from a cache on disk where they have been made before."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from index_store.errors import DataError, PhotoError
from index_store.paths import cache_folder
from index_store.photos.open import open_photo
from index_store.records import PhotoInput
from index_store.training.data.pairs import Vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from index_store.encoders.protocols import Pixels

    Rows = NDArray[np.float32]
    EmbedPhotos = Callable[[Sequence[Pixels]], Rows]
    EmbedTexts = Callable[[Sequence[str]], Rows]
    OpenPixels = Callable[[Path, PhotoInput], Pixels]
    Progress = Callable[[int, int], None]

PHOTO_BATCH = 16
TEXT_BATCH = 64


class VectorCache:
    """Vectors in a folder, one file for each source and set of inputs; a changed photo or text makes another file."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "vectors"

    def texts(
        self, source: str, texts: Sequence[str], load: Callable[[], EmbedTexts], progress: Progress | None = None
    ) -> Rows:
        """Return the vector of each text; `load` is called only where the cache has none."""

        def embed() -> Rows:
            embed_texts = load()
            rows: list[Rows] = []
            for start in range(0, len(texts), TEXT_BATCH):
                rows.append(embed_texts(texts[start : start + TEXT_BATCH]))
                if progress is not None:
                    progress(min(start + TEXT_BATCH, len(texts)), len(texts))
            return np.concatenate(rows)

        return self._remembered(source, list(texts), embed)

    def photos(
        self,
        source: str,
        paths: Sequence[Path],
        load: Callable[[], tuple[PhotoInput, EmbedPhotos]],
        progress: Progress | None = None,
        open_pixels: OpenPixels | None = None,
    ) -> Rows:
        """Return the vector of each photo; raise `DataError` that names every photo that cannot be read.

        `open_pixels` opens photos otherwise than indexing does; `source` then says how.
        """

        def embed() -> Rows:
            photo_input, embed_photos = load()
            opener = open_pixels or _pixels_of
            return _embed_photos(paths, lambda path: opener(path, photo_input), embed_photos, progress)

        return self._remembered(source, [_print_of(path) for path in paths], embed)

    def _remembered(self, source: str, inputs: Sequence[str], embed: Callable[[], Rows]) -> Rows:
        key = hashlib.sha256("\n".join((source, *inputs)).encode("utf-8", "surrogateescape")).hexdigest()[:24]
        path = self.folder / f"{key}.npy"
        try:
            rows = np.load(path, allow_pickle=False)
            if len(rows) == len(inputs):
                return np.asarray(rows, dtype=np.float32)
        except (OSError, ValueError):
            pass  # not there, or cut short: made again
        rows = np.asarray(embed(), dtype=np.float32)
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".tmp.npy")
        np.save(unfinished, rows)
        unfinished.replace(path)
        return rows


def encoder_vectors(
    encoder: str | None,
    texts: Sequence[tuple[str, str]],
    photos: Sequence[tuple[str, Path]],
    cache: VectorCache,
    progress: Progress | None = None,
) -> tuple[Vectors, Vectors]:
    """Return the embeddings of named texts and named photos by an encoder, from the cache where it has them."""
    from index_store.encoders.registry import encoder_card, load_photo_encoder, load_text_encoder

    card = encoder_card(encoder)

    def photo_half() -> tuple[PhotoInput, EmbedPhotos]:
        half = load_photo_encoder(encoder)
        return half.photo_input, half.encode_photos

    nothing = np.zeros((0, encoder_card(encoder).dimension), np.float32)
    wanted = [text for _, text in texts]
    text_rows = nothing
    if wanted:
        text_rows = cache.texts(card.towers, wanted, lambda: load_text_encoder(encoder).encode_texts, progress)
    paths = [path for _, path in photos]
    photo_rows = cache.photos(card.name, paths, photo_half, progress) if paths else nothing
    return Vectors([name for name, _ in texts], text_rows), Vectors([name for name, _ in photos], photo_rows)


def _embed_photos(
    paths: Sequence[Path], open_pixels: Callable[[Path], Pixels], embed: EmbedPhotos, progress: Progress | None
) -> Rows:
    """Decode in threads a batch ahead, and embed batch by batch."""
    unreadable: list[str] = []

    def decode(path: Path) -> Pixels | None:
        try:
            return open_pixels(path)
        except PhotoError as error:
            unreadable.append(f"{path}: {error}")
            return None

    rows: list[Rows] = []
    with ThreadPoolExecutor(2, thread_name_prefix="decode") as pool:
        batches = [paths[start : start + PHOTO_BATCH] for start in range(0, len(paths), PHOTO_BATCH)]
        ahead = [pool.submit(decode, path) for path in batches[0]]
        for number, _ in enumerate(batches):
            decoded = [future.result() for future in ahead]
            following = batches[number + 1] if number + 1 < len(batches) else []
            ahead = [pool.submit(decode, path) for path in following]
            if not unreadable:
                rows.append(embed([pixels for pixels in decoded if pixels is not None]))
            if progress is not None:
                progress(min((number + 1) * PHOTO_BATCH, len(paths)), len(paths))
    if unreadable:
        raise DataError("these photos cannot be read:\n" + "\n".join(sorted(unreadable)))
    return np.concatenate(rows)


def _pixels_of(path: Path, wanted: PhotoInput) -> Pixels:
    return open_photo(str(path), wanted).pixels


def _print_of(path: Path) -> str:
    """Return what tells one photo, and its change, from another: path, size and time of change."""
    stat = path.stat()
    return f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"

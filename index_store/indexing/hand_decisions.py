"""Withhold or allow stored photos by hand, in the rows of every encoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from index_store.compliance.decisions import HandDecisions, decide, packed
from index_store.errors import PhotoError, UsageError
from index_store.indexing.run import apply_decisions
from index_store.paths import lies_below
from index_store.photos import file_system
from index_store.photos.hashing import hash_file
from index_store.records import PhotoFile, StoredPhoto
from index_store.store.image_store import ImageStore


def decide_paths(store: ImageStore, paths: Sequence[str], *, withhold: bool, reason: str) -> int:
    """Withhold or allow the photos at or below absolute `paths`, and all copies of them; return how many.

    Raises:
        UsageError: nothing is indexed at or below one of the paths, or a file there is not the one that was indexed;
            nothing was changed.
    """
    stores = [store, *store.others()]
    file_system.allow(paths)
    chosen = _chosen_files([photo for each in stores for photo in each.photos()], paths)
    _refuse_other_contents(chosen, withhold=withhold)
    vectors = _packed_embeddings(stores, list(chosen))
    made = [
        decide(
            content,
            files[0].image_id,
            withheld=withhold,
            reason=reason,
            embeddings=vectors.get(content),
        )
        for content, files in chosen.items()
    ]
    store.add_decisions(made)
    log = store.decisions()
    return max(apply_decisions(each, HandDecisions(log, each.manifest.encoder), chosen) for each in stores)


def _packed_embeddings(stores: Sequence[ImageStore], contents: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the embeddings of contents, by content and encoder, that of the tower that ships among them."""
    found: dict[str, dict[str, str]] = {}
    for store in stores:
        for content, photo in store.photos_of(contents).items():
            shipped, _, vector = photo.shipped_vector.partition(" ")
            found.setdefault(content, {}).update({shipped: vector} if vector else {})
    for store in stores:  # what an encoder's own row has is exact
        for content, embedding in store.embeddings(contents).items():
            found.setdefault(content, {})[store.manifest.encoder] = packed(embedding)
    return found


def _chosen_files(photos: Iterable[StoredPhoto], paths: Sequence[str]) -> dict[str, list[PhotoFile]]:
    """Return the files at or below `paths` by their content; each path must have one."""
    chosen: dict[str, list[PhotoFile]] = {}
    reached = set[str]()
    for photo in photos:
        for file in photo.files:
            above = [path for path in paths if lies_below(file.image_id, path)]
            if above:
                chosen.setdefault(photo.content_hash, []).append(file)
                reached.update(above)
    if unknown := [path for path in paths if path not in reached]:
        raise UsageError(f"{', '.join(unknown)}: no photo is indexed there; nothing was changed")
    return chosen


def _refuse_other_contents(chosen: Mapping[str, Sequence[PhotoFile]], *, withhold: bool) -> None:
    for content, files in chosen.items():
        for path in sorted({file.image_id for file in files}):
            if withhold and not file_system.exists(path, follow_links=False):
                continue
            try:
                same = hash_file(path) == content
            except PhotoError as error:
                raise UsageError(f"{path}: {error}; nothing was changed") from error
            if not same:
                raise UsageError(
                    f"{path}: is not the photo that was indexed, its content has changed; run 'imgsearch index' "
                    "first; nothing was changed"
                )

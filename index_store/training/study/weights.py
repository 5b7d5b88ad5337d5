"""Find the weights of other towers that people may have: on disk, in the hub's cache, or, where allowed, on the hub."""

from __future__ import annotations

import hashlib
from pathlib import Path

from index_store.encoders.hub import fetch_base
from index_store.encoders.sentence_cards import cached_folder, sample
from index_store.errors import WeightsError

REPOSITORIES = {
    "bert-base-uncased": ("google-bert/bert-base-uncased", "bert-base-uncased"),
    "all-mpnet-base-v2": ("sentence-transformers/all-mpnet-base-v2",),
    "clip-ViT-B-32": ("sentence-transformers/clip-ViT-B-32",),
}
"""The repositories of the hub that the names stand for; the first one is fetched."""

_RECIPES = {
    "all-mpnet-base-v2": "; the package index has them in five parts, which docs/other-encoders.md joins in 15 lines"
}


def put_into(place: Path) -> str:
    """Return what to do about files that are missing from the folder `place`."""
    return f"put its files into the folder {place}{_RECIPES.get(place.name, '')}; nothing was changed"


def find_folder(name: str, weights: Path, fetch: bool) -> Path:
    """Return the folder of a model: below `weights`, else in the hub's local cache, else fetched if that is allowed.

    Raises:
        WeightsError: it is in neither place, and must not be fetched.
        EncoderError: it cannot be fetched.
    """
    place = weights / name
    kept = [place] if place.is_dir() else [folder for folder in map(cached_folder, REPOSITORIES[name]) if folder]
    if kept:
        return kept[0]
    if not fetch:
        raise WeightsError(f"{name} is not on this machine: {put_into(place)}")
    return fetch_base(name, REPOSITORIES[name][0], put_into(place))


def print_of(place: Path) -> str:
    """Return what tells weights from others: a hash of all files' names, sizes and samples, wherever they lie."""
    digest = hashlib.sha256()
    for path in [place] if place.is_file() else sorted(place.rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(place)).encode(errors="surrogateescape") + sample(path))
    return digest.hexdigest()[:16]

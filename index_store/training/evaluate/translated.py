"""Evaluate retrieval by captions in another language, read as a query reads them, and by their English originals.

A table has the columns `image` and `caption`, and perhaps `english`: the English caption that the other one translates.
Nothing is learned from it.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from index_store.compliance.normalising import normalise
from index_store.encoders.languages.reader import OtherLanguages
from index_store.encoders.registry import encoder_card, load_text_encoder
from index_store.errors import DataError, UsageError
from index_store.training.data.captions import PHOTO_FOLDER
from index_store.training.data.judgements import TRAIN_PHOTOS, TestQuery
from index_store.training.data.pairs import Vectors
from index_store.training.data.vectors import VectorCache, encoder_vectors
from index_store.training.evaluate.evaluation import (
    EvaluationReport,
    MetricRow,
    RankingTask,
    measure_task,
    open_reranker,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from index_store.reranker.reranking import Reranker
    from index_store.training.evaluate.evaluation import Progress

    Rows = NDArray[np.float32]

_ENDINGS = frozenset((".jpg", ".jpeg", ".png", ".webp"))


@dataclass(frozen=True, slots=True)
class Translated:
    """One line of a table: a photo's name, a caption in another language, and its English original, perhaps empty."""

    image: str
    caption: str
    english: str


def read_translated(path: Path) -> list[Translated]:
    """Return the lines of a table.

    Raises:
        DataError: it cannot be read, or lacks a column or all lines.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: the table cannot be read: {error}") from error
    if not rows or not {"image", "caption"} <= rows[0].keys():
        raise DataError(f"{path}: no table of captions; its first line must name the columns image and caption")
    lines = [Translated(row["image"] or "", row["caption"] or "", row.get("english") or "") for row in rows]
    return [line for line in lines if line.image and line.caption]


def evaluate_translated(
    folder: Path, table: Path, cache: VectorCache | None = None, progress: Progress | None = None
) -> EvaluationReport:
    """Measure how high the photo of each caption is ranked among all photos of `folder`; names no photo.

    Captions of other photos are left out. One in a language that is not searched counts as not found.

    Raises:
        DataError: folder or table hold nothing that fits together.
        MissingExtraError: the extra `languages` is not installed.
    """
    photos = _photos(folder)
    lines = [line for line in read_translated(table) if line.image in photos]
    if not lines:
        raise DataError(f"{table}: names no photo in {folder}; name the folder whose photos its captions describe")
    cache, reranker = cache or VectorCache(), open_reranker(None, None)
    report = EvaluationReport(reranker.version, reranker.encoder)
    _, gallery = encoder_vectors(None, [], sorted(photos.items()), cache, progress)
    originals = [line for line in lines if line.english]
    rows, refused = _as_queries(lines, cache)
    _measure("other", lines, rows, gallery, reranker, report)
    if originals:
        texts = [normalise(line.english).text for line in originals]
        english = cache.texts(encoder_card().towers, texts, lambda: load_text_encoder().encode_texts)
        _measure("english", originals, english, gallery, reranker, report)
    report.rows.append(MetricRow("other", "policy", "language_not_searched", float(refused), len(lines)))
    return report


def _photos(folder: Path) -> dict[str, Path]:
    for place in (folder / TRAIN_PHOTOS, folder / PHOTO_FOLDER, folder):
        found = {path.name: path for path in sorted(place.glob("*")) if path.suffix.lower() in _ENDINGS}
        if found:
            return found
    raise DataError(f"{folder}: holds no photos")


def _as_queries(lines: Sequence[Translated], cache: VectorCache) -> tuple[Rows, int]:
    """Return the embedding of each caption by the tower that a query would take, and how many have none: rows of 0."""
    from index_store.encoders.languages.head import LanguageEncoder

    reader, card, texts = OtherLanguages(), encoder_card(), [normalise(line.caption).text for line in lines]
    towers: list[str] = []
    for text in texts:
        try:
            towers.append(reader.name if reader.read(text) else card.towers)
        except UsageError:
            towers.append("")
    rows = np.zeros((len(texts), card.dimension), np.float32)
    loaders = {
        reader.name: lambda: LanguageEncoder().encode_texts,
        card.towers: lambda: load_text_encoder().encode_texts,
    }
    for tower, load in loaders.items():
        places = [place for place, name in enumerate(towers) if name == tower]
        if places:
            rows[places] = cache.texts(tower, [texts[place] for place in places], load)
    return rows, towers.count("")


def _measure(
    subset: str,
    lines: Sequence[Translated],
    rows: Rows,
    gallery: Vectors,
    reranker: Reranker,
    report: EvaluationReport,
) -> None:
    named = EvaluationReport(report.reranker, report.encoder)
    queries = [TestQuery(str(place), line.caption, line.image) for place, line in enumerate(lines)]
    measure_task(RankingTask(subset, queries, rows, gallery), reranker, named)
    report.rows.extend(named.rows)

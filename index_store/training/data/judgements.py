"""Read a folder of human judgements in the layout of with_sense: photos, texts, experts, crowd and test queries.

Whatever is irregular is noted with its file and line and left out; `DataError` is raised only where nothing sensible
is left to do. A folder without test queries, without crowd or without experts is fine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from index_store.errors import DataError
from index_store.training.data.tables import Problem, ProblemLog, Row, read_table

EXPERT_SCALE = (1, 4)
TEXTS_FILE = "train_dataset.csv"
EXPERTS_FILE = "ExpertAnnotations.tsv"
CROWD_FILE = "CrowdAnnotations.tsv"
QUERIES_FILE = "test_queries.csv"
GALLERY_FILE = "test_images.csv"
TRAIN_PHOTOS = "train_images"
TEST_PHOTOS = "test_images"

_Judgement = TypeVar("_Judgement")


@dataclass(frozen=True, slots=True)
class ExpertPair:
    """A photo and a text with the scores that the experts gave: 1 does not match .. 4 matches."""

    image: str
    query_id: str
    scores: tuple[int, ...]

    @property
    def own(self) -> bool:
        """Return whether the text was written for this very photo."""
        return photo_of(self.query_id) == self.image


@dataclass(frozen=True, slots=True)
class CrowdPair:
    """A photo and a text with the share of the crowd, 0 to 1, that said they match."""

    image: str
    query_id: str
    share: float


@dataclass(frozen=True, slots=True)
class TestQuery:
    """A text to search by and the file name of the one photo that it was written for."""

    __test__ = False  # pytest would take the class for a test by its name

    query_id: str
    text: str
    image: str


@dataclass(frozen=True, slots=True)
class Judgements:
    """All that one folder holds; pairs name photos below `train_photos`, queries below `test_photos`."""

    folder: Path
    texts: Mapping[str, str]
    expert: list[ExpertPair] = field(default_factory=list)
    crowd: list[CrowdPair] = field(default_factory=list)
    queries: list[TestQuery] = field(default_factory=list)
    gallery: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def photos(self) -> list[str]:
        """Return the file names of the judged photos, sorted."""
        return sorted({pair.image for pair in self.expert} | {pair.image for pair in self.crowd})

    def train_photo(self, image: str) -> Path:
        """Return the path of a judged photo."""
        return self.folder / TRAIN_PHOTOS / image

    def test_photo(self, image: str) -> Path:
        """Return the path of a photo of the test gallery."""
        return self.folder / TEST_PHOTOS / image


def photo_of(query_id: str) -> str:
    """Return the file name of the photo that a text was written for: `a.jpg` for `a.jpg#2`."""
    return query_id.rpartition("#")[0]


def read_judgements(folder: Path) -> Judgements:
    """Read every table of `folder`; raise `DataError` where it holds neither judgements nor test queries."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; name one in the layout of with_sense")
    log = ProblemLog()
    texts = _read_texts(folder, log)
    photos = _file_names(folder / TRAIN_PHOTOS)
    expert = _read_experts(folder, texts, photos, log)
    crowd = _read_crowd(folder, texts, photos, log)
    queries, gallery = _read_queries(folder, log)
    judgements = Judgements(folder, texts, expert, crowd, queries, gallery, log.problems())
    if not expert and not crowd and not queries:
        raise DataError(f"{folder}: no judgement and no query can be used\n{_reasons(judgements)}")
    return judgements


def require_pairs(judgements: Judgements, experts: bool = False, crowd: bool = False) -> None:
    """Raise `DataError` where training makes no sense: judgements that are needed are missing, or a single photo."""
    needed = [(experts, judgements.expert, EXPERTS_FILE), (crowd, judgements.crowd, CROWD_FILE)]
    for wanted, pairs, file in needed:
        if wanted and not pairs:
            raise DataError(f"{judgements.folder}: no usable pair in {file}\n{_reasons(judgements)}")
    if not judgements.expert and not judgements.crowd:
        raise DataError(f"{judgements.folder}: no judged pair can be used\n{_reasons(judgements)}")
    if len(judgements.photos) < 2:
        raise DataError(
            f"{judgements.folder}: all judgements are of the single photo {judgements.photos[0]}; "
            "training needs photos on both sides of the split"
        )


def require_queries(judgements: Judgements) -> None:
    """Raise `DataError` where there is no test query."""
    if not judgements.queries:
        raise DataError(f"{judgements.folder}: no test query can be used\n{_reasons(judgements)}")


def _reasons(judgements: Judgements) -> str:
    return "\n".join(str(problem) for problem in judgements.problems)


def _file_names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _read_texts(folder: Path, log: ProblemLog) -> dict[str, str]:
    """Return the text of each query_id; of two different texts the first stays."""
    texts: dict[str, str] = {}
    for row in read_table(folder / TEXTS_FILE, ("image", "query_id", "query_text"), ",", True, log):
        query_id, text = row["query_id"], row["query_text"]
        if not text:
            log.note("blank text", TEXTS_FILE, f"{query_id} has a blank text", row.line)
        elif texts.setdefault(query_id, text) != text:
            log.note("two texts", TEXTS_FILE, f"{query_id} has a second, different text; the first stays", row.line)
    return texts


def _read_experts(folder: Path, texts: Mapping[str, str], photos: set[str], log: ProblemLog) -> list[ExpertPair]:
    columns = ("image", "query_id", "score 1", "score 2", "score 3")
    rows = read_table(folder / EXPERTS_FILE, columns, "\t", False, log)

    def scores_of(row: Row) -> tuple[int, ...] | None:
        scores = tuple(_expert_score(row[column]) for column in columns[2:])
        for column, score in zip(columns[2:], scores, strict=True):
            if score is None:
                message = f"expert score {row[column]} is outside 1..4; the pair is left out"
                log.note("expert score", EXPERTS_FILE, message, row.line)
                return None
        return tuple(score for score in scores if score is not None)

    judged = _judged(rows, EXPERTS_FILE, scores_of, texts, photos, log)
    return [ExpertPair(image, query_id, scores) for (image, query_id), scores in judged.items()]


def _read_crowd(folder: Path, texts: Mapping[str, str], photos: set[str], log: ProblemLog) -> list[CrowdPair]:
    columns = ("image", "query_id", "share", "yes", "no")
    rows = read_table(folder / CROWD_FILE, columns, "\t", False, log)

    def share_of(row: Row) -> float | None:
        try:
            share = float(row["share"])
        except ValueError:
            share = -1.0
        if 0.0 <= share <= 1.0:
            return share
        message = f"crowd share {row['share']} is outside 0..1; the pair is left out"
        log.note("crowd share", CROWD_FILE, message, row.line)
        return None

    judged = _judged(rows, CROWD_FILE, share_of, texts, photos, log)
    return [CrowdPair(image, query_id, share) for (image, query_id), share in judged.items()]


def _judged(
    rows: Iterable[Row],
    file: str,
    judgement_of: Callable[[Row], _Judgement | None],
    texts: Mapping[str, str],
    photos: set[str],
    log: ProblemLog,
) -> dict[tuple[str, str], _Judgement]:
    """Return the judgement of each pair, without those that lack a text or a photo, or contradict one another."""
    judged: dict[tuple[str, str], _Judgement] = {}
    contradicted: set[tuple[str, str]] = set()
    for row in rows:
        judgement = judgement_of(row)
        if judgement is None:
            continue
        pair = row["image"], row["query_id"]
        if pair[1] not in texts:
            log.note("no text", file, f"query_id {pair[1]} has no text in {TEXTS_FILE}; the pair is left out", row.line)
        elif pair[0] not in photos:
            log.note(
                "no photo", file, f"the photo {TRAIN_PHOTOS}/{pair[0]} is not there; the pair is left out", row.line
            )
        elif pair not in judged:
            judged[pair] = judgement
        elif judged[pair] == judgement:
            log.note("duplicate", file, f"{pair[0]} with {pair[1]} is there twice; one stays", row.line)
        else:
            message = f"{pair[0]} with {pair[1]} contradicts an earlier line; both are left out"
            log.note("contradiction", file, message, row.line)
            contradicted.add(pair)
    return {pair: judgement for pair, judgement in judged.items() if pair not in contradicted}


def _expert_score(text: str) -> int | None:
    """Return the score where it is a whole number on the experts' scale."""
    try:
        score = float(text)
    except ValueError:
        return None
    return int(score) if score.is_integer() and EXPERT_SCALE[0] <= score <= EXPERT_SCALE[1] else None


def _read_queries(folder: Path, log: ProblemLog) -> tuple[list[TestQuery], list[str]]:
    """Return the test queries whose photo is there, and the file names of the gallery, sorted."""
    present = _file_names(folder / TEST_PHOTOS)
    gallery = _read_gallery(folder, present, log)
    queries: dict[str, TestQuery] = {}
    for row in read_table(folder / QUERIES_FILE, ("query_id", "query_text", "image"), "|", True, log):
        query = TestQuery(row["query_id"], row["query_text"], row["image"])
        if not query.text:
            log.note("blank text", QUERIES_FILE, f"{query.query_id} has a blank text; it is left out", row.line)
        elif query.image not in present:
            message = f"the photo {TEST_PHOTOS}/{query.image} is not there; the query is left out"
            log.note("no photo", QUERIES_FILE, message, row.line)
        elif queries.setdefault(query.query_id, query) != query:
            log.note("contradiction", QUERIES_FILE, f"{query.query_id} is there twice; the first stays", row.line)
    return list(queries.values()), sorted({*gallery, *(query.image for query in queries.values())})


def _read_gallery(folder: Path, present: set[str], log: ProblemLog) -> list[str]:
    """Return the photos that `test_images.csv` names and that are there; without that table, all that are there."""
    gallery: list[str] = []
    rows = read_table(folder / GALLERY_FILE, ("image",), ",", True, log)
    if not rows:
        return sorted(present)
    for row in rows:
        if row["image"] in present:
            gallery.append(row["image"])
        else:
            log.note("no photo", GALLERY_FILE, f"the photo {TEST_PHOTOS}/{row['image']} is not there", row.line)
    return gallery

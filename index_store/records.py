"""The records that pass between rooms; frozen, and made of the standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Embedding = NDArray[np.float32]
    """Shape (dimension,), length one."""


@dataclass(frozen=True, slots=True)
class PhotoFile:
    """A file that looks like a photo, as the disk shows it; `content_hash` is filled in once the file has been read."""

    image_id: str
    size_bytes: int
    mtime_ns: int
    content_hash: str | None = None


@dataclass(frozen=True, slots=True)
class FindOptions:
    """What is looked at: `exclude` are patterns in gitignore's syntax, relative to the searched folder."""

    exclude: tuple[str, ...] = ()
    hidden: bool = False
    follow_symlinks: bool = False


@dataclass(frozen=True, slots=True)
class OpenedPhoto:
    """A decoded photo: `pixels` of shape (height, width, 3) as an encoder wants them, RGB.

    `width` and `height` are those of the upright original.
    """

    file: PhotoFile
    pixels: NDArray[np.uint8]
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file or folder that was passed over, and why, in words for the person who owns it.

    `path` is None where it would name a photo that the policy withholds.
    """

    path: str | None
    reason: str


BY_HAND = "by hand"
"""What stands in place of the rule where a person decided."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the compliance rule for photos decided about one photo.

    `probability` in [0, 1] that the photo shows somebody under the policy's age limit; `rule` and `policy` name the
    model version and the policy that decided.
    """

    withheld: bool
    probability: float
    reason: str
    rule: str
    policy: str

    @property
    def by_hand(self) -> bool:
        """Whether a person decided, and not the rule."""
        return self.rule == BY_HAND

    @property
    def withheld_up_to(self) -> float:
        """The highest threshold of a policy that withholds the photo; by hand 1, or -1 where it is to be shown."""
        return self.probability if not self.by_hand else 1.0 if self.withheld else -1.0

    def withholds_at(self, threshold: float) -> bool:
        """Tell whether the photo is withheld under a policy with this threshold, which may not be the one of then."""
        return self.withheld_up_to >= threshold


@dataclass(frozen=True, slots=True)
class StoredPhoto:
    """One row of the store without its embedding: the file as it was when read, its upright size, and the verdict."""

    file: PhotoFile
    width: int
    height: int
    verdict: Verdict

    @property
    def image_id(self) -> str:
        """The photo's absolute path."""
        return self.file.image_id


@dataclass(frozen=True, slots=True)
class Candidate:
    """A photo near a query: `similarity` is the cosine in [-1, 1]."""

    image_id: str
    similarity: float
    embedding: Embedding


@dataclass(frozen=True, slots=True)
class Match:
    """One row of an answer. A withheld row keeps its rank; what names the photo is absent, its figures are 0."""

    rank: int
    score: float
    similarity: float
    image_id: str | None
    width: int | None
    height: int | None

    @property
    def withheld(self) -> bool:
        """Whether the notice stands in place of the photo."""
        return self.image_id is None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query is answered with: matches by falling score, or the notice alone.

    `notice` is the policy's text where the query itself may not be answered or where a match is withheld, else None.
    `refused` tells the two apart: the query itself was not answered. `reason` says why there are no matches.
    """

    query: str
    matches: tuple[Match, ...] = ()
    notice: str | None = None
    refused: bool = False
    calibrated: bool = True
    warnings: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What an index run did. Counts are photos; `seconds` is wall time; `encoded` were embedded in this run."""

    added: int = 0
    changed: int = 0
    moved: int = 0
    touched: int = 0
    unchanged: int = 0
    removed: int = 0
    encoded: int = 0
    withheld: int = 0
    seconds: float = 0.0
    skipped: tuple[Skipped, ...] = field(default=())

    @property
    def photos_per_second(self) -> float:
        """Embedded photos a second of the whole run; 0 where none was embedded."""
        return self.encoded / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What `imgsearch status` tells; `indexed_at` is an ISO 8601 time in UTC, None before the first run."""

    store: str
    schema: int
    photos: int
    withheld: int
    decided_by_hand: int
    encoder: str
    dimension: int
    reranker: str
    policy: str
    bytes_on_disk: int | None
    indexed_at: str | None
    roots: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IndexedRoot:
    """A folder or file that was given to `imgsearch index`; `indexed_at` is an ISO 8601 time in UTC.

    `find` is how photos were looked for there, so that a refresh looks in the same way; `name` is the name by which
    other machines know the root, if it has one.
    """

    path: str
    indexed_at: str
    photos: int
    find: FindOptions = FindOptions()
    name: str = ""

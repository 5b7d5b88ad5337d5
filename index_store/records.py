"""The records that pass between folders: frozen, and made of the standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    Embedding = NDArray[np.float32]
    """Shape (dimension,), length one."""


@dataclass(frozen=True, slots=True)
class PhotoFile:
    """A file that looks like a photo, as the disk shows it; `content_hash` is filled in once the file has been read.

    `inode` and `ctime_ns` are 0 where they are not known; they tell apart files that kept size and time.
    """

    image_id: str
    size_bytes: int
    mtime_ns: int
    content_hash: str | None = None
    inode: int = 0
    ctime_ns: int = 0


@dataclass(frozen=True, slots=True)
class PhotoInput:
    """How photos are prepared for an encoder, or for people.

    `squash`: resized to exactly `side` x `side` pixels, the aspect ratio ignored; otherwise the shorter side becomes
    `side` and the aspect ratio is kept. With a `second_side` the decoded pixels are also resized for a second tower.
    `for_people`: the longer side becomes at most `side`, nothing is enlarged, and the first picture of the file is
    enough.
    """

    side: int
    squash: bool = True
    second_side: int = 0
    second_squash: bool = True
    for_people: bool = False

    @property
    def second(self) -> PhotoInput | None:
        """The form for the second tower, None where one is enough."""
        return PhotoInput(self.second_side, self.second_squash) if self.second_side else None

    @property
    def longest(self) -> int:
        """The larger of the sides: a photo need not be decoded larger than that."""
        return max(self.side, self.second_side)

    def joined_with(self, other: PhotoInput) -> PhotoInput:
        """Return the input that asks for both forms; the other one is left out where it is the same."""
        if (other.side, other.squash) == (self.side, self.squash):
            return self
        return replace(self, second_side=other.side, second_squash=other.squash)


@dataclass(frozen=True, slots=True)
class FindOptions:
    """What is looked at: `exclude` are patterns in gitignore's syntax, relative to the searched folder.

    `keep_raw` takes camera RAW files also where the camera's JPEG of the same moment lies in the same folder.
    """

    exclude: tuple[str, ...] = ()
    hidden: bool = False
    follow_symlinks: bool = False
    keep_raw: bool = False


MOST_FRAMES = 16
"""Pictures of one file that are looked at, the first among them."""


@dataclass(frozen=True, slots=True)
class EncodingJob:
    """A photo to decode and encode once; `copies` are files of the same content that share its row."""

    file: PhotoFile
    copies: tuple[PhotoFile, ...] = ()

    @property
    def files(self) -> tuple[PhotoFile, ...]:
        """All files of this content."""
        return (self.file, *self.copies)


@dataclass(frozen=True, slots=True)
class OpenedPhoto:
    """A decoded photo: `pixels` of shape (height, width, 3) as an encoder wants them, RGB.

    `width` and `height` are those of the upright original. `taken` is when it was taken, in ISO 8601 without a time
    zone, or only the day; `camera` is make and model in one line of at most 80 printable characters. `frames` are up to
    15 further pictures of the file, in the same form as `pixels`, which are judged with it; where `unseen`, there are
    such that could not be looked at, and the photo has to be withheld. `second_form` are pixels and frames once more,
    for a second tower, where one was asked for. `note` is what the owner should know ("is cut
    short: ..."), `faults` what is broken besides the picture and counts as absent, for -v; "" where there is nothing.
    """

    file: PhotoFile
    pixels: NDArray[np.uint8]
    width: int
    height: int
    taken: str | None = None
    camera: str = ""
    frames: tuple[NDArray[np.uint8], ...] = ()
    unseen: bool = False
    note: str = ""
    faults: str = ""
    second_form: tuple[NDArray[np.uint8], ...] = ()

    def in_second_form(self) -> OpenedPhoto:
        """Return the photo as the second tower wants it: itself where both want the same."""
        if not self.second_form:
            return self
        return replace(self, pixels=self.second_form[0], frames=self.second_form[1:], second_form=())


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file or folder that was passed over, and why, in words for the person who owns it.

    `path` is None where it would name a photo that the policy withholds.
    """

    path: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class PassedOver:
    """What a search left out although nothing is wrong with it.

    `formats` counts pictures in formats that are not read, and files that were named and are no photos, by suffix;
    `rubbish` counts folders that a NAS or a desktop keeps, by name; `paired` are camera RAW files whose JPEG is taken,
    `raw` those that nothing here can develop; `unused` are patterns of the command line that matched nothing.
    """

    formats: Mapping[str, int] = field(default_factory=dict)
    rubbish: Mapping[str, int] = field(default_factory=dict)
    paired: int = 0
    raw: int = 0
    unused: tuple[str, ...] = ()


BY_HAND = "by hand"
"""What stands in place of the rule where a person decided."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the compliance rule for photos decided about one photo.

    `probability` in [0, 1] that the photo shows somebody under the policy's age limit; `rule` and `policy` name the
    model version and the policy that decided. `near` is the content hash of a photo that a person withheld and that
    this one looks equal to, "" where there is none.
    """

    withheld: bool
    probability: float
    reason: str
    rule: str
    policy: str
    near: str = ""

    @property
    def by_hand(self) -> bool:
        """Whether a person decided, and not the rule."""
        return self.rule == BY_HAND

    @property
    def withheld_up_to(self) -> float:
        """The highest threshold of a policy that withholds the photo; by hand 1, or -1 where it is to be shown."""
        if self.by_hand:
            return 1.0 if self.withheld else -1.0
        return 1.0 if self.near else self.probability

    def withholds_at(self, threshold: float) -> bool:
        """Return whether the photo is withheld under a policy with this threshold, which may not be the one of then."""
        return self.withheld_up_to >= threshold


LANDSCAPE, PORTRAIT = "landscape", "portrait"
"""The two shapes of a photo that is no square."""


def _day_taken(taken: str) -> date | None:
    try:
        return date.fromisoformat(taken[:10])
    except ValueError:
        return None


def _day_of(mtime_ns: int) -> date:
    try:
        return date.fromtimestamp(mtime_ns / 1e9)
    except (ValueError, OverflowError, OSError):  # a store may hold any number
        return date.min


@dataclass(frozen=True, slots=True)
class StoredPhoto:
    """One row of the store without its embedding: a content, the files that hold it, and the verdict.

    A vector belongs to a content, and copies of it are further files of the same row: `files` has at least one, sorted
    by path, each with the fingerprint that it had when it was read last. `width` and `height` are those of the upright
    picture; `taken` is the time of the exposure in ISO 8601 and `camera` its maker and model, "" where not known.
    `pictures` of the file were judged, and the strictest verdict holds; the embedding is that of the first.
    `shipped_vector` is its embedding by the tower that ships, as `compliance/shipped_vectors.py` packs it, where the
    row's own is another encoder's: the rule for photos judges by it.
    """

    content_hash: str
    files: tuple[PhotoFile, ...]
    width: int
    height: int
    verdict: Verdict
    taken: str = ""
    camera: str = ""
    pictures: int = 1
    shipped_vector: str = ""

    @property
    def image_id(self) -> str:
        """The absolute path of the photo, of several copies the first by path."""
        return self.files[0].image_id

    @property
    def paths(self) -> tuple[str, ...]:
        """The absolute paths of all copies, sorted."""
        return tuple(file.image_id for file in self.files)

    @property
    def day(self) -> date:
        """The day on which the photo was taken, else that of its oldest file's time, where this process is."""
        return _day_taken(self.taken) or _day_of(min(file.mtime_ns for file in self.files))

    @property
    def dated_by_file(self) -> bool:
        """Whether `day` is that of a file, since the photo does not tell when it was taken."""
        return _day_taken(self.taken) is None

    @property
    def shape(self) -> str:
        """`landscape`, `portrait`, or "" for a square."""
        return LANDSCAPE if self.width > self.height else PORTRAIT if self.height > self.width else ""

    def judged_again(self, verdict: Verdict) -> Verdict:
        """Return the verdict that holds where `verdict` was made of the embedding alone.

        What was seen in the other pictures of the file is not seen again, so a stricter verdict on them stays.
        """
        if self.pictures == 1 or self.verdict.by_hand or self.verdict.probability <= verdict.probability:
            return verdict
        return replace(verdict, probability=self.verdict.probability, reason=self.verdict.reason, withheld=True)

    def with_files(self, files: Iterable[PhotoFile]) -> StoredPhoto:
        """Return the row with these files in place of its own, the last one of each path, sorted by path."""
        by_path = {file.image_id: file for file in files}
        return replace(self, files=tuple(by_path[path] for path in sorted(by_path)))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A photo near a query: `key` names it, in a store by its content hash; `similarity` is the cosine in [-1, 1]."""

    key: str
    similarity: float
    embedding: Embedding


@dataclass(frozen=True, slots=True)
class Match:
    """One row of an answer. A withheld row keeps its rank; what names the photo is absent, its figures are 0.

    >>> match = next(iter(library.search("a cat", min_score=0)))
    >>> 0 <= match.score <= 1, match.path.startswith("/"), match.withheld
    (True, True, False)

    `copies` are the paths of further files of the same content. `missing`: no file of it is there now. `day` is when it
    was taken, `dated_by_file` whether only its file's time says so; `content_hash` names it in the store.
    """

    rank: int
    score: float
    similarity: float
    image_id: str | None
    width: int | None
    height: int | None
    copies: tuple[str, ...] = ()
    missing: bool = False
    day: date | None = None
    dated_by_file: bool = False
    camera: str = ""
    content_hash: str = ""

    @property
    def withheld(self) -> bool:
        """Whether the notice stands in place of the photo.

        >>> any(match.withheld for match in library.search("a cat"))  # to iterate is for those that are shown
        False
        """
        return self.image_id is None

    @property
    def path(self) -> str | None:
        """The absolute path of the photo, which `image_id` is too; None where it is withheld.

        >>> [os.path.basename(match.path) for match in library.search(like="photos/coffee.png", k=1)]
        ['coffee.png']
        """
        return self.image_id

    @property
    def paths(self) -> tuple[str, ...]:
        """The absolute paths of all files of the photo, `path` first; empty where it is withheld.

        >>> match = next(iter(library.search("a cat", min_score=0)))
        >>> match.paths == (match.path, *match.copies)
        True
        """
        return () if self.image_id is None else (self.image_id, *self.copies)

    def open(self) -> Image:
        """Return the photo as an upright picture of Pillow, RGB, at most 4,096 pixels a side.

        >>> answer = library.search("a cat", min_score=0)
        >>> next(iter(answer)).open().mode
        'RGB'

        Raises:
            PhotoError: it is withheld, or no file holds it any more as it was indexed.
        """
        from index_store.photos.pictures import open_match

        return open_match(self)


BY_REFERENCE = "by reference"
"""What an answer says of scores that no reranker gave, but how far a photo stands out of the store's."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query is answered with: matches by falling score, or the notice alone.

    To iterate, and `len`, are for the photos that are shown; `matches` has the withheld ones in their places too. In a
    notebook it shows itself.

    >>> answer = library.search("a cat", k=3, min_score=0)
    >>> len(answer)
    3
    >>> [match.rank for match in answer] == sorted(match.rank for match in answer)
    True

    `notice` is the policy's text where the query itself may not be answered or where a match is withheld, else None.
    `refused` tells the two apart: the query itself was not answered. `reason` says why there are no matches; `nearest`
    are then a few photos below the threshold, which are probably not what was asked for; none of them is withheld.
    """

    query: str
    matches: tuple[Match, ...] = ()
    notice: str | None = None
    refused: bool = False
    calibrated: bool | str = True
    warnings: tuple[str, ...] = ()
    reason: str = ""
    nearest: tuple[Match, ...] = ()

    def __len__(self) -> int:
        return sum(not match.withheld for match in self.matches)

    def __iter__(self) -> Iterator[Match]:
        return (match for match in self.matches if not match.withheld)

    def __bool__(self) -> bool:
        return True  # also an answer without photos says why

    def _repr_html_(self) -> str:
        """Return what a notebook shows: thumbnails, scores, and the notice where something is withheld.

        >>> library.search("a cat", k=1, min_score=0)._repr_html_().count("<img")
        1
        """
        from index_store.pages.contact_sheet import sheet

        return sheet(self)


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What an index run did. Counts are photos; `seconds` is wall time; `encoded` were embedded in this run.

    `notes` name photos that were indexed although something is wrong with them. `left` contents are for the next run.
    """

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
    notes: tuple[Skipped, ...] = field(default=())
    passed_over: PassedOver = field(default=PassedOver())
    left: int = 0

    @property
    def photos_per_second(self) -> float:
        """Embedded photos a second of the whole run; 0 where none was embedded."""
        return self.encoded / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What `imgsearch status` tells; `indexed_at` is an ISO 8601 time in UTC, None before the first run.

    `encoder` is the one that queries use; `encoders` has the number of photos of each encoder of the store; `languages`
    the name of the text tower that reads each language, by its code, where the store's encoder is the one that ships.
    """

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
    encoders: Mapping[str, int] = field(default_factory=dict)
    languages: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IndexedRoot:
    """A folder or file that was given to `imgsearch index`; `indexed_at` is an ISO 8601 time in UTC.

    `find` is how photos were looked for there, so that a refresh looks in the same way; `name` is the name by which
    other machines know the root, if it has one. `trusted`: this user indexed it on this machine, so that a refresh may
    read it; what another machine or a foreign store says is never read unasked.
    """

    path: str
    indexed_at: str
    photos: int
    find: FindOptions = FindOptions()
    name: str = ""
    trusted: bool = True

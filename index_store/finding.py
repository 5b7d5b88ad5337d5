"""Find the photos below a folder, by content where the name does not tell, and fingerprint them.

The only importer of pathspec, which knows gitignore's syntax.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

from pathspec import GitIgnoreSpec

from index_store.errors import PhotoUnreadableError, UsageError
from index_store.records import FindOptions, PhotoFile, Skipped

PHOTO_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
        *(".heic", ".heif", ".hif", ".heics", ".avif", ".avifs", ".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc"),
        *(".mpo", ".apng", ".dib", ".pnm", ".ppm", ".pgm", ".pbm", ".pfm"),
        *((".jxl",) if find_spec("pillow_jxl") else ()),  # the extra jxl
    )
)
"""Names that announce a photo: such a file that is none is reported, another is passed over."""

RAW_SUFFIXES = frozenset(
    (
        *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dcs", ".dng", ".erf", ".fff"),
        *(".gpr", ".iiq", ".k25", ".kdc", ".mdc", ".mef", ".mos", ".mrw", ".nef", ".nrw"),
        *(".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
    )
)
"""Names of camera RAW files. What a file is, its content decides; the name only where that leaves it open."""

IGNORE_FILE = ".imgsearchignore"
"""A file of patterns in gitignore's syntax; it holds for its folder and those below."""

_MAGIC = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
    # camera RAW of its own kind
    *(b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\x00", b"II\x1a\x00\x00\x00HEAPCCDR", b"\x00MRM", b"FOVb"),
)
_MAGIC_JPEG_2000 = (b"\x00\x00\x00\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")
_HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"mif2", b"msf1", b"avif", b"avis", b"crx "}
)
_BMP_HEADER_SIZES = frozenset({12, 40, 52, 56, 64, 108, 124})
_SNIFFED_BYTES = 18


@dataclass(slots=True)
class Found:
    """What lies below a searched path, sorted by path; `unreadable` places may hide photos that still exist."""

    files: list[PhotoFile] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def find_photos(root: str, options: FindOptions | None = None) -> Found:
    """Find the photos at or below `root`, an absolute path.

    Links to files are followed; links to folders only where asked for, and then each folder is entered once, so that a
    loop has an end. Nothing is raised for what cannot be read: it is listed in the result.

    Raises:
        UsageError: a pattern of `options.exclude` or of an ignore file cannot be understood.
    """
    options = options or FindOptions()
    found = Found()
    if os.path.isfile(root):
        _consider(root, found)
    else:
        _search(root, found, options)
    found.files.sort(key=lambda photo: photo.image_id)
    found.skipped.sort(key=lambda skip: skip.path or "")
    return found


def hash_file(path: str) -> str:
    """Return the fingerprint of a file's content: BLAKE2b, 128 bits, as hexadecimal digits.

    Raises:
        PhotoUnreadableError: the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, new_digest).hexdigest()
    except OSError as error:
        raise PhotoUnreadableError(os_reason(error)) from error


def new_digest(content: bytes = b"") -> hashlib.blake2b:
    """Start the digest that names a content."""
    return hashlib.blake2b(content, digest_size=16)


def os_reason(error: OSError) -> str:
    """Return the operating system's words for an error."""
    return (error.strerror or str(error) or type(error).__name__).lower()


class _Rules:
    """The patterns that hold in a folder, the nearest first; the first that has an opinion decides, as in git."""

    def __init__(self, specs: tuple[tuple[str, GitIgnoreSpec], ...]) -> None:
        self._specs = specs

    @classmethod
    def of_command_line(cls, root: str, patterns: Sequence[str]) -> _Rules:
        return cls(((root, _parse(patterns, "--exclude")),) if patterns else ())

    def inside(self, folder: str, names: Sequence[str]) -> _Rules:
        """Return the rules in `folder`, which adds those of its own ignore file."""
        if IGNORE_FILE not in names:
            return self
        path = os.path.join(folder, IGNORE_FILE)
        with open(path, encoding="utf-8", errors="surrogateescape") as lines:
            return _Rules(((folder, _parse(lines.read().splitlines(), path)), *self._specs))

    def exclude(self, path: str, *, is_folder: bool) -> bool:
        for folder, spec in self._specs:
            relative = os.path.relpath(path, folder) + ("/" if is_folder else "")
            decision = spec.check_file(relative).include
            if decision is not None:
                return decision
        return False


def _parse(patterns: Sequence[str], where: str) -> GitIgnoreSpec:
    try:
        return GitIgnoreSpec.from_lines(patterns)
    except ValueError as error:
        raise UsageError(f"{where}: a pattern is not in gitignore's syntax: {error}; nothing was indexed") from error


def _search(root: str, found: Found, options: FindOptions) -> None:
    waiting = [(root, _Rules.of_command_line(root, options.exclude))]
    entered = set[tuple[int, int]]()
    while waiting:
        folder, rules = waiting.pop()
        try:
            if options.follow_symlinks and not _enter(folder, entered):
                continue
            with os.scandir(folder) as scan:
                entries = list(scan)
            rules = rules.inside(folder, [entry.name for entry in entries])
        except OSError as error:
            found.unreadable.append(folder)
            found.skipped.append(Skipped(folder, f"cannot be listed: {os_reason(error)}"))
            continue
        for entry in entries:
            if entry.name.startswith(".") and not options.hidden:
                continue
            is_folder = _is_folder(entry)
            if rules.exclude(entry.path, is_folder=is_folder):
                continue
            if not is_folder:
                _consider(entry.path, found)
            elif options.follow_symlinks or not entry.is_symlink():
                waiting.append((entry.path, rules))


def _enter(folder: str, entered: set[tuple[int, int]]) -> bool:
    """Note that a folder is entered; False where it was entered before, by whatever name."""
    status = os.stat(folder)
    identity = (status.st_dev, status.st_ino)
    if identity in entered:
        return False
    entered.add(identity)
    return True


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _consider(path: str, found: Found) -> None:
    announced = os.path.splitext(path)[1].lower() in PHOTO_SUFFIXES | RAW_SUFFIXES
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            if announced:
                found.skipped.append(Skipped(path, "is not a regular file"))
        elif announced or _starts_like_a_photo(path):
            found.files.append(PhotoFile(path, status.st_size, status.st_mtime_ns))
    except OSError as error:
        found.unreadable.append(path)
        if announced:
            found.skipped.append(Skipped(path, os_reason(error)))


def _starts_like_a_photo(path: str) -> bool:
    with open(path, "rb") as file:
        head = file.read(_SNIFFED_BYTES)
    if head.startswith(_MAGIC + _MAGIC_JPEG_2000) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return True
    if head[4:8] == b"ftyp":
        return head[8:12] in _HEIF_BRANDS
    if head[:2] == b"BM" and len(head) == _SNIFFED_BYTES:
        # "BM" alone would also match texts that begin with "BMW": the size of the second header settles it
        return struct.unpack_from("<I", head, 14)[0] in _BMP_HEADER_SIZES
    return False

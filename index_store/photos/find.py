"""Find the photos below a folder, by content where the name does not tell."""

from __future__ import annotations

import importlib.util
import os
import stat
import struct
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import groupby
from operator import attrgetter

from index_store.errors import DataError, UsageError, os_reason
from index_store.paths import is_address
from index_store.photos import file_system
from index_store.photos.hashing import MAX_FILE_BYTES, too_large
from index_store.photos.ignore import IGNORE_FILE, Rules, is_rubbish
from index_store.photos.pairing import belongs_to_a_photo, paired_raw
from index_store.records import FindOptions, PassedOver, PhotoFile, Skipped
from index_store.user_text import open_regular

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

UNREAD_SUFFIXES = frozenset(
    (
        *(".jxl", ".psd", ".psb", ".svg", ".svgz", ".xcf", ".eps", ".ai", ".exr", ".hdr", ".tga", ".dds", ".ico"),
        *(".icns", ".pcx", ".pam", ".wmf", ".emf", ".kra", ".clip", ".ora"),
        *(".cdr", ".dcm", ".fits", ".fit", ".jxr", ".wdp", ".hdp", ".bpg", ".flif", ".qoi", ".sgi", ".dpx", ".cin"),
        *(".xbm", ".xpm", ".pict", ".mng", ".jls", ".djvu", ".procreate", ".afphoto", ".sketch", ".cur"),
        *(".cap", ".eip"),
    )
)
"""Names of pictures that are not read; they are counted, unless their content is a photo after all."""

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
    """What lies below a searched path, sorted by path; `unreadable` places may hide photos that still exist.

    `reached` are the roots inside the searched one that were looked through with it, in their own way; `raw_paths` are
    the camera RAW files of the folder that is being listed.
    """

    files: list[PhotoFile] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    reached: set[str] = field(default_factory=set)
    formats: Counter[str] = field(default_factory=Counter)
    rubbish: Counter[str] = field(default_factory=Counter)
    paired: int = 0
    raw: int = 0
    unused: tuple[str, ...] = ()
    raw_paths: list[str] = field(default_factory=list)

    @property
    def passed_over(self) -> PassedOver:
        """What was left out although nothing is wrong with it."""
        return PassedOver(dict(self.formats), dict(self.rubbish), self.paired, self.raw, self.unused)

    def sort(self) -> None:
        """Bring files and reports into the order of their paths, each once."""
        path = attrgetter("image_id")
        self.files.sort(key=path)  # takes little time where they are in order already
        if len(set(map(path, self.files))) < len(self.files):
            self.files = [next(same) for _, same in groupby(self.files, path)]
        self.skipped = sorted(dict.fromkeys(self.skipped), key=lambda skip: skip.path or "")


@dataclass(frozen=True, slots=True)
class InnerRoot:
    """A root inside the searched one: photos there are named by its own path; None as `find` leaves the options."""

    path: str
    find: FindOptions | None


Identity = tuple[int, int]
"""A folder's device and inode."""

InnerRoots = Mapping[Identity, InnerRoot]


def find_photos(
    root: str,
    options: FindOptions | None = None,
    *,
    rules: Rules | None = None,
    inner: InnerRoots | None = None,
    known: Container[str] = frozenset(),
) -> Found:
    """Find the photos at or below `root`, an absolute path.

    Links to files are followed; links to folders only where asked for, and then each folder is entered once, so that a
    loop has an end. Nothing is raised for what cannot be read: it is listed in the result. `rules` are those of the
    folders above, in place of the patterns in `options`; `known` are the paths of stored photos.

    Raises:
        UsageError: a pattern of `options.exclude` cannot be understood.
    """
    options = options or FindOptions()
    found = Found()
    if file_system.is_folder(root):
        if rules is None:
            rules = Rules().for_root(root, options.exclude)
        _Search(found, inner or {}, known).run(_Folder(root, rules, options))
        found.unused = rules.unused
    else:
        find_named([root], options, found, known)
    found.sort()
    return found


def find_named(paths: Sequence[str], options: FindOptions, found: Found, known: Container[str]) -> None:
    """Add what is to be taken of files in one folder that were named one by one to `found`."""
    before = len(found.files)
    no_photos = [path for path in paths if not _consider(path, found)]
    _pair(found, before, options, known)
    stems = {os.path.splitext(path)[0] for path in paths if path not in no_photos}
    found.formats.update(_suffix(path) or "no suffix" for path in no_photos if not belongs_to_a_photo(path, stems))


def identity(folder: str) -> Identity | None:
    """Return what tells a folder from all others, by whatever name it is reached; None where nothing does."""
    try:
        if is_address(folder):
            return file_system.identity(folder)
        status = os.stat(folder)
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if status.st_ino else None  # some network file systems have no inodes


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder to enter, with the rules that hold for it but its own ignore file."""

    path: str
    rules: Rules
    options: FindOptions


class _Search:
    """A walk over folders that adds what it finds to `found`."""

    def __init__(self, found: Found, inner: InnerRoots, known: Container[str]) -> None:
        self._found = found
        self._inner = inner
        self._known = known
        self._waiting: list[_Folder] = []
        self._entered: set[Identity] = set()

    def run(self, start: _Folder) -> None:
        self._waiting = [start]
        while self._waiting:
            folder = self._waiting.pop()
            try:
                entered = self._enter(folder, is_start=folder is start)
                if entered is not None:
                    self._list(entered)
            except UsageError as error:  # a pattern of an inner root, which an older or another program stored
                self._unreadable(folder.path, f"is passed over, what is stored of it stays: {error}")
            except OSError as error:
                self._unreadable(folder.path, f"cannot be listed: {os_reason(error)}")

    def _enter(self, folder: _Folder, *, is_start: bool) -> _Folder | None:
        """Return the folder as it is to be listed; None where it was entered before."""
        if not (self._inner or folder.options.follow_symlinks):
            return folder
        here = identity(folder.path)
        if here is None:
            return folder
        if folder.options.follow_symlinks or here in self._inner:
            if here in self._entered:
                return None
            self._entered.add(here)
        root = self._inner.get(here)
        if root is None or is_start:
            return folder
        self._found.reached.add(root.path)
        # the patterns above count from another path where the root is known by another one
        rules = folder.rules if root.path == folder.path else Rules()
        options = root.find or folder.options
        if root.find is not None or rules is not folder.rules:
            rules = rules.for_root(root.path, options.exclude)
        return _Folder(root.path, rules, options)

    def _list(self, folder: _Folder) -> None:
        entries = file_system.scan(folder.path)
        rules, options, found = folder.rules, folder.options, self._found
        if any(entry.name == IGNORE_FILE for entry in entries):
            try:
                rules = rules.inside(folder.path, found.skipped)
            except DataError as error:  # what it excludes must not be taken
                self._unreadable(folder.path, f"is passed over, what is stored of it stays: {error}")
                return
        before = len(found.files)
        for entry in entries:
            name, is_folder = entry.name, _is_folder(entry)
            excluded = rules.decide(entry.path, is_folder=is_folder) if rules else None
            dotted = name.startswith(".")
            if excluded or (dotted and not options.hidden):
                continue
            if excluded is None and (is_folder or dotted) and is_rubbish(name):
                found.rubbish.update([name] if is_folder else [])
            elif not is_folder:
                _consider(entry.path, found, entry)
            elif options.follow_symlinks or not entry.is_symlink():
                self._waiting.append(_Folder(entry.path, rules, options))
        _pair(found, before, options, self._known)

    def _unreadable(self, folder: str, reason: str) -> None:
        self._found.unreadable.append(folder)
        self._found.skipped.append(Skipped(folder, reason))


def _is_folder(entry: os.DirEntry[str] | file_system.Entry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _suffix(path: str) -> str:
    return path[path.rfind(".") :].lower() if "." in path else ""


def _consider(path: str, found: Found, entry: os.DirEntry[str] | file_system.Entry | None = None) -> bool:
    """Add a file to the photos that were found or report why not; False where it is no photo at all.

    `entry` is what a listing said of it. Of objects only those count that are named like photos: to look into the
    others would be a request for each at every run.
    """
    suffix = _suffix(path)
    announced = suffix in PHOTO_SUFFIXES or suffix in RAW_SUFFIXES
    try:
        status = entry.status if isinstance(entry, file_system.Entry) else file_system.status_of(path)
        if not stat.S_ISREG(status.st_mode):
            if announced:
                found.skipped.append(Skipped(path, "is not a regular file"))
            return announced
        if not (announced or (not is_address(path) and _starts_like_a_photo(path))):
            unread = suffix in UNREAD_SUFFIXES
            found.formats.update([suffix] if unread else [])
            return unread
    except OSError as error:
        found.unreadable.append(path)
        if announced:
            found.skipped.append(Skipped(path, os_reason(error)))
        return True
    if status.st_size > MAX_FILE_BYTES:
        found.skipped.append(Skipped(path, too_large()))
        return True
    found.files.append(PhotoFile(path, status.st_size, status.st_mtime_ns, None, status.st_ino, status.st_ctime_ns))
    if suffix in RAW_SUFFIXES:
        found.raw_paths.append(path)
    return True


def _pair(found: Found, before: int, options: FindOptions, known: Container[str]) -> None:
    """Of the files found since `before`, all in one folder, leave out RAW files that need no place of their own."""
    raw = set(found.raw_paths)
    found.raw_paths.clear()
    if not raw:
        return
    files = found.files[before:]
    paired = set() if options.keep_raw else paired_raw(files, raw, known)
    unread = {path for path in raw - paired if _needs_the_extra(path)}
    found.paired += len(paired)
    found.raw += len(unread)
    found.unreadable += sorted(unread)  # what was stored while the extra was there stays
    found.files[before:] = [file for file in files if file.image_id not in paired | unread]


def _needs_the_extra(path: str) -> bool:
    """Whether a file named like camera RAW is one, and nothing here can develop it."""
    if importlib.util.find_spec("rawpy") is not None:
        return False
    try:
        return is_address(path) or not _head(path).startswith((b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8"))
    except OSError:
        return False


def _head(path: str) -> bytes:
    with open_regular(path) as file:
        return file.read(_SNIFFED_BYTES)


def _starts_like_a_photo(path: str) -> bool:
    head = _head(path)
    if head.startswith(_MAGIC + _MAGIC_JPEG_2000) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return True
    if head[4:8] == b"ftyp":
        return head[8:12] in _HEIF_BRANDS
    if head[:2] == b"BM" and len(head) == _SNIFFED_BYTES:
        # "BM" alone would also match texts that begin with "BMW": the size of the second header settles it
        return struct.unpack_from("<I", head, 14)[0] in _BMP_HEADER_SIZES
    return False

"""Files and folders as a run over photos sees them: on the disk, or in object storage at an address (s3://bucket/photos).

Everything in `photos/` that lists, looks at or reads a place does it here. What lies on the disk goes to the operating
system as it is. An address goes to fsspec, which opens buckets of S3, Google and Azure, SFTP and more; its drivers are
the extra `remote`, and neither fsspec nor a driver is imported before the first address is met. Credentials come from
where the driver looks for them (environment, configuration files), never from the address.

A store can name any address, and whoever asks it would call that host with this user's credentials. So an address is
opened only in buckets and on hosts that this user has named, or indexed from: see `allow`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO

from index_store.errors import MissingExtraError, UsageError, first_line
from index_store.paths import is_address, without_access
from index_store.scratch import scratch_folder
from index_store.user_text import open_regular as open_on_disk

if TYPE_CHECKING:
    from fsspec.spec import AbstractFileSystem

    from index_store.records import IndexedRoot

ROOT = re.compile(r"[a-z][a-z0-9+.-]*://[^/]+", re.IGNORECASE)
"""The part of an address that is no folder: the protocol and the bucket or host."""

_REFUSED = frozenset({"file", "local", "http", "https", "data", "reference"})
"""What is a path on this machine, no folder that can be listed, or a document that names files elsewhere."""

_TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")
_VERSIONS = ("ETag", "etag", "VersionId", "version_id", "md5Hash", "content_md5", "generation")
_MOST_COPIED = (1 << 30) + 1
_CHUNK = 1 << 20
_LONGEST_ADDRESS = 4096
_LARGEST = (1 << 63) - 1
"""What databases keep of sizes and times."""

_ALLOWED: set[str] = set()


class ForeignAddressError(PermissionError):
    """An address is not opened, since this user has neither named nor indexed it."""


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of an object or folder at an address without reading it; times in nanoseconds.

    `ctime_ns` is a number made of what names the object's version (its ETag): it changes with the content. 0 where the
    storage has no such thing.
    """

    is_folder: bool
    st_size: int = 0
    st_mtime_ns: int = 0
    st_ctime_ns: int = 0
    st_ino: int = 0

    @property
    def st_mode(self) -> int:
        """The kind of file, as `os.stat` has it."""
        return stat.S_IFDIR if self.is_folder else stat.S_IFREG


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a listed folder at an address: the part of `os.DirEntry` that is used."""

    name: str
    path: str
    status: Status

    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return self.status.is_folder

    def is_symlink(self) -> bool:
        """No object is a link."""
        return False


def allow(roots: Iterable[str]) -> None:
    """Let this process open what lies in the buckets of these addresses; paths on the disk are passed over."""
    _ALLOWED.update(root.group() for root in map(ROOT.match, roots) if root is not None)


def allow_own(roots: Iterable[IndexedRoot]) -> None:
    """Let this process open what this user indexed before."""
    allow(root.path for root in roots if root.trusted)


def absolute(path: str) -> str:
    """Return a path that the user has named as an absolute one, or an address, which is allowed, in its one form.

    Raises:
        UsageError: the address holds a password or a question, or is of a kind that is not read.
    """
    if not is_address(path):
        return os.path.abspath(path)
    protocol = path.partition("://")[0].lower()
    host = path.partition("://")[2].partition("/")[0]
    if protocol in _REFUSED:
        raise UsageError(f"{without_access(path)}: photos are not read from such an address; name a folder or a bucket")
    if ":" in host.rpartition("@")[0]:
        raise UsageError(
            f"{without_access(path)}: holds a password, which would be kept in the store; give it by the environment"
        )
    if not host or "\0" in path:
        raise UsageError(f"{path}: names no bucket; write {protocol}://BUCKET/FOLDER")
    parts = [part for part in path.partition("://")[2].split("/") if part]
    if ".." in parts or "." in parts:
        raise UsageError(f"{path}: has . or .. in it, which storage takes for a name; write the address without")
    address = f"{protocol}://{'/'.join(parts)}"
    allow([address])
    return address


def scan(folder: str) -> Sequence[os.DirEntry[str] | Entry]:
    """Return the entries of a folder.

    Raises:
        OSError: it cannot be listed.
    """
    if not is_address(folder):
        with os.scandir(folder) as entries:
            return list(entries)
    with _translated():
        listed = _file_system(folder).ls(_key(folder), detail=True)
    entries_there = {}
    for facts in listed:
        key = str(facts.get("name", ""))
        name = key.rstrip("/").rpartition("/")[2]
        path = f"{folder.rstrip('/')}/{name}"
        # an empty object named like the folder marks it; a key with an empty part has no place in a tree, and a folder
        # in a folder in a folder without end is an endless listing
        usable = name not in {"", ".", ".."} and "\0" not in name and len(path) <= _LONGEST_ADDRESS
        if usable and key.strip("/") != _key(folder).strip("/"):
            entries_there[name] = Entry(name, path, _status(facts))
    return list(entries_there.values())


def status_of(path: str) -> os.stat_result | Status:
    """Return what the system says of a file or folder, links followed.

    Raises:
        OSError: it is not there, or nobody may look.
    """
    if not is_address(path):
        return os.stat(path)
    if ROOT.fullmatch(path):
        scan(path)  # a bucket has no facts of its own
        return Status(is_folder=True)
    with _translated():
        return _status(_file_system(path).info(_key(path)))


def is_there(path: str, *, follow_links: bool = True) -> bool:
    """Return whether a file or folder is there; without `follow_links`, a broken link is there.

    Raises:
        OSError: nobody may look.
    """
    try:
        os.stat(path, follow_symlinks=follow_links) if not is_address(path) else status_of(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def is_folder(path: str) -> bool:
    """Return whether a folder is there and can be looked at."""
    if not is_address(path):
        return os.path.isdir(path)
    try:
        return stat.S_ISDIR(status_of(path).st_mode)
    except OSError:
        return False


def exists(path: str, *, follow_links: bool = True) -> bool:
    """Return whether anything is there, as far as anybody may look."""
    if not is_address(path):
        return os.path.exists(path) if follow_links else os.path.lexists(path)
    try:
        return is_there(path)
    except OSError:
        return False


def identity(address: str) -> tuple[int, int]:
    """Return what tells a folder at an address from all others; no device of this machine has the number -1."""
    return -1, _number_of(address)


def real(path: str) -> str:
    """Return a path without links; an address has none."""
    return path if is_address(path) else os.path.realpath(path)


@contextmanager
def on_disk(path: str, most_bytes: int = _MOST_COPIED) -> Iterator[str]:
    """Give the path of a file that this machine can open: the file itself, or a copy of the object for its owner alone.

    Raises:
        OSError: the object cannot be read, or is larger than `most_bytes`.
    """
    if not is_address(path):
        yield path
        return
    with scratch_folder() as folder:
        suffix = os.path.splitext(path.rpartition("/")[2])[1]
        copy = os.path.join(folder, f"photo{suffix if suffix[1:].isalnum() else ''}")
        with open(copy, "xb") as target, _translated():
            _copy(path, target, most_bytes)
        yield copy


def open_regular(path: str) -> BinaryIO:
    """Open a regular file to read; an object is copied first.

    Raises:
        OSError: it cannot be read or is no regular file.
    """
    if not is_address(path):
        return open_on_disk(path)
    file = tempfile.TemporaryFile()  # noqa: SIM115  (the caller closes it)
    try:
        with _translated():
            _copy(path, file, _MOST_COPIED)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def _copy(path: str, target: Any, most_bytes: int) -> None:
    """Read an object once, from its beginning to its end, in pieces."""
    with _file_system(path).open(_key(path), "rb", block_size=8 * _CHUNK, cache_type="readahead") as source:
        left = most_bytes
        while piece := source.read(_CHUNK):
            left -= len(piece)
            if left < 0:
                raise OSError(None, f"is larger than {most_bytes:,} bytes")
            target.write(piece)
    target.flush()


def _status(facts: Mapping[str, Any]) -> Status:
    if facts.get("type") == "directory":
        return Status(is_folder=True)
    moment = next((facts[key] for key in _TIMES if facts.get(key)), None)
    version = next((str(facts[key]) for key in _VERSIONS if facts.get(key)), "")
    return Status(False, _bytes(facts.get("size")), _nanoseconds(moment), _number_of(version))


def _bytes(size: Any) -> int:
    try:
        return min(max(int(size or 0), 0), _LARGEST)
    except (ValueError, TypeError, OverflowError):
        return 0


def _nanoseconds(moment: Any) -> int:
    try:
        if isinstance(moment, str):
            moment = datetime.fromisoformat(moment)
        seconds = moment.timestamp() if isinstance(moment, datetime) else float(moment)
        return min(max(round(seconds * 1e6) * 1000, -_LARGEST), _LARGEST)
    except (ValueError, TypeError, OverflowError):
        return 0


def _number_of(version: str) -> int:
    """Return a number from 1 to 2 ** 56 for a text, 0 for none: Chroma keeps whole numbers of 64 bits."""
    return int.from_bytes(hashlib.blake2b(version.encode(), digest_size=7).digest()) + 1 if version else 0


def _key(address: str) -> str:
    """Return an address as its file system names it."""
    return str(_file_system(address)._strip_protocol(address))


def _file_system(address: str) -> AbstractFileSystem:
    root = ROOT.match(address)
    if root is None or root.group() not in _ALLOWED:
        raise ForeignAddressError(errno.EACCES, "is not read, since you have indexed nothing from there")
    return _opened(root.group())


@lru_cache(maxsize=64)
def _opened(root: str) -> AbstractFileSystem:
    """Open the driver for a bucket or host once."""
    protocol = root.partition("://")[0]
    try:
        import fsspec

        file_system: AbstractFileSystem = fsspec.core.url_to_fs(root, use_listings_cache=False)[0]
    except ImportError as error:
        raise MissingExtraError(
            f"{root}: the driver of {protocol}:// is not installed ({first_line(error)}); for S3: "
            "pip install 'imgsearch-cli[remote]'"
        ) from error
    except ValueError as error:
        raise UsageError(f"{root}: no such storage is known; name a folder, or s3://, gs:// or az://") from error
    return file_system


@contextmanager
def _translated() -> Iterator[None]:
    """Turn whatever a driver raises into an OSError without credentials in it."""
    try:
        yield
    except (MissingExtraError, UsageError, ForeignAddressError):
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(errno.ENOENT, "no such file or folder") from error
    except PermissionError as error:
        raise PermissionError(errno.EACCES, without_access(f"access is refused: {first_line(error)}")) from error
    except Exception as error:
        reason = without_access(first_line(error))
        raise OSError(None, reason if isinstance(error, OSError) else f"the storage failed: {reason}") from error

"""Default places in the user's data and cache directories, and how messages show a place."""

from __future__ import annotations

import os
import re
from pathlib import Path

import platformdirs

from index_store.errors import StoreError

NO_HOME = os.path.join(os.sep, "nonexistent")
"""The home of a user who has none, as Debian calls it; libraries ask for one when they are imported, and fail."""

_ACCESS = re.compile(r"^([a-z][a-z0-9+.-]*:/*).*@", re.IGNORECASE | re.DOTALL)
_ACCESS_IN_TEXT = re.compile(r"(?<=://)[^\s/?#]*@")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_QUESTION = re.compile(r"[?#].*", re.DOTALL)


def default_store() -> str:
    """Return the store that is used where none is named: `IMGSEARCH_STORE`, else one in the user's data directory.

    Raises:
        StoreError: this user has no home folder.
    """
    named = os.environ.get("IMGSEARCH_STORE")
    if named:
        return expanded(named)
    folder = platformdirs.user_data_dir("imgsearch", appauthor=False)
    if not os.path.isabs(folder) or _lies_in_no_home(folder):
        raise StoreError("this user has no home folder; name a store with --store or IMGSEARCH_STORE")
    return os.path.join(folder, "store")


def named_store(store: str | os.PathLike[str] | None) -> str:
    """Return the store that a caller named, `~` being the home folder, or the default one."""
    name = os.fspath(store) if store is not None else ""
    return expanded(name) if name else default_store()


def expanded(place: str) -> str:
    """Return a path in which a leading `~` is replaced by the home folder; the address of a server stays as it is."""
    return place if is_address(place) else os.path.expanduser(place)


def is_url(store: str) -> bool:
    """Return whether a store is a Chroma server, and not a folder."""
    return store.startswith(("http://", "https://"))


def is_address(path: str) -> bool:
    """Return whether a photo or a folder of photos lies in object storage, as s3://bucket/photos does."""
    return _ADDRESS.match(path) is not None


def shown_place(place: str) -> str:
    """Return a store's place as messages may show it: an address without user, password and what follows its path."""
    if not re.match(r"[a-z][a-z0-9+.-]*:/", place, re.IGNORECASE):
        return place
    return _QUESTION.sub("", _ACCESS.sub(r"\1***@", place))


def without_access(text: str) -> str:
    """Return a message without the users and passwords of the addresses in it, which other libraries quote."""
    return _ACCESS_IN_TEXT.sub("***@", text)


def is_there(path: str, *, follow_links: bool = True) -> bool:
    """Return whether a file or folder is there; `os.path.exists` also says no where it may not look.

    Without `follow_links`, a broken link is there.

    Raises:
        PermissionError, OSError: a folder above may not be entered, or the system failed; the path is in `filename`.
    """
    try:
        os.stat(path, follow_symlinks=follow_links)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def cache_folder() -> Path:
    """Return the folder for files that can be made again; where the user has no home, it cannot be created."""
    return Path(os.path.abspath(platformdirs.user_cache_dir("imgsearch", appauthor=False)))


def prepare_home() -> None:
    """Give a process without a home folder (no HOME, no entry among the users) a home that does not exist.

    An empty HOME counts as none: `~` would be the root folder of the machine.
    """
    if not os.environ.get("HOME"):
        os.environ.pop("HOME", None)
        if not os.path.isabs(os.path.expanduser("~")):
            os.environ["HOME"] = NO_HOME


def _lies_in_no_home(folder: str) -> bool:
    return os.path.commonpath([folder, NO_HOME]) == NO_HOME


def lies_below(image_id: str, folder: str) -> bool:
    """Return whether a path is `folder` itself or lies inside it; both absolute."""
    return image_id == folder or image_id.startswith(folder.rstrip(os.sep) + os.sep)

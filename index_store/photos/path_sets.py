"""Sets of absolute paths that know which folders hold which paths; nothing here looks at the disk."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterable


class Paths:
    """A set of folders and files that also holds all that lies below them."""

    def __init__(self, paths: Iterable[str]) -> None:
        """Take absolute paths."""
        self._paths = {path.rstrip(os.sep) for path in paths}

    def hold(self, path: str) -> bool:
        """Return whether an absolute path is one of these or lies below one."""
        return self.nearest(path) is not None

    def nearest(self, path: str) -> str | None:
        """Return the innermost of these, without a slash at its end, that is a path or lies above it."""
        if not self._paths:
            return None
        path = path.rstrip(os.sep)
        while path not in self._paths:
            if not path:
                return None
            path = path[: path.rindex(os.sep)] if os.sep in path else ""
        return path


class SortedPaths:
    """Sorted paths: those below a folder are found by bisection."""

    def __init__(self, paths: Iterable[str]) -> None:
        """Take absolute paths in any order."""
        self.paths = sorted(paths)

    def below(self, folder: str) -> list[str]:
        """Return the paths that are `folder` or lie below it."""
        start, end = self._span(folder)
        own = bisect_left(self.paths, folder)
        itself = [folder] if own < len(self.paths) and self.paths[own] == folder else []
        return itself + self.paths[start:end]

    def count(self, folder: str) -> int:
        """Return how many paths are `folder` or lie below it."""
        start, end = self._span(folder)
        own = bisect_left(self.paths, folder)
        return end - start + (own < len(self.paths) and self.paths[own] == folder)

    def _span(self, folder: str) -> tuple[int, int]:
        stem = folder.rstrip(os.sep)
        after = chr(ord(os.sep) + 1)
        return bisect_left(self.paths, stem + os.sep), bisect_left(self.paths, stem + after)

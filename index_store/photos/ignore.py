"""Decide which files and folders a search passes over: patterns in gitignore's syntax, and what systems leave behind.

The only importer of pathspec, which parses the patterns. They are matched in time that grows with the length of a path
and not with the ways to split it: pathspec's own expressions need hours for `*a*a*a*a*a*a` and a long name.
"""

from __future__ import annotations

import os
import re
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from index_store.errors import UsageError
from index_store.photos import file_system
from index_store.records import Skipped
from index_store.user_text import read_user_text

IGNORE_FILE = ".imgsearchignore"
"""A file of patterns in gitignore's syntax; it holds for its folder and those below."""

MOST_IGNORE_BYTES = 64 << 10
MOST_PATTERNS = 1000
"""Patterns that hold in one folder; each costs a microsecond for each file."""

MOST_LETTERS = 1000
"""The length of one pattern."""

_MOST_ALTERNATIVES = 100
_RUBBISH = frozenset(
    (
        *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", ".@__thumb"),  # Synology, QNAP
        *("$recycle.bin", "recycler", "system volume information", "found.000"),  # Windows
        *(".trash", ".trashes", ".spotlight-v100", ".fseventsd", ".temporaryitems", ".appledouble", "__macosx"),
        *(".documentrevisions-v100", "lost+found", ".thumbnails", ".thumbs", ".dtrash", ".stversions"),
    )
)
_RUBBISH_BEGINNINGS = (".trash-", ".trashed-", "._")
"""Trash of one user, photos in Android's trash, and what macOS keeps next to a file on foreign disks."""


def is_rubbish(name: str) -> bool:
    """Return whether a NAS or a desktop keeps trash, thumbnails or its own notes under this name."""
    lower = name.lower()
    return lower in _RUBBISH or lower.startswith(_RUBBISH_BEGINNINGS)


@dataclass(frozen=True, slots=True)
class _Patterns:
    """Parsed patterns that hold below `folder`; `unused` are those of the command line that matched nothing so far."""

    folder: str
    spec: GitIgnoreSpec
    unused: dict[str, list[GitIgnoreSpecPattern]] = field(default_factory=dict)

    def decide(self, path: str, *, is_folder: bool) -> bool | None:
        relative = _composed(path[len(self.folder.rstrip(os.sep)) + 1 :]) + ("/" if is_folder else "")
        decision = self.spec.check_file(relative).include
        if decision is not None and self.unused:
            for text in [text for text, parts in self.unused.items() if any(p.match_file(relative) for p in parts)]:
                del self.unused[text]
        return decision


def _composed(text: str) -> str:
    """Return a name as it is typed: names that come from a Mac have an accent as a letter of its own."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


class Rules:
    """The patterns that hold in a folder, the nearest first; the first that has an opinion decides, as in git."""

    def __init__(self, of_files: tuple[_Patterns, ...] = (), named: _Patterns | None = None) -> None:
        self._of_files = of_files
        self._named = named

    def __bool__(self) -> bool:
        """Return whether there is any pattern."""
        return bool(self._of_files or self._named)

    def for_root(self, root: str, patterns: Sequence[str]) -> Rules:
        """Return the rules at a root: the ignore files above it hold, patterns of the command line are its own.

        Raises:
            UsageError: a pattern cannot be understood.
        """
        return Rules(self._of_files, _of_command_line(root, patterns) if patterns else None)

    def inside(self, folder: str, problems: list[Skipped]) -> Rules:
        """Return the rules in a folder with an ignore file; patterns that cannot be used are listed and passed over.

        Raises:
            DataError: the ignore file cannot be read.
        """
        path = os.path.join(folder, IGNORE_FILE)
        # names on the disk need not be UTF-8
        with file_system.on_disk(path, MOST_IGNORE_BYTES) as file:
            text = read_user_text(file, most_bytes=MOST_IGNORE_BYTES, errors="surrogateescape")
        parsed: list[GitIgnoreSpecPattern] = []
        room = MOST_PATTERNS - sum(len(patterns.spec) for patterns in self._of_files)
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip() or line.startswith("#"):
                continue
            if len(parsed) >= room:
                reason = f"line {number} and those below are passed over: more than {MOST_PATTERNS} patterns hold here"
                problems.append(Skipped(path, reason))
                break
            try:
                parsed.append(_parse(line))
            except ValueError as error:
                problems.append(Skipped(path, f"line {number} is passed over: {error}"))
        return Rules((_Patterns(folder, _spec(parsed)), *self._of_files), self._named)

    def decide(self, path: str, *, is_folder: bool) -> bool | None:
        """Return whether a path is excluded, or None where no pattern matches it."""
        for patterns in self._of_files:
            decision = patterns.decide(path, is_folder=is_folder)
            if decision is not None:
                return decision
        return self._named.decide(path, is_folder=is_folder) if self._named else None

    @property
    def unused(self) -> tuple[str, ...]:
        """The patterns of the command line that have matched nothing so far."""
        return tuple(self._named.unused) if self._named else ()


def _of_command_line(root: str, patterns: Sequence[str]) -> _Patterns:
    parsed: dict[str, list[GitIgnoreSpecPattern]] = {}
    for text in patterns:
        try:
            parsed[text] = [_parse(line) for line in _below_root(text, root)]
        except ValueError as error:
            raise UsageError(f"--exclude: a pattern {error}: {text!r}; nothing was indexed") from error
    return _Patterns(root, _spec(parsed[text] for text in patterns), dict(parsed))


def _spec(patterns: Iterable[GitIgnoreSpecPattern] | Iterable[list[GitIgnoreSpecPattern]]) -> GitIgnoreSpec:
    flat = [each for entry in patterns for each in (entry if isinstance(entry, list) else [entry])]
    return GitIgnoreSpec(flat, backend="simple")  # the others know no atomic groups


def _below_root(text: str, root: str) -> list[str]:
    """Return a pattern as it is typed in lines of an ignore file of `root`: never a comment, paths as shells have them.

    Raises:
        ValueError: it lies outside the root, or stands for too many patterns.
    """
    taken_in, body = ("!", text[1:]) if text.startswith("!") else ("", text)
    body = re.sub("/{2,}", "/", os.path.expanduser(body) if body.startswith("~/") else body)
    for start in {root.rstrip(os.sep) + os.sep, file_system.real(root).rstrip(os.sep) + os.sep}:
        if start != os.sep and body.startswith(start):
            body = "/" + body[len(start) :]
    while body.startswith("./"):
        body = "/" + body[2:].lstrip("/")
        body = body[1:] if body.startswith("/./") else body
    if ".." in body.split("/"):
        raise ValueError("lies outside the folder that is indexed")
    if body.startswith("#"):
        body = "\\" + body
    if body.endswith(" ") and not body.endswith("\\ "):
        body = body[:-1] + "\\ "
    return [taken_in + each for each in _alternatives(body)]


def _alternatives(pattern: str) -> list[str]:
    """Return what a pattern with braces stands for: `*.{png,gif}` for two; braces without a comma stay as they are."""
    waiting, done = [pattern], list[str]()
    while waiting:
        if len(waiting) + len(done) > _MOST_ALTERNATIVES:
            raise ValueError(f"stands for more than {_MOST_ALTERNATIVES} patterns")
        text = waiting.pop(0)
        # the innermost braces with a comma, none of them behind a backslash
        braces = re.search(r"(?<!\\)\{([^{}]*,[^{}]*)(?<!\\)\}", text)
        if braces is None:
            done.append(text)
        else:
            waiting += [text[: braces.start()] + part + text[braces.end() :] for part in braces[1].split(",")]
    return list(dict.fromkeys(done))


def _parse(line: str) -> GitIgnoreSpecPattern:
    """Return one pattern of an ignore file, ready to match.

    Raises:
        ValueError: it is not in gitignore's syntax, or too long.
    """
    if len(line) > MOST_LETTERS:
        raise ValueError(f"is longer than {MOST_LETTERS} letters")
    unknown = ValueError("is not in gitignore's syntax")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of re, about brackets in brackets
            expression, excludes = GitIgnoreSpecPattern.pattern_to_regex(_composed(line))
            if expression is None:
                raise unknown
            compiled = re.compile(linear(expression), re.DOTALL)
    except (ValueError, re.error, RecursionError, OverflowError) as error:
        raise unknown from error
    return GitIgnoreSpecPattern(compiled, excludes)


_TOKENS = re.compile(
    r"""(?P<lead>\^\(\?:\.\+/\)\?) | (?P<begin>\^) | (?P<gap>\(\?:/\.\+\)\?)
    | (?P<end>\(\?:\(\?P<ps_d>/\)\|\$\)) | (?P<mark>\(\?P<ps_d>/\))
    | (?P<star>\[\^/\]\*) | (?P<whole>\[\^/\]\+) | (?P<slash>/)
    | (?P<set>\[\^?\]?[^\]]*\]) | (?P<letter>\\.|[^\\\[\](){}|^$.*+?])""",
    re.VERBOSE | re.DOTALL,
)
"""What pathspec's expressions are made of."""

_WHOLE = frozenset({".", "/", "(?P<ps_d>/)"})
"""Its expressions for `*`, `*/` and `**/`."""


def linear(expression: str) -> str:
    """Return an expression that matches what pathspec's `expression` does, and never goes back behind a literal part.

    Where `*` is followed by some letters and another `*`, the first place where the letters fit leaves the most to the
    rest, so that no other need be tried: the part becomes an atomic group. The same holds for folders between two `**`.

    Raises:
        ValueError: the expression is built in another way than those of pathspec 1.
    """
    if expression in _WHOLE:
        return expression
    blocks: list[list[tuple[str, str]]] = [[]]
    begin, at = "", 0
    while at < len(expression):
        token = _TOKENS.match(expression, at)
        if token is None or token.lastgroup is None:
            raise ValueError(f"{expression}: is not understood from position {at} on")
        at = token.end()
        if token.lastgroup in {"lead", "begin"}:
            begin = token.lastgroup
        elif token.lastgroup == "gap":
            blocks.append([])
        else:
            blocks[-1].append((token.lastgroup, token[0]))
    return _joined(begin, [_without_backtracking(block) for block in blocks])


def _joined(begin: str, blocks: Sequence[str]) -> str:
    """Join blocks of folders, between which any folders may stand."""
    *earlier, last = blocks
    joined = "^"
    for number, block in enumerate(earlier):
        any_folders = "(?:/.+?)??" if number else "(?:.+?/)??" if begin == "lead" else ""
        joined += f"(?>{any_folders}{block}(?=/))"
    return joined + ("(?:/.+)?" if earlier else "(?:.+/)?" if begin == "lead" else "") + last


def _without_backtracking(tokens: Sequence[tuple[str, str]]) -> str:
    text, part, stars = "", "", 0
    for kind, token in (*tokens, ("stop", "")):
        if kind == "star" or kind in {"slash", "end", "mark", "stop"}:
            anchored = kind != "star"
            if not stars:
                text += part
            else:
                text += f"[^/]*{part}" if anchored else f"(?>[^/]*?{part})"
            stars, part = (0, "") if anchored else (stars + 1, "")
            text += {"slash": "/", "end": r"(?:(?P<ps_d>/)|\Z)", "mark": token}.get(kind, "")
        else:
            part += f"(?!/){token}" if kind == "set" else token
    return text

"""What a query shows: a rich table for people, jsonl, tsv and paths for scripts."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from imgsearch_cli import exits
from imgsearch_cli.escaping import printable, relative
from imgsearch_cli.output import can_show, stdout_console, write_fields, write_json, write_line, write_path
from imgsearch_cli.path_cell import PathCell
from imgsearch_cli.streams import say
from index_store.records import Answer

if TYPE_CHECKING:
    from index_store.queries.batch import BatchError
    from index_store.records import Match

_BAR_CELLS = 8
_BLOCKS = " ▏▎▍▌▋▊▉█"
_PLAIN_BLOCK = "#"


def show_answer(answer: Answer, output_format: str, *, null: bool, quiet: bool, days: bool) -> int:
    """Write an answer, or say why there is none, and return the exit code; for the other arguments see `render_answer`.

    `null` closes each path by a NUL. `quiet` says nothing for people but the notice.
    """
    code = exits.of_answer(answer)
    if code == exits.NOTHING_FOUND:
        terminal = output_format == "table" and sys.stdout.isatty() and answer.nearest
        if not quiet:
            advice = "; --min-score 0 shows the nearest" if answer.nearest else ""
            say(f"nothing found: {answer.reason}" + ("; the nearest are probably not it:" if terminal else advice))
        if terminal:
            nearest = replace(answer, matches=answer.nearest)
            stdout_console().print(answer_table(nearest, days=days), style="dim")
        return code
    render_answer(answer, output_format, end=b"\0" if null else b"\n", days=days)
    if output_format == "paths" and code == exits.FOUND and not any(map(_has_path, answer.matches)):
        return exits.NOTHING_FOUND
    return code


def render_answer(answer: Answer, output_format: str, *, end: bytes = b"\n", days: bool = False) -> None:
    """Write an answer in one of the formats `table`, `jsonl`, `tsv` and `paths`; `end` closes each path of `paths`.

    With `days` the table has a column for the day.
    """
    if output_format == "jsonl":
        _write_answer_jsonl(answer)
    elif output_format == "table" and answer.refused:
        write_line(answer.notice or "")
    elif output_format == "table":
        stdout_console().print(answer_table(answer, days=days))
    else:
        _write_shown(answer, output_format, end)


def answer_table(answer: Answer, *, days: bool = False) -> Table:
    """Return the table of an answer: rank, score with a small bar, photo, perhaps its day, size in pixels.

    Withheld neighbours share a row: their number and the notice.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("rank", justify="right", style="dim", no_wrap=True)
    table.add_column("score" if answer.calibrated else "similarity", no_wrap=True)
    table.add_column("photo", overflow="fold", ratio=1)
    if days:
        table.add_column("day", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True, style="dim")
    times = "×" if can_show("×") else "x"
    for match, count in _rows(answer):
        if match.withheld:
            ranks = str(match.rank) if count == 1 else f"{match.rank}-{match.rank + count - 1}"
            number = "1 photo" if count == 1 else f"{count} photos"
            table.add_row(ranks, number, Text(printable(answer.notice or ""), style="italic"))
            continue
        size = "" if match.width is None else f"{match.width} {times} {match.height}"
        day = [f"{match.day}{' (file)' if match.dated_by_file else ''}"] if days else []
        table.add_row(str(match.rank), _score_cell(match.score), _photo_cell(match), *day, size)
    return table


def _photo_cell(match: Match) -> PathCell:
    """Return the path of a photo, with what there is to say of its files."""
    behind = Text()
    if match.missing:
        behind.append(" (no longer there)", style="red")
    if match.copies:
        copies = f"{len(match.copies)} {'copy' if len(match.copies) == 1 else 'copies'}"
        behind.append(f" and {copies}", style="dim")
    return PathCell(printable(shown_path(match)), match.image_id or "", behind)


def _rows(answer: Answer) -> Iterator[tuple[Match, int]]:
    """Yield each shown match with 1, and of withheld neighbours the first with their number."""
    for withheld, neighbours in groupby(answer.matches, key=lambda match: match.withheld):
        matches = list(neighbours)
        yield from [(matches[0], len(matches))] if withheld else [(match, 1) for match in matches]


def _score_cell(score: float) -> Text:
    eighths = round(min(max(score, 0.0), 1.0) * _BAR_CELLS * 8)
    full, rest = divmod(eighths, 8)
    bar = _BLOCKS[8] * full + (_BLOCKS[rest] if rest else "")
    if not can_show(_BLOCKS):
        bar = _PLAIN_BLOCK * round(eighths / 8)
    style = "green" if score >= 0.6 else "yellow" if score >= 0.3 else "red"
    return Text.assemble(f"{score:.2f} ", (bar.ljust(_BAR_CELLS), style))


def render_batch(answers: Iterable[Answer | BatchError]) -> int:
    """Write a JSON line for each answer as it comes, and return the exit code.

    That is 2 where a line is bad, else 0 where anything is shown, else 3 where each answer is the notice, else 1.
    """
    codes: set[int] = set()
    for answer in answers:
        if not isinstance(answer, Answer):
            write_json({"line": answer.line, "error": answer.error})
            codes.add(exits.ERROR)
            continue
        row: dict[str, object] = {"query": answer.query, "withheld": answer.refused}
        row |= {"notice": answer.notice} if answer.refused else {"matches": list(match_rows(answer))}
        write_json(row)
        codes.add(exits.of_answer(answer))
    return exits.of_batch(codes)


def _write_answer_jsonl(answer: Answer) -> None:
    if answer.refused:
        write_json({"query": answer.query, "withheld": True, "notice": answer.notice})
    for row in match_rows(answer):
        write_json(row)


def match_rows(answer: Answer) -> Iterator[dict[str, object]]:
    """Yield what JSON has of each match; withheld neighbours are one object."""
    for match, count in _rows(answer):
        if match.withheld:
            yield {"withheld": True, "count": count, "rank": match.rank, "notice": answer.notice}
            continue
        row: dict[str, object] = {"rank": match.rank, "score": round(match.score, 6)}
        row["similarity"] = round(match.similarity, 6)
        row |= {} if answer.calibrated is True else {"calibrated": answer.calibrated}
        row |= {"withheld": False, "path": shown_path(match), "image_id": match.image_id}
        row |= {"width": match.width, "height": match.height}
        if match.day is not None:
            row |= {"day": match.day.isoformat(), "day_from": "file" if match.dated_by_file else "camera"}
        row |= {"camera": match.camera} if match.camera else {}
        row |= {"copies": [relative(path) for path in match.copies]} if match.copies else {}
        yield row | ({"missing": True} if match.missing else {})


def _write_shown(answer: Answer, output_format: str, end: bytes) -> None:
    """Write what is shown; nothing withheld reaches standard output, so the notice goes where people read.

    Paths are for programs that open them: those at which there is no file any more are left out.
    """
    for match in answer.matches:
        if match.withheld or (output_format == "paths" and not _has_path(match)):
            continue
        path = shown_path(match)
        if output_format == "paths":
            write_path(path, end)
        else:
            size = str(match.width or 0), str(match.height or 0)
            write_fields(str(match.rank), f"{match.score:.6f}", path, *size)
    if answer.notice:
        say(answer.notice)


def _has_path(match: Match) -> bool:
    return not match.withheld and not match.missing


def shown_path(match: Match) -> str:
    """Return the path of a match, relative to the working directory where it lies below it."""
    return relative(match.image_id or "")

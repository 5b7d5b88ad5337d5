"""What a query shows: a rich table for people, jsonl, tsv and paths for scripts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click
from rich import box
from rich.table import Table
from rich.text import Text

from imgsearch_cli import exits
from imgsearch_cli.writing import one_field, printable, relative, stdout_console, write_json
from index_store.records import Answer

if TYPE_CHECKING:
    from index_store.batching import BatchError
    from index_store.records import Match

_BAR_CELLS = 8
_BLOCKS = " ▏▎▍▌▋▊▉█"


def render_answer(answer: Answer, output_format: str, *, end: bytes = b"\n") -> None:
    """Write an answer in one of the formats `table`, `jsonl`, `tsv` and `paths`; `end` closes each path of `paths`."""
    if output_format == "jsonl":
        _write_answer_jsonl(answer)
        return
    if output_format == "table":
        stdout_console().print(answer.notice if answer.refused else answer_table(answer))
        return
    # nothing that is withheld reaches standard output here, so the notice goes where people read
    if answer.notice:
        click.echo(answer.notice, err=True)
    for match in answer.matches:
        if match.image_id is not None:
            click.echo(_path_line(match, output_format), nl=False)
            click.echo(end if output_format == "paths" else b"\n", nl=False)


def answer_table(answer: Answer) -> Table:
    """Return the table of an answer: rank, score with a small bar, photo, size in pixels."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("rank", justify="right", style="dim")
    table.add_column("score" if answer.calibrated else "similarity", no_wrap=True)
    table.add_column("photo", overflow="fold", ratio=1)
    table.add_column("size", justify="right", no_wrap=True, style="dim")
    for match in answer.matches:
        shown = Text(answer.notice or "", style="italic") if match.withheld else Text(printable(shown_path(match)))
        size = "" if match.width is None else f"{match.width} × {match.height}"
        table.add_row(str(match.rank), _score_cell(match.score), shown, size)
    return table


def _score_cell(score: float) -> Text:
    eighths = round(min(max(score, 0.0), 1.0) * _BAR_CELLS * 8)
    full, rest = divmod(eighths, 8)
    bar = (_BLOCKS[8] * full + (_BLOCKS[rest] if rest else "")).ljust(_BAR_CELLS)
    style = "green" if score >= 0.6 else "yellow" if score >= 0.3 else "red"
    return Text.assemble(f"{score:.2f} ", (bar, style))


def render_batch(answers: Iterable[Answer | BatchError]) -> int:
    """Write a JSON line for each answer as it comes, and return the exit code."""
    code = exits.NOTHING_FOUND
    for answer in answers:
        if not isinstance(answer, Answer):
            write_json({"line": answer.line, "error": answer.error})
            code = exits.ERROR
            continue
        row: dict[str, object] = {"query": answer.query, "withheld": answer.refused}
        row |= {"notice": answer.notice} if answer.refused else {"matches": list(_match_rows(answer))}
        write_json(row)
        if answer.matches and code == exits.NOTHING_FOUND:
            code = exits.FOUND
    return code


def _write_answer_jsonl(answer: Answer) -> None:
    if answer.refused:
        write_json({"query": answer.query, "withheld": True, "notice": answer.notice})
    for row in _match_rows(answer):
        write_json(row)


def _match_rows(answer: Answer) -> Iterator[dict[str, object]]:
    for match in answer.matches:
        row: dict[str, object] = {"rank": match.rank, "score": round(match.score, 6)}
        row["similarity"] = round(match.similarity, 6)
        row |= {} if answer.calibrated else {"calibrated": False}
        if match.image_id is None:
            row |= {"withheld": True, "notice": answer.notice}
        else:
            row |= {
                "withheld": False,
                "path": shown_path(match),
                "image_id": match.image_id,
                "width": match.width,
                "height": match.height,
            }
        yield row


def _path_line(match: Match, output_format: str) -> bytes:
    if output_format == "paths":
        return os.fsencode(shown_path(match))
    path = one_field(match.image_id or "")
    return b"%d\t%.6f\t%s\t%d\t%d" % (match.rank, match.score, path, match.width or 0, match.height or 0)


def shown_path(match: Match) -> str:
    """Return the path of a match, relative to the working directory where it lies below it."""
    return relative(match.image_id or "")

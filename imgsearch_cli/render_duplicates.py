"""What `imgsearch duplicates` shows: a table for people, jsonl and paths for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from imgsearch_cli.escaping import printable, relative
from imgsearch_cli.output import can_show, stdout_console, write_json, write_path
from imgsearch_cli.path_cell import PathCell

if TYPE_CHECKING:
    from index_store.queries.duplicates import Duplicate


def render_duplicates(groups: Sequence[Sequence[Duplicate]], output_format: str) -> None:
    """Write groups of photos, the best of each first."""
    if output_format == "jsonl":
        for number, group in enumerate(groups, start=1):
            write_json({"group": number, "photos": [_row(file) for file in group]})
    elif output_format == "paths":
        for number, group in enumerate(groups):
            if number:
                write_path("")
            for file in group:
                write_path(relative(file.path))
    else:
        stdout_console().print(duplicates_table(groups))


def duplicates_table(groups: Sequence[Sequence[Duplicate]]) -> Table:
    """Return a table in which a line stands between groups."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("group", justify="right", style="dim", no_wrap=True)
    table.add_column("photo", overflow="fold", ratio=1)
    table.add_column("similarity", justify="right", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True, style="dim")
    table.add_column("kB", justify="right", no_wrap=True, style="dim")
    times = "×" if can_show("×") else "x"
    for number, group in enumerate(groups, start=1):
        for place, file in enumerate(group):
            likeness = "best" if not place else "equal" if file.similarity == 1.0 else f"{file.similarity:.3f}"
            table.add_row(
                "" if place else str(number),
                PathCell(printable(relative(file.path)), file.path),
                likeness,
                f"{file.width} {times} {file.height}",
                f"{file.size_bytes / 1000:,.0f}",
                end_section=place == len(group) - 1,
            )
    return table


def _row(file: Duplicate) -> dict[str, object]:
    return {
        "path": relative(file.path),
        "image_id": file.path,
        "width": file.width,
        "height": file.height,
        "bytes": file.size_bytes,
        "similarity": round(file.similarity, 6),
    }

"""Renew docs/query.svg from a real run over the demo's photos: `make docs`."""

from __future__ import annotations

import os
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console

from imgsearch_cli.render import answer_table
from index_store.queries.ask import search

PICTURE = Path(__file__).with_name("query.svg")


def main(store: str, query: str) -> None:
    """Ask `query` of `store` and draw what a terminal of 80 columns shows."""
    os.environ.pop("NO_COLOR", None)
    console = Console(record=True, width=80, file=StringIO(), force_terminal=True, color_system="truecolor")
    console.print(f'$ imgsearch query "{query}" -k 5 --min-score 0', highlight=False)
    console.print(answer_table(search(query, store=store, k=5, min_score=0.0)))
    console.save_svg(str(PICTURE), title="imgsearch", unique_id="imgsearch")


if __name__ == "__main__":
    main(*sys.argv[1:3])

"""Renew docs/query.svg and docs/answers.jpg from real runs over the demo's photos: `make docs`; needs chromium."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console

from imgsearch_cli.render import answer_table
from index_store.queries.ask import search

PICTURE = Path(__file__).with_name("query.svg")
CONTACT_SHEET = Path(__file__).with_name("answers.jpg")


def main(store: str, query: str) -> None:
    """Ask `query` of `store` and draw what a terminal of 80 columns shows."""
    os.environ.pop("NO_COLOR", None)
    console = Console(record=True, width=80, file=StringIO(), force_terminal=True, color_system="truecolor")
    console.print(f'$ imgsearch query "{query}" -k 5 --min-score 0', highlight=False)
    console.print(answer_table(search(query, store=store, k=5, min_score=0.0)))
    console.save_svg(str(PICTURE), title="imgsearch", unique_id="imgsearch")
    draw_page(store, query)


def draw_page(store: str, query: str) -> None:
    """Let a browser draw the page that `--html` writes for six answers."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as browsers:
        page = Path(folder) / "page.html"
        command = [str(Path(sys.executable).with_name("imgsearch")), "query", query, "-n", "6", "--min-score", "0"]
        subprocess.run([*command, "--store", store, "--html", str(page)], check=True, stdout=subprocess.DEVNULL)
        browser = browsers.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 900, "height": 480})
        tab.goto(page.as_uri())
        tab.screenshot(path=CONTACT_SHEET, full_page=True, type="jpeg", quality=85)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:3])

"""docs/architecture.md draws the imports as they are, and names files that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")


def test_the_drawing_shows_the_imports_as_they_are():
    printed = subprocess.run(
        [sys.executable, ROOT / "docs" / "imports.py"], capture_output=True, text=True, check=True
    ).stdout
    assert " --> " in printed
    assert f"```mermaid\n{printed}```" in PAGE, "docs/architecture.md: put the output of docs/imports.py there"


def test_the_files_that_are_named_exist():
    section = PAGE.split("## Layout")[1].split("## The stored row")[0]
    named = re.findall(r"`((?:\w+/)*(?:\w+\.(?:py|toml)|\w+/))`", section)
    assert len(named) > 20
    missing = [name for name in named if not any((base / name).exists() for base in (ROOT, ROOT / "index_store"))]
    assert missing == []

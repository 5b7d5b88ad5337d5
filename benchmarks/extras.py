"""What installed extras cost a query that uses none: `python -m benchmarks.extras PHOTOS [--json FILE]`.

Two environments are made of links to the installed packages: one with all of them, one with what a plain installation
needs. A query runs in each in turn.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path
from statistics import median

from packaging.requirements import Requirement

from benchmarks.rows import Row, show
from benchmarks.speed import IMGSEARCH

OURSELVES = "imgsearch-cli"
PAIRS = 15
QUERY = "from imgsearch_cli.main import run; run()"


def main() -> None:
    """Index the photos, make the environments, measure, and show the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        subprocess.run([IMGSEARCH, "-q", "index", str(chosen.photos), "--store", str(work / "store")], check=True)
        everything = {_key(each.name) for each in distributions()} - {_key(OURSELVES)}
        plain = needed_by(OURSELVES)
        pythons = [environment(work / str(len(names)), names) for names in (everything, plain)]
        _query(pythons[0], work / "store", "a cat")  # the first query after a change checks the index
        measured = [
            # a new text each time: the embedding of a repeated one is remembered
            [
                _query(python, work / "store", f"a dog on beach {2 * number + side}")
                for side, python in enumerate(pythons)
            ]
            for number in range(chosen.pairs)
        ]
    names = f"{len(everything)} packages", f"{len(plain)} packages"
    show([_row(*marks, measured, names) for marks in (("time, s of a core", 0), ("peak memory, MB", 1))], chosen.json)


def needed_by(name: str) -> set[str]:
    """Return the names of all packages that a plain installation of one brings along."""
    found, waiting = set[str](), [name]
    while waiting:
        try:
            requires = distribution(waiting.pop()).requires or []
        except PackageNotFoundError:  # for another system
            continue
        for requirement in map(Requirement, requires):
            key = _key(requirement.name)
            if key not in found and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
                found.add(key)
                waiting.append(key)
    return found


def environment(folder: Path, names: set[str]) -> Path:
    """Make an environment with these of the installed packages and this checkout; return its Python."""
    venv.create(folder, symlinks=True)
    [site] = folder.glob("lib/python*/site-packages")
    for each in distributions():
        if _key(each.name) in names:
            for entry in _top_level(each):
                link = site / entry.name
                if entry.exists() and not link.exists():
                    link.symlink_to(entry)
    (site / "checkout.pth").write_text(f"{Path(__file__).parents[1]}\n")
    return folder / "bin" / "python"


def _top_level(installed: Distribution) -> Sequence[Path]:
    heads = {file.parts[0] for file in installed.files or [] if file.parts[0] not in {"..", "__pycache__"}}
    return [Path(str(installed.locate_file(head))) for head in sorted(heads)]


def _key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _query(python: Path, store: Path, text: str) -> tuple[float, float]:
    """Return the seconds of a core and the megabytes that a query takes."""
    arguments = ["query", text, "--min-score", "0", "--store", str(store)]
    process = subprocess.Popen(
        [str(python), "-c", QUERY, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, status
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def _row(name: str, which: int, measured: list[list[tuple[float, float]]], names: tuple[str, str]) -> Row:
    ratio = median(extras[which] / plain[which] for extras, plain in measured)
    values = [median(pair[side][which] for pair in measured) for side in (0, 1)]
    return Row(
        f"imgsearch query with all extras / without: {name}",
        ratio,
        f"{values[0]:.3f} with {names[0]}",
        f"{values[1]:.3f} with {names[1]}",
        1.02,
        1.0,
        False,
    )


if __name__ == "__main__":
    main()

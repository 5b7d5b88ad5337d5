"""Fuzz every target for its share of the time: `python -m tests.fuzz --seconds 60`; exit code 1 where one fails."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path

TARGETS = {
    "texts": "tests.fuzz.texts:Texts",
    "photos": "tests.fuzz.photos:Photos",
    "stores": "tests.fuzz.stores:Stores",
    "servers": "tests.fuzz.servers:Servers",
    "models": "tests.fuzz.models:Models",
    "inputs": "tests.fuzz.inputs:Inputs",
}
KEPT = Path(".fuzz")
"""Where cases that fail are kept."""


def main(arguments: list[str] | None = None) -> int:
    """Run what the arguments ask for, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together")
    parser.add_argument("--seed", type=int, default=1, help="of the cases; another one makes other cases")
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    parser.add_argument("--target", choices=TARGETS, action="append", help="only this one; may be given again")
    parser.add_argument("--case", type=Path, help="check a case that was kept")
    parser.add_argument("--keep-in", type=Path, default=KEPT, help="where cases that fail are kept")
    chosen = parser.parse_args(arguments)
    names = chosen.target or list(TARGETS)
    failed = False
    with tempfile.TemporaryDirectory(prefix="imgsearch-fuzz-") as scratch:
        _live_in(Path(scratch) / "home")
        for name in names:
            failed |= _fuzz(name, Path(scratch) / name, chosen, chosen.seconds / len(names))
    return 1 if failed else 0


def _fuzz(name: str, scratch: Path, chosen: argparse.Namespace, seconds: float) -> bool:
    """Fuzz a target or check a kept case, say what came of it, and return whether it failed."""
    from tests.fuzz.fuzzing import check_kept, run

    scratch.mkdir()
    module, _, kind = TARGETS[name].partition(":")
    target = getattr(import_module(module), kind)(scratch)
    try:
        if chosen.case is not None:
            fault = check_kept(target, chosen.case)
            print(f"{name}: {fault or 'no fault'}", flush=True)
            return fault is not None
        result = run(target, chosen.seed, seconds, chosen.keep_in.absolute(), chosen.first)
    finally:
        target.close()
    print(result.failure or f"{name}: {result.cases} cases of seed {chosen.seed}, no fault", flush=True)
    return result.failure is not None


def _live_in(home: Path) -> None:
    """Let everything that belongs to a user lie in a folder of its own, before the program is imported."""
    for name in [name for name in os.environ if name.startswith(("IMGSEARCH_", "XDG_"))]:
        del os.environ[name]
    home.mkdir()
    os.environ |= {"HOME": str(home), "TMPDIR": str(home.parent), "HF_HUB_OFFLINE": "1"}
    tempfile.tempdir = None


if __name__ == "__main__":
    sys.exit(main())

"""What the fixtures promise to all tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_CHILD = "import signal; print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
_TESTS = f"""
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
import subprocess, sys
import tests.conftest
subprocess.run([sys.executable, "-c", {_CHILD!r}], check=True)
"""


def test_programs_can_be_interrupted_though_the_tests_run_in_the_background():
    """A shell starts what it puts into the background with Ctrl-C ignored, and programs inherit that."""
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", _TESTS], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

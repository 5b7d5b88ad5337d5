"""Completion as bash, zsh and fish do it: the words that stand on the command line after a tab."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

START = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "source <(imgsearch completion bash)"),
    "zsh": (["zsh", "-f", "-i"], "autoload -Uz compinit; compinit -D -u; source <(imgsearch completion zsh)"),
    "fish": (["fish", "--no-config", "-i"], "imgsearch completion fish | source"),
}
CASES = {
    "imgsearch que": ["imgsearch", "query"],
    "imgsearch query --fo": ["imgsearch", "query", "--format"],
    "imgsearch query --format js": ["imgsearch", "query", "--format", "jsonl"],
    "imgsearch query --format=js": ["imgsearch", "query", "--format=jsonl"],
    "imgsearch policy allow some": ["imgsearch", "policy", "allow", "some photos"],
    "imgsearch query --like some\\ photos/a": ["imgsearch", "query", "--like", "some photos/a cup.png"],
    'imgsearch query --like "some photos/a': ["imgsearch", "query", "--like", "some photos/a cup.png"],
    "imgsearch query --in=som": ["imgsearch", "query", "--in=some photos"],
    "imgsearch query --in notes": ["imgsearch", "query", "--in", "notes"],  # a file, and no folder
    "imgsearch query dog --language de": ["imgsearch", "query", "dog", "--language", "de"],
    "imgsearch query --encoder lite2": ["imgsearch", "query", "--encoder", "lite2-minilm"],
    "imgsearch help policy al": ["imgsearch", "help", "policy", "allow"],
    "imgsearch train enc": ["imgsearch", "train", "encoder"],
    "imgsearch qeury wor": ["imgsearch", "qeury", "wor"],  # no such command: nothing, and no error in the line
    "./tools/imgsearch stat": ["./tools/imgsearch", "status"],
}


class Shell:
    """An interactive shell on a terminal of its own."""

    def __init__(self, name: str, folder: Path, program: Path) -> None:
        self.name, self.folder = name, folder
        arguments, setup = START[name]
        variables = os.environ | {
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder),
            "XDG_DATA_HOME": str(folder),
            "TERM": "xterm",
            "LC_ALL": "C.UTF-8",
        }
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            arguments,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env=variables,
            start_new_session=True,
            # fish leaves without a terminal to control it
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
        )
        os.close(slave)
        self.said = ""
        (folder / "words").write_text("#!/bin/sh\nprintf '%s\\n' \"$@\" > said.new; mv said.new said\n", "utf-8")
        (folder / "words").chmod(0o755)
        self._type(f"{setup}; ./words ready\n")
        self._answer()

    def completed(self, line: str) -> list[str]:
        """Type a line and a tab, and return the words that the command would be given, the command first."""
        self._type(f"{line}\t")
        self._type("\x01./words \n")  # to the start of the line, where `./words` takes the rest as its arguments
        return self._answer()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)

    def _type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def _answer(self) -> list[str]:
        """Return what `words` was called with; a terminal that nobody reads would block the shell."""
        said, until = self.folder / "said", time.monotonic() + 30
        while not said.exists():
            assert time.monotonic() < until, f"{self.name} said: {self.said[-2000:]!r}"
            if select.select([self.master], [], [], 0.05)[0]:
                self.said += os.read(self.master, 65536).decode("utf-8", "replace")
        words = said.read_text("utf-8").splitlines()
        said.unlink()
        return words


@pytest.fixture(scope="module", params=START)
def shell(request, tmp_path_factory) -> Iterator[Shell]:
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    program, folder = Path(sys.executable).with_name("imgsearch"), tmp_path_factory.mktemp(request.param)
    (folder / "some photos").mkdir()
    (folder / "some photos" / "a cup.png").write_bytes(b"")
    (folder / "notes.txt").write_bytes(b"")
    (folder / "tools").mkdir()
    (folder / "tools" / "imgsearch").symlink_to(program)
    shell = Shell(request.param, folder, program)
    yield shell
    shell.close()


@pytest.mark.slow
def test_a_tab_completes_commands_options_values_and_paths(shell):
    # zsh takes the slash behind a folder away again when something else is typed
    assert {line: [word.rstrip("/") for word in shell.completed(line)] for line in CASES} == CASES
    assert "Traceback" not in shell.said
    assert "imgsearch: " not in re.sub(r"\x1b\[[^m]*m", "", shell.said)

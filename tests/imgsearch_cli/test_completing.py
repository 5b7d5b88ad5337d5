"""What the program answers a shell that completes; the shells themselves are in tests/end_to_end/test_completion.py."""

from __future__ import annotations

import pytest

from imgsearch_cli.completing import SHELLS, first_sentence
from imgsearch_cli.main import cli


def answered(shell: str, line: str, word: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    words = line.split()
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", word if shell == "fish" else str(len(words) - bool(word)))
    return SHELLS[shell](cli, {}, "imgsearch", "_IMGSEARCH_COMPLETE").complete().splitlines()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("line", "kind"),
    [("query --like a", "file"), ("query --in a", "dir"), ("index --store a", "dir"), ("forget a", "file")],
)
def test_paths_are_left_to_the_shell(monkeypatch, shell, line, kind):
    lines = answered(shell, f"imgsearch {line}", "a", monkeypatch)
    assert lines[:2] == ([kind, "a"] if shell == "zsh" else [f"{kind},a"])


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("line", ["qeury a", "policy lits a", "--no-such a", "query --no-such a"])
def test_a_wrong_line_is_completed_without_an_error(monkeypatch, capfd, shell, line):
    answered(shell, f"imgsearch {line}", "a", monkeypatch)
    assert capfd.readouterr() == ("", "")


def test_bash_gives_the_value_behind_an_equals_sign_as_a_word_of_its_own(monkeypatch):
    assert answered("bash", "imgsearch query --format = js", "js", monkeypatch) == ["plain,jsonl"]
    assert answered("bash", "imgsearch query a = b", "b", monkeypatch) == []


def test_help_in_a_list_is_one_sentence_in_one_line():
    assert first_sentence("Find photos, like\nthis. Or others.") == "Find photos, like this"
    assert first_sentence("A list; of two") == "A list"
    assert first_sentence("word " * 40) == "word " * 18 + "word..."


@pytest.mark.parametrize(
    ("line", "found"), [("help pol", ["policy"]), ("help policy al", ["allow"]), ("help no x", [])]
)
def test_help_completes_commands(monkeypatch, line, found):
    assert answered("bash", f"imgsearch {line}", "x", monkeypatch) == [f"plain,{name}" for name in found]

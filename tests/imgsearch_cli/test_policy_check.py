"""`imgsearch policy check`: what it shows, where, and its exit code."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from imgsearch_cli.main import cli
from index_store.compliance.policy import SHIPPED_POLICY


def run(*arguments: str, stdin: str | bytes = ""):
    return CliRunner().invoke(cli, ["policy", "check", *arguments], input=stdin)


def rows(output: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.splitlines()]


def test_jsonl_has_text_withheld_and_reason_in_order():
    result = run("--format", "jsonl", "baby elephant", "two boys with water guns")
    assert result.exit_code == 3
    assert rows(result.stdout) == [
        {"text": "baby elephant", "withheld": False, "reason": "'baby': describes 'elephant', an animal"},
        {"text": "two boys with water guns", "withheld": True, "reason": "'boys': a child"},
    ]


def test_nothing_withheld_exits_with_0():
    result = run("dog on beach")
    assert result.exit_code == 0
    assert "clean" in result.stdout
    assert "no word speaks of a child" in result.stdout


def test_a_dash_reads_one_text_a_line_and_passes_over_blank_lines():
    result = run("--format", "jsonl", "-", stdin="dog\r\n\nтри мальчика\n".encode() + b"caf\xe9\n")
    assert [row["text"] for row in rows(result.stdout)] == ["dog", "три мальчика", "caf\ufffd"]
    assert result.exit_code == 3


def test_no_text_is_wrong_usage():
    assert run().exit_code == 2


def test_a_broken_policy_judges_nothing(tmp_path, monkeypatch):
    path = tmp_path / "mine.toml"
    path.write_text(SHIPPED_POLICY.read_text(encoding="utf-8").replace("mandatory", "mandatroy"), encoding="utf-8")
    monkeypatch.setenv("IMGSEARCH_POLICY", str(path))
    result = run("dog on beach")
    assert result.stdout == ""
    with pytest.raises(Exception, match=r"mine.toml:\d+: unknown key 'mandatroy'"):
        raise result.exception

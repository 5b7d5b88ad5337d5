"""The configuration file: what it sets, and what is refused in it, in one line."""

from __future__ import annotations

import re
from datetime import date

import pytest

from imgsearch_cli.configuration import configured
from imgsearch_cli.main import cli
from index_store.errors import UsageError


@pytest.fixture
def configure(tmp_path, monkeypatch):
    """Return a function that reads a configuration file with a certain text."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr("platformdirs.user_config_dir", lambda *_, **__: str(tmp_path))

    def configure(text: str):
        (tmp_path / "config.toml").write_text(text)
        return configured(cli)

    return configure


def test_without_a_file_nothing_is_set(tmp_path, monkeypatch):
    monkeypatch.setattr("platformdirs.user_config_dir", lambda *_, **__: str(tmp_path))
    assert configured(cli) == {}


def test_what_stands_at_the_top_holds_for_all_commands_and_their_tables_win(configure):
    found = configure('store = "/a"\npolicy = "/strict.toml"\n[status]\nstore = "/b"\n')
    assert found["query"]["store"] == "/a"
    assert found["status"]["store"] == "/b"
    assert found["query"]["policy_file"] == found["policy"]["list"]["policy_file"] == "/strict.toml"


def test_policy_is_a_table_of_commands_too(configure):
    assert configure('[policy.list]\nformat = "jsonl"\n')["policy"]["list"] == {"output_format": "jsonl"}


def test_values_of_each_kind(configure):
    found = configure('[query]\nk = 5\nmin-score = 0.25\nnot = ["snow"]\nafter = 2021-06-14\nlandscape = true\n')
    assert found["query"] == {
        "k": 5,
        "min_score": 0.25,
        "away": ["snow"],
        "after": date(2021, 6, 14),
        "shape": "landscape",
    }


REFUSED = [
    ("[query]\nk = true", "[query] k: true is neither a text nor a number"),
    ("[query]\nk = 5.5", "[query] k: 5.5 is no whole number"),
    ('[query]\nk = "many"', "[query] k: invalid value"),
    ('[query]\nnot = "snow"', '[query] not: write a list, such as ["snow"]'),
    ('[query]\nin = [["a"]]', "[query] in: ['a'] is neither a text nor a number"),
    ('[query]\ncamera = ["x"]', "[query] camera: write one value, and no list"),
    ('store = ["a"]', "store: write one value, and no list"),
    ("[query]\nlandscape = 1", "[query] landscape is 1; write true or false"),
    ("[query]\nmin_score = 0.5", "[query] has no min_score; it knows after"),
    ("[nowhere]\nk = 5", "knows neither a command nor a setting called nowhere"),
    ("query = 5", "query is a command; write its options below [query]"),
    ("k = ", "is no TOML"),
    ("x = " + "[" * 2000, "is no TOML"),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED, ids=[text[:30] for text, _ in REFUSED])
def test_what_cannot_be_meant_is_refused_with_its_place(configure, text, reason):
    with pytest.raises(UsageError, match=re.escape(reason)) as caught:
        configure(text)
    assert "config.toml: " in str(caught.value)
    assert "\n" not in str(caught.value)

"""The configuration file: what it sets, and what is refused in it, in one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

import click
import pytest
from click.core import ParameterSource

from imgsearch_cli.configuration import configured, settable
from imgsearch_cli.main import TOPICS, cli
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


def test_the_language_of_texts_holds_for_all_commands_that_read_one(configure):
    found = configure('language = "de"\n[serve]\nlanguage = "fr"\n')
    assert found["query"]["language"] == found["policy"]["check"]["language"] == "de"
    assert found["serve"]["language"] == "fr"
    assert found["evaluate"] == {}  # its --language names a table


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


NUMBERS = click.types.FloatParamType | click.types.IntParamType


def everything() -> Iterator[tuple[tuple[str, ...], str, click.Option]]:
    """Yield each command with each of its options that the file may set."""

    def below(group: click.Group, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str, click.Option]]:
        for name, command in group.commands.items():
            if isinstance(command, click.Group):
                yield from below(command, (*names, name))
            else:
                yield from (((*names, name), option_name, option) for option_name, option in settable(command))

    yield from below(cli, ())


def three_values(option: click.Option) -> list[str]:
    """Return values for the file, the environment and the command line, as text."""
    if isinstance(option.type, click.Choice):
        return [*option.type.choices, *option.type.choices][:3]
    if isinstance(option.type, click.types.FloatParamType):
        return ["0.25", "0.5", "0.75"]
    if isinstance(option.type, click.types.IntParamType):
        return ["3", "4", "5"]
    return ["2001", "2002", "2003"]  # a text, a path or a year


@pytest.mark.parametrize("topic", [name for name in TOPICS if "train" not in name])
def test_options_win_over_the_environment_it_over_the_file_and_the_file_over_defaults(configure, monkeypatch, topic):
    commands = {command.name for command in TOPICS[topic]}
    settings = [each for each in everything() if each[0][0] in commands and not each[2].is_flag]
    assert settings or topic == "This program"
    for names, name, option in settings:
        in_file, in_environment, given = three_values(option)
        shown = in_file if isinstance(option.type, NUMBERS) else f'"{in_file}"'
        found = configure(f"[{'.'.join(names)}]\n{name} = {f'[{shown}]' if option.multiple else shown}\n")

        def held(arguments: list[str], file: dict[str, object]) -> tuple[object, ParameterSource]:
            context, command = click.Context(cli, info_name="imgsearch"), cli
            context.default_map = file
            for each in names:  # noqa: B023
                command = command.commands[each]
                context = click.Context(command, info_name=each, parent=context)
            value, source = option.consume_value(context, command.make_parser(context).parse_args(arguments)[0])  # noqa: B023
            known = source is not ParameterSource.DEFAULT
            return (option.type_cast_value(context, value) if known else None), source  # noqa: B023

        def cast(text: str) -> object:
            return option.type_cast_value(click.Context(cli), [text] if option.multiple else text)  # noqa: B023

        variable = "_".join(("imgsearch", *names, name)).upper().replace("-", "_")
        dashes = "--" if len(name) > 1 else "-"
        assert held([], {}) == (None, ParameterSource.DEFAULT)
        assert held([], found) == (cast(in_file), ParameterSource.DEFAULT_MAP)
        with monkeypatch.context() as patch:
            patch.setenv(variable, in_environment)
            assert held([], found) == (cast(in_environment), ParameterSource.ENVIRONMENT), variable
            assert held([dashes + name, given], found) == (cast(given), ParameterSource.COMMANDLINE)


def test_the_variable_of_a_command_wins_over_the_one_of_all(monkeypatch):
    monkeypatch.setenv("IMGSEARCH_STORE", "/all")
    monkeypatch.setenv("IMGSEARCH_QUERY_STORE", "/query")
    context = click.Context(cli, info_name="imgsearch")
    for name, store in (("query", "/query"), ("status", "/all")):
        option = dict(settable(cli.commands[name]))["store"]
        assert option.consume_value(click.Context(cli.commands[name], parent=context), {})[0] == store


@pytest.mark.parametrize(("value", "held"), [("1", True), ("0", False)])
def test_a_flag_is_set_by_its_variable(monkeypatch, value, held):
    monkeypatch.setenv("IMGSEARCH_QUERY_NULL", value)
    with cli.commands["query"].make_context("query", ["dog"]) as context:
        assert context.params["null"] is held

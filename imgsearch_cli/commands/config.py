"""`imgsearch config`: which settings hold, and where they come from."""

from __future__ import annotations

import os
from collections.abc import Iterator

import click
from click.core import ParameterSource

from imgsearch_cli.configuration import SHARED, configuration_file, settable
from imgsearch_cli.options import format_option

_SOURCES = {
    ParameterSource.ENVIRONMENT: "environment",
    ParameterSource.DEFAULT_MAP: "file",
}
_DEFAULT = "default"


@click.command()
@format_option("table", "jsonl")
@click.pass_context
def config(context: click.Context, output_format: str) -> None:
    """Show which settings hold, and where each comes from: the environment, the configuration file, a default.

    Options on the command line win over IMGSEARCH_* variables, these over the file, the file over defaults. A policy of
    the machine, /etc/imgsearch/policy.toml, wins over all. The file is TOML: 'store', 'encoder', 'policy' and
    'language' at its top hold for all commands, and a table such as [query] holds the options of that command, by
    their long names.

    \b
    imgsearch config
    imgsearch config --json
    """
    from imgsearch_cli.render_store import render_settings
    from index_store.compliance.machine_policy import machine_policy
    from index_store.errors import StoreError
    from index_store.paths import default_store, shown_place

    try:
        store = default_store()
    except StoreError:  # no home folder
        store = ""
    defaults = {"store": store, "encoder": "the one that ships", "policy": "the one that ships", "language": "auto"}
    mandatory = machine_policy()
    root = context.find_root()
    assert isinstance(root.command, click.Group)
    found = list(_settings(root.command, root))
    shared = {name: next((each for each in found if each[:2] == ("query", name)), None) for name in SHARED}
    rows = [(name, each[2], each[3]) if each else (name, defaults[name], _DEFAULT) for name, each in shared.items()]
    if mandatory is not None:  # it holds whatever the user says
        rows = [("policy", str(mandatory), "machine") if row[0] == "policy" else row for row in rows]
    known = {each[1:] for each in shared.values() if each}
    rows += [(f"{each[0]} {each[1]}", each[2], each[3]) for each in found if each[1:] not in known]
    path = configuration_file()
    shown = [(name, shown_place(value), source) for name, value, source in rows]
    render_settings(path, os.path.isfile(path), shown, output_format)


def _settings(group: click.Group, above: click.Context) -> Iterator[tuple[str, str, str, str]]:
    """Yield command, option, value and source of all that is no default."""
    for name, command in group.commands.items():
        context = click.Context(command, info_name=name, parent=above)
        if isinstance(command, click.Group):
            for below, option_name, said, source in _settings(command, context):
                yield f"{name} {below}", option_name, said, source
            continue
        for option_name, option in settable(command):
            value, origin = option.consume_value(context, {})
            if origin in _SOURCES and (not option.is_flag or value):
                yield name, option_name, _said(value), _SOURCES[origin]


def _said(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)

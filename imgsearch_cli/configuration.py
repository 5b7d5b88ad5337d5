"""The configuration file: defaults that a user sets for options, below options and the environment.

`store`, `encoder`, `policy` and `language` at its top hold for all commands, a table such as [query] or [policy.list]
for one.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import click
import platformdirs

from index_store.errors import DataError, UsageError
from index_store.paths import is_there
from index_store.user_text import read_user_text

SHARED = ("store", "encoder", "policy", "language")
"""What may stand at the top of the file."""

_MOST_BYTES = 1 << 20


def configuration_file() -> str:
    """Return the path of the user's configuration file, which need not be there."""
    return os.path.join(platformdirs.user_config_dir("imgsearch", appauthor=False), "config.toml")


def configured(group: click.Group) -> dict[str, Any]:
    """Return what the file sets, as click takes it: the values of a command's options by its name.

    Raises:
        UsageError: the file cannot be read, or sets what no command has.
    """
    path = configuration_file()
    try:
        if not is_there(path):
            return {}
        settings = tomllib.loads(read_user_text(path, most_bytes=_MOST_BYTES))
    except OSError:  # a folder above may not be entered
        return {}
    except DataError as error:
        raise UsageError(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: is no TOML: {error}") from error
    # `policy` is a setting and a group of commands: a text, or a table
    top = {name: settings.pop(name) for name in list(settings) if _is_setting(group, name, settings[name])}
    if unknown := sorted(set(top) - set(SHARED)):
        raise UsageError(
            f"{path}: knows neither a command nor a setting called {', '.join(unknown)}; at the top stand "
            f"{', '.join(SHARED)}, all else in a table such as [query]"
        )
    return _of_group(group, settings, top, path, "")


def _is_setting(group: click.Group, name: str, value: object) -> bool:
    return name not in group.commands or (name in SHARED and not isinstance(value, dict))


def _of_group(
    group: click.Group, settings: Mapping[str, Any], top: Mapping[str, Any], path: str, above: str
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        table = settings.get(name, {})
        where = f"{above}{name}"
        if not isinstance(table, dict):
            raise UsageError(f"{path}: {where} is a command; write its options below [{where}]")
        if isinstance(command, click.Group):
            _refuse_unknown(table, command.commands, path, where)
            found[name] = _of_group(command, table, top, path, f"{where}.")
        else:
            found[name] = _of_command(command, table, top, path, where)
    return found


def _of_command(
    command: click.Command, table: Mapping[str, Any], top: Mapping[str, Any], path: str, where: str
) -> dict[str, Any]:
    options = dict(settable(command))
    _refuse_unknown(table, options, path, where)
    given = {name: value for name, value in top.items() if name in options} | dict(table)
    values: dict[str, Any] = {}
    for name, value in given.items():
        option = options[name]
        if option.is_flag and not isinstance(value, bool):
            raise UsageError(f"{path}: [{where}] {name} is {value!r}; write true or false")
        if option.is_flag and isinstance(option.flag_value, str):
            values |= {option.name or name: option.flag_value} if value else {}
            continue
        context = click.Context(command, info_name=where)
        try:
            _refuse_kind(option, value)
            option.type_cast_value(context, value)
        except (click.BadParameter, TypeError, ValueError) as error:
            said = error.format_message() if isinstance(error, click.BadParameter) else str(error)
            place = f"[{where}] {name}" if name in table else name
            raise UsageError(f"{path}: {place}: {said[:1].lower()}{said[1:].rstrip('.')}") from error
        values[option.name or name] = value
    return values


def _refuse_kind(option: click.Option, value: object) -> None:
    """Raise ValueError for what click would make something else of: true is 1 to it, and 5.5 is 5."""
    if isinstance(value, list) != option.multiple:
        raise ValueError(f'write a list, such as ["{value}"]' if option.multiple else "write one value, and no list")
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, bool) or not isinstance(each, str | int | float | date):
            raise ValueError(f"{each!r} is neither a text nor a number")
        if isinstance(option.type, click.types.IntParamType) and isinstance(each, float):
            raise ValueError(f"{each!r} is no whole number")


def settable(command: click.Command) -> Iterator[tuple[str, click.Option]]:
    """Yield the options of a command that the file may set, each with its long name, or its only one."""
    for option in command.params:
        if isinstance(option, click.Option) and option.expose_value and not isinstance(option.type, click.File):
            longest = max(option.opts, key=len)
            yield longest.lstrip("-"), option


def name_variables(command: click.Command, *names: str) -> None:
    """Let each option be set by the variable that is named after it: click takes the name of the function's argument.

    IMGSEARCH_QUERY_STORE wins over IMGSEARCH_STORE, as a table of the file wins over its top.
    """
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            name_variables(below, *names, name)
        return
    for name, option in settable(command):
        if isinstance(option.flag_value, str):  # one of several flags for a value; click would take 0 for that value
            continue
        own = "_".join(("imgsearch", *names, name)).replace("-", "_").upper()
        shared = [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or ())
        option.envvar = [own, *shared]


def _refuse_unknown(table: Mapping[str, Any], known: Mapping[str, Any], path: str, where: str) -> None:
    if unknown := sorted(set(table) - set(known)):
        raise UsageError(
            f"{path}: [{where}] has no {', '.join(unknown)}; it knows {', '.join(sorted(known)) or 'nothing'}"
        )

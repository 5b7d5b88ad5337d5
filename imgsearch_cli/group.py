"""The group of commands: help by topic, help for a command, suggestions, -q and -v also behind the command."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

OTHER_NAMES = {
    "--limit": "-k",
    "--top": "-k",
    "--top-k": "-k",
    "--count": "-k",
    "--number": "-k",
    "--max-results": "-k",
    "--threshold": "--min-score",
    "--score": "--min-score",
    "--image": "--like",
    "--photo": "--like",
    "--similar": "--like",
    "--without": "--not",
    "--exclude-text": "--not",
    "--folder": "--in",
    "--dir": "--in",
    "--path": "--in",
    "--since": "--after",
    "--from": "--after",
    "--until": "--before",
    "--to": "--before",
    "--print0": "--null",
    "--db": "--store",
    "--database": "--store",
    "--model": "--encoder",
    "--output": "--format",
    "--workers": "--jobs",
    "--threads": "--jobs",
}
"""What other programs call options of this one."""


_SENTENCE = 200
"""Characters of a command's first sentence in the list of commands: all of it, folded where it is long."""


class TopicGroup(click.Group):
    """A group whose help lists its commands by topic."""

    topics: Mapping[str, Sequence[str]] = {}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, each topic under a heading of its own; what no topic names stands last."""
        named = {name for names in self.topics.values() for name in names}
        rest = [name for name in self.list_commands(ctx) if name not in named]
        for topic, names in (*self.topics.items(), ("Commands", rest)):
            rows = [
                (name, self.commands[name].get_short_help_str(_SENTENCE)) for name in names if name in self.commands
            ]
            if rows:
                with formatter.section(topic):
                    formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; suggest the nearest one where there is none of that name."""
        name = args[0] if args else ""
        if ctx.resilient_parsing:  # a shell completes, and errors would stand in the line that is typed
            return super().resolve_command(ctx, args)
        if name and not name.startswith("-") and self.get_command(ctx, name) is None:
            near = difflib.get_close_matches(name, self.list_commands(ctx), 1)
            advice = f"; did you mean {near[0]!r}?" if near else _or_query(self, name)
            raise click.UsageError(f"there is no command {name!r}{advice}", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands and options that begin so, with the commands' first sentences."""
        return [
            CompletionItem(item.value, item.type, self.commands[item.value].get_short_help_str(_SENTENCE))
            if item.value in self.commands
            else item
            for item in super().shell_complete(ctx, incomplete)
        ]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options before the command; one that belongs behind it is said so."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            owners = [name for name, command in self.commands.items() if error.option_name in _options(command)]
            if owners:
                raise click.UsageError(
                    f"{error.option_name} belongs behind the command: "
                    f"{ctx.command_path} {owners[0]} {error.option_name}",
                    ctx,
                ) from error
            raise


def _or_query(group: click.Group, name: str) -> str:
    return f"; to search for it: imgsearch query {name}" if "query" in group.commands else ""


def _options(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}


def suggestion(error: click.NoSuchOption) -> str:
    """Return which option was probably meant, "" where none is like it."""
    known = _options(error.ctx.command) if error.ctx is not None else set[str]()
    meant = OTHER_NAMES.get(error.option_name)
    if meant in known:
        return f"; did you mean {meant}?"
    names = {name: name for name in known if name.startswith("--")}
    names |= {other: name for other, name in OTHER_NAMES.items() if name in known and other not in known}
    near = difflib.get_close_matches(error.option_name, names, 1)
    return f"; did you mean {names[near[0]]}?" if near else ""


def set_loudness(context: click.Context, *, verbose: int, quiet: bool, debug: bool) -> None:
    """Note how much is written to standard error; what is given before and behind the command adds up."""
    told = context.find_root().obj
    told["verbose"] += verbose
    told["quiet"] |= quiet
    told["debug"] |= debug
    level = {0: logging.WARNING, 1: logging.INFO}.get(told["verbose"], logging.DEBUG)
    logging.getLogger("index_store").setLevel(logging.ERROR if told["quiet"] else level)


def loudness_options() -> list[click.Option]:
    """Return -v, -q and --debug for a command: hidden, since the help of the program has them."""

    def louder(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value:
            chosen = {"verbose": 0, "quiet": False, "debug": False} | {parameter.name or "": value}
            set_loudness(context, **chosen)

    return [
        click.Option(["-v", "--verbose"], count=True, expose_value=False, hidden=True, callback=louder),
        click.Option(["-q", "--quiet"], is_flag=True, expose_value=False, hidden=True, callback=louder),
        click.Option(["--debug"], is_flag=True, expose_value=False, hidden=True, callback=louder),
    ]


def all_commands(command: click.Command) -> Iterator[click.Command]:
    """Yield a command and all below it."""
    yield command
    for each in getattr(command, "commands", {}).values():
        yield from all_commands(each)

"""`imgsearch help COMMAND`: the same as `imgsearch COMMAND --help`."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem


def _complete_commands(context: click.Context, _parameter: click.Parameter, value: str) -> list[CompletionItem[str]]:
    """Return the commands below those that are named already."""
    above = context.find_root()
    for name in context.params.get("names") or ():
        command = above.command.get_command(above, name) if isinstance(above.command, click.Group) else None
        if command is None:
            return []
        above = click.Context(command, info_name=name, parent=above)
    found = above.command.shell_complete(above, value) if isinstance(above.command, click.Group) else []
    return [item for item in found if not item.value.startswith("-")]


@click.command(name="help")
@click.argument("names", nargs=-1, metavar="[COMMAND]...", shell_complete=_complete_commands)
@click.pass_context
def help_(context: click.Context, names: tuple[str, ...]) -> None:
    """Show the help of a command.

    \b
    imgsearch help query
    imgsearch help policy list
    """
    shown = context.find_root()
    for name in names:
        group = shown.command
        if not isinstance(group, click.Group):
            raise click.UsageError(f"{shown.command_path} has no commands of its own", shown)
        _, command, _ = group.resolve_command(shown, [name])
        assert command is not None
        shown = click.Context(command, info_name=name, parent=shown)
    click.echo(shown.get_help())

"""`imgsearch help COMMAND`: the same as `imgsearch COMMAND --help`."""

from __future__ import annotations

import click


@click.command(name="help")
@click.argument("names", nargs=-1, metavar="[COMMAND]...")
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

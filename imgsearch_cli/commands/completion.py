"""`imgsearch completion SHELL`: the script that lets a shell complete commands and options."""

from __future__ import annotations

import click

PROGRAM = "imgsearch"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Write the script that lets SHELL complete commands, options and names of files.

    \b
    imgsearch completion bash > ~/.local/share/bash-completion/completions/imgsearch
    imgsearch completion zsh > ~/.zfunc/_imgsearch
    imgsearch completion fish > ~/.config/fish/completions/imgsearch.fish
    """
    from imgsearch_cli.completing import SHELLS

    script = SHELLS[shell](context.find_root().command, {}, PROGRAM, f"_{PROGRAM.upper()}_COMPLETE")
    click.echo((script.source_template % script.source_vars()).strip())

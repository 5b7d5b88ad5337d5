"""`imgsearch explore DATA`: describe a data set of judgements before anything is trained on it."""

from __future__ import annotations

from pathlib import Path

import click

from imgsearch_cli.options import encoder_option, policy_option
from imgsearch_cli.streams import say


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--report",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The folder for explore.html and JSON.",
)
@encoder_option
@policy_option
@click.pass_context
def explore(context: click.Context, data: Path, report: Path, encoder: str | None, policy_file: Path | None) -> None:
    """Explore the judgements in DATA, a folder in the layout of with_sense.

    Counts, duplicates, missing texts and photos, agreement of the experts with each other and with the crowd, the skew
    of the target, and what the policy removes: as a page with plots, and as JSON.

    \b
    imgsearch explore ../shared/data/with_sense --report ./report
    """
    from imgsearch_cli.output import render_facts
    from index_store.training.data.explore import explore_judgements
    from index_store.training.evaluate.report import write_exploration

    found = explore_judgements(data, encoder, policy_file)
    page = write_exploration(report, found)
    if not context.obj["quiet"]:
        for note in found.notes:
            say(note)
    render_facts([(name, str(value)) for name, value in found.facts()])
    say(f"report: {page}")

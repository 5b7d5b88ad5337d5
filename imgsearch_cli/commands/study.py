"""`imgsearch study DATA`: compare every target, vector, joining, model and split."""

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
    help="The folder for study.html, JSON, and the rows as they come.",
)
@click.option(
    "--docs",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A page into which the table is written, between its two study marks, such as docs/relevance.md.",
)
@click.option("--cache", type=click.Path(path_type=Path, file_okay=False), help="Where vectors are kept.")
@click.option(
    "--seeds", type=click.IntRange(1, 5), default=5, show_default=True, help="How many splits a row is the mean of."
)
@click.option("--weights", type=click.Path(path_type=Path, file_okay=False), help="Where weights of other towers lie.")
@click.option("--fetch", is_flag=True, help="Try the network for weights that are not here.")
@click.option("--only", metavar="BLOCK", multiple=True, help="Only blocks with this in their title. May be repeated.")
@encoder_option
@policy_option
@click.pass_context
def study(
    context: click.Context,
    data: Path,
    report: Path,
    docs: Path | None,
    cache: Path | None,
    seeds: int,
    weights: Path | None,
    fetch: bool,
    only: tuple[str, ...],
    encoder: str | None,
    policy_file: Path | None,
) -> None:
    """Study what predicts human judgements: the whole matrix in one go.

    Vectors are made once and kept. A row whose weights are not on this machine says where to put them. Each row is
    written down as it comes, in study-rows.jsonl of the report's folder: the same command goes on after a stop, and
    measures again only what hangs on changed data, weights or policy.

    \b
    imgsearch study ../shared/data/with_sense --report ./report
    imgsearch study ../shared/data/with_sense --report ./report --only notebooks --weights ./weights
    """
    from imgsearch_cli.progress import progress_bar
    from imgsearch_cli.render_models import render_study
    from index_store.training.data.sources import SourceOptions
    from index_store.training.evaluate.report import require_marks, write_study
    from index_store.training.study.study import ROWS_FILE, StudyOptions, run_study

    if docs is not None:
        require_marks(docs)
    sources = SourceOptions(encoder, weights, fetch)
    options = StudyOptions(encoder, seeds, policy_file, sources, only)
    with progress_bar("study", "rows", quiet=context.obj["quiet"]) as advance:
        found = run_study(data, options, cache, advance, report / ROWS_FILE)
    page = write_study(report, found, docs)
    render_study(found)
    say(f"report: {page}")

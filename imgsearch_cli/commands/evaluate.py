"""`imgsearch evaluate DATA`: measure a reranker against people and on queries."""

from __future__ import annotations

from pathlib import Path

import click

from imgsearch_cli.options import encoder_option, format_option, policy_option


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A folder made by `imgsearch train reranker`.  [default: the one that ships]",
)
@click.option("--subset", type=click.Choice(["train", "test"]), help="Judged pairs, or test queries.  [default: both]")
@format_option("table", "jsonl")
@click.option("--by-query", is_flag=True, help="Also show the rank of each query's photo, before and after.")
@click.option("--write-run", type=click.Path(path_type=Path, dir_okay=False), help="Write the ranking in TREC format.")
@click.option(
    "--language",
    "--language-table",  # its name in the configuration file, where `language` is a language
    "language_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Measure captions in another language: a table with the columns image, caption and perhaps english.",
)
@encoder_option
@policy_option
@click.option(
    "--no-policy",
    is_flag=True,
    help="Also name queries and photos that the policy withholds; refused where it is mandatory.",
)
@click.pass_context
def evaluate(
    context: click.Context,
    data: Path,
    model: Path | None,
    subset: str | None,
    output_format: str,
    by_query: bool,
    write_run: Path | None,
    language_file: Path | None,
    encoder: str | None,
    policy_file: Path | None,
    no_policy: bool,
) -> None:
    """Measure the reranker on the data in DATA, a folder in the layout of with_sense, or photos with captions.tsv.

    On judged pairs: errors, agreement with experts and crowd, calibration. On queries: how high the photo that each was
    written for is ranked, before and after reranking. All photos are ranked; what the policy withholds is counted, and
    neither --by-query nor --write-run names it. With captions, short queries are made of them (words like "dog" or "red
    shirt"): what is shown by default, what finds nothing, and how many things that no photo shows are answered.

    \b
    imgsearch evaluate ../shared/data/with_sense
    imgsearch evaluate ../shared/data/coco_val
    imgsearch evaluate ../shared/data/with_sense --language ../shared/data/languages/de.tsv
    imgsearch evaluate ../shared/data/with_sense --subset test --format jsonl --write-run run.txt
    """
    from imgsearch_cli.progress import progress_bar
    from imgsearch_cli.render_models import render_evaluation
    from index_store.errors import UsageError
    from index_store.training.evaluate import evaluation

    quiet = context.obj["quiet"]
    if language_file is not None:
        from index_store.training.evaluate.translated import evaluate_translated

        if model is not None or subset is not None or encoder is not None or by_query or write_run is not None:
            raise UsageError("--language measures the models that ship and names no photo; leave the other options out")
        with progress_bar("photos", "photos", quiet=quiet) as advance:
            report = evaluate_translated(data, language_file, progress=advance)
        render_evaluation(report, output_format, by_query=False, quiet=quiet)
        return
    with progress_bar("photos", "photos", quiet=quiet) as advance:
        report = evaluation.evaluate(
            data, model, subset, encoder, progress=advance, policy_file=policy_file, withhold=not no_policy
        )
    if write_run is not None:
        evaluation.write_run(write_run, report.run, report.reranker)
    render_evaluation(report, output_format, by_query=by_query, quiet=quiet)

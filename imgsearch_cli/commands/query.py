"""`imgsearch query TEXT`: find photos by a description."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import click

from imgsearch_cli import exits
from imgsearch_cli.options import encoder_option, format_option, no_policy_option, policy_option, store_option


@click.command()
@click.argument("text", required=False)
@click.option(
    "--batch",
    type=click.File("r", encoding="utf-8", errors="surrogateescape"),
    metavar="FILE",
    help="Answer a query for each line of FILE, or of standard input where it is -, as JSON lines.",
)
@click.option("-k", type=click.IntRange(1, 10_000), default=10, show_default=True, help="How many photos are shown.")
@click.option(
    "--pool",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="How many candidates are retrieved and reranked.",
)
@click.option(
    "--min-score",
    type=click.FloatRange(0.0, 1.0),
    help="The least score of a match; 0 shows all.  [default: the reranker's own threshold]",
)
@format_option("table", "jsonl", "tsv", "paths")
@click.option("-0", "--null", is_flag=True, help="Paths only, each closed by a NUL, for 'xargs -0'.")
@store_option
@encoder_option
@policy_option
@no_policy_option
@click.pass_context
def query(
    context: click.Context,
    text: str | None,
    batch: TextIO | None,
    k: int,
    pool: int,
    min_score: float | None,
    output_format: str,
    null: bool,
    store: str | None,
    encoder: str | None,
    policy_file: Path | None,
    no_policy: bool,
) -> None:
    """Find the photos that TEXT describes.

    The score, from 0 to 1, says how well text and photo match as people would judge it.

    \b
    imgsearch query "dog on beach"
    imgsearch query "two men climbing a rock" -k 3 --format jsonl
    imgsearch query "sunset over water" -0 | xargs -0 cp -t ./sunsets
    imgsearch query --batch queries.txt > answers.jsonl

    A line of a batch is a text, or a JSON object with "query" and perhaps "k", "pool" and "min_score". Each is answered
    by a line of JSON, in order; a bad line by one with "line" and "error", and then the exit code is 2.
    """
    from index_store.machine import one_blas_thread

    one_blas_thread()
    from imgsearch_cli.render import render_answer, render_batch
    from index_store.search import Searcher

    if (text is None) == (batch is None):
        raise click.UsageError("name either a TEXT or a file with --batch")
    if null and output_format not in {"table", "paths"}:
        raise click.UsageError(f"-0 writes paths, not {output_format}; leave one of the two out")
    searcher = Searcher(store, encoder=encoder, policy_file=policy_file, withhold=not no_policy)
    if no_policy:
        click.echo("imgsearch: the compliance policy is off: nothing is withheld", err=True)
    if batch is not None:
        from index_store.batching import BatchRequest, answer_lines

        context.exit(render_batch(answer_lines(batch, searcher, BatchRequest("", k, pool, min_score))))
    assert text is not None
    answer = searcher.ask(text, k=k, pool=pool, min_score=min_score)
    if not context.obj["quiet"]:
        for warning in answer.warnings:
            click.echo(f"imgsearch: {warning}", err=True)
    if not answer.matches and not answer.refused:
        click.echo(f"nothing found: {answer.reason}", err=True)
        context.exit(exits.NOTHING_FOUND)
    render_answer(answer, "paths" if null else output_format, end=b"\0" if null else b"\n")
    if answer.refused or all(match.withheld for match in answer.matches):
        context.exit(exits.NOTICE)

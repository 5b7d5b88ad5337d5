"""`imgsearch query TEXT`: find photos by a description."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import click
from click.core import ParameterSource

from imgsearch_cli import exits
from imgsearch_cli.options import encoder_option, format_option, no_policy_option, policy_option, store_option
from imgsearch_cli.streams import say


@click.command()
@click.argument("text", required=False)
@click.option(
    "--batch",
    type=click.File("rb"),
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
    batch: BinaryIO | None,
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
    from imgsearch_cli.render import exit_code, render_answer, render_batch
    from index_store.queries.ask import Searcher

    _check_usage(context, text, batch, output_format, null=null)
    searcher = Searcher(store, encoder=encoder, policy_file=policy_file, withhold=not no_policy)
    if no_policy:
        say("imgsearch: the compliance policy is off: nothing is withheld")
    if batch is not None:
        from index_store.queries.batch import BatchRequest, answer_lines, bounded_lines

        defaults = BatchRequest("", k, pool, min_score)
        context.exit(render_batch(answer_lines(bounded_lines(batch), searcher, defaults)))
    assert text is not None
    answer = searcher.ask(text, k=k, pool=pool, min_score=min_score)
    if not context.obj["quiet"]:
        for warning in answer.warnings:
            say(f"imgsearch: {warning}")
    code = exit_code(answer)
    if code == exits.NOTHING_FOUND:
        say(f"nothing found: {answer.reason}")
    else:
        render_answer(answer, "paths" if null else output_format, end=b"\0" if null else b"\n")
    context.exit(code)


def _check_usage(
    context: click.Context, text: str | None, batch: BinaryIO | None, output_format: str, *, null: bool
) -> None:
    """Refuse options that exclude each other."""
    if (text is None) == (batch is None):
        raise click.UsageError("name either a TEXT or a file with --batch")
    if null and batch is not None:
        raise click.UsageError("-0 writes paths, and a batch is answered in JSON lines; leave one of the two out")
    if null and output_format not in {"table", "paths"}:
        raise click.UsageError(f"-0 writes paths, not {output_format}; leave one of the two out")
    given = context.get_parameter_source("output_format") is ParameterSource.COMMANDLINE
    if batch is not None and given and output_format != "jsonl":
        raise click.UsageError(f"a batch is answered in JSON lines, not as {output_format}; leave --format out")

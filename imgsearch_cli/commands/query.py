"""`imgsearch query TEXT`: find photos by a description, by photos, or by both."""

from __future__ import annotations

import os
import sys
from datetime import date
from pathlib import Path
from typing import BinaryIO

import click
from click.core import ParameterSource

from imgsearch_cli.completing import complete_files
from imgsearch_cli.options import (
    at_home,
    day,
    encoder_option,
    folders_option,
    format_option,
    language_option,
    no_policy_option,
    policy_option,
    store_option,
)
from imgsearch_cli.picture_output import refuse_for_batch, seeing_options, show_pictures
from imgsearch_cli.streams import say
from index_store.errors import UsageError
from index_store.paths import is_address
from index_store.question import Filters, Question


@click.command()
@click.argument("words", nargs=-1, metavar="[TEXT]...")
@click.option(
    "--like",
    multiple=True,
    callback=at_home,
    shell_complete=complete_files,
    metavar="PHOTO",
    help="Find photos like this file, indexed or not; - reads one from standard input. May be repeated.",
)
@click.option("--not", "away", multiple=True, metavar="TEXT", help="Keep away from TEXT. May be repeated.")
@folders_option
@click.option(
    "--after", callback=day, metavar="DATE", help="Only photos taken on that day (2021-06-14), month or year, or later."
)
@click.option("--before", callback=day, metavar="DATE", help="Only photos taken before that day, month or year.")
@click.option("--camera", default="", metavar="TEXT", help="Only photos whose camera's maker and model hold TEXT.")
@click.option("--landscape", "shape", flag_value="landscape", default="", help="Only photos wider than high.")
@click.option("--portrait", "shape", flag_value="portrait", help="Only photos higher than wide.")
@click.option(
    "--batch",
    type=click.File("rb"),
    metavar="FILE",
    help="Answer a query for each line of FILE, or of standard input where it is -, as JSON lines.",
)
@click.option(
    "-k", "-n", "k", type=click.IntRange(1, 10_000), default=10, show_default=True, help="How many photos are shown."
)
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
@seeing_options
@language_option
@store_option
@encoder_option
@policy_option
@no_policy_option
@click.pass_context
def query(
    context: click.Context,
    words: tuple[str, ...],
    like: tuple[str, ...],
    away: tuple[str, ...],
    folders: tuple[str, ...],
    after: date | None,
    before: date | None,
    camera: str,
    shape: str,
    batch: BinaryIO | None,
    k: int,
    pool: int,
    min_score: float | None,
    output_format: str,
    null: bool,
    language: str | None,
    store: str | None,
    encoder: str | None,
    policy_file: Path | None,
    no_policy: bool,
) -> None:
    """Find the photos that TEXT describes, or that are like a photo.

    The score, from 0 to 1, says how well text and photo match as people would judge it. With --like it is called
    similarity; a TEXT then says what shall be different.

    \b
    imgsearch query dog on beach
    imgsearch query two men climbing a rock -n 3 --json
    imgsearch query --like jacket.jpg in red --not snow
    imgsearch query party --in ~/Pictures --after 2021-06 --before 2021-09
    imgsearch query "sunset over water" -0 | xargs -0 cp -t ./sunsets
    imgsearch query a red door --html found.html --open
    imgsearch query --batch queries.txt > answers.jsonl
    imgsearch query собака на пляже

    Photos are dated by their camera, else by their file's time, and the answer says which.

    A line of a batch is a text, or a JSON object with "query" and perhaps "k", "pool", "min_score" and "language". Each
    is answered by a line of JSON, in order; a bad line by one with "line" and "error", and then the exit code is 2.
    """
    from index_store.machine import one_blas_thread

    one_blas_thread()
    from imgsearch_cli.render import render_batch, show_answer
    from index_store.queries.ask import Searcher

    text = " ".join(words) if words else None
    _check_usage(context, text, like, batch, output_format, null=null)
    filters = Filters(folders, after, before, camera, shape)
    question = Question(text or "", (), away, filters, k, pool, min_score)
    searcher = Searcher(store, encoder=encoder, policy_file=policy_file, withhold=not no_policy, language=language)
    if no_policy:
        say("imgsearch: the compliance policy is off: nothing is withheld")
    if batch is not None:
        refuse_for_batch(context)
        from index_store.queries.batch import answer_lines, bounded_lines

        context.exit(render_batch(answer_lines(bounded_lines(batch), searcher, question)))
    answer = searcher.ask(question.with_photos(_given(photo) for photo in like))
    if not context.obj["quiet"]:
        for warning in (*answer.warnings, *_hint(words, like)):
            say(f"imgsearch: {warning}")
    show_pictures(context, answer)
    quiet, days = bool(context.obj["quiet"]), after is not None or before is not None
    context.exit(show_answer(answer, "paths" if null else output_format, null=null, quiet=quiet, days=days))


def _given(photo: str) -> str | bytes:
    """Return a photo of --like as the library takes it: its file's name, its address, or what standard input holds."""
    if photo != "-":
        from index_store.photos.file_system import absolute

        return absolute(photo) if is_address(photo) else photo
    from index_store.photos.hashing import MAX_FILE_BYTES, too_large

    content = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    if not content:
        raise UsageError("--like -: standard input is empty; give it the bytes of a photo")
    if len(content) > MAX_FILE_BYTES:
        raise UsageError(f"--like -: {too_large()}")
    return content


def _hint(words: tuple[str, ...], like: tuple[str, ...]) -> tuple[str, ...]:
    """Return what to say where a text is the name of a photo."""
    name = " ".join(words)
    if like or not words or not os.path.splitext(name)[1] or not os.path.isfile(name):
        return ()
    return (f"{name} is a file; to search by the photo itself: imgsearch query --like PHOTO",)


def _check_usage(
    context: click.Context,
    text: str | None,
    like: tuple[str, ...],
    batch: BinaryIO | None,
    output_format: str,
    *,
    null: bool,
) -> None:
    """Refuse options that exclude each other."""
    asked = text is not None or bool(like)
    if asked == (batch is not None):
        raise click.UsageError("name a TEXT, a photo with --like, or a file with --batch")
    if like.count("-") > 1:
        raise click.UsageError("standard input holds one photo; name - once")
    if null and batch is not None:
        raise click.UsageError("-0 writes paths, and a batch is answered in JSON lines; leave one of the two out")
    if null and output_format not in {"table", "paths"}:
        raise click.UsageError(f"-0 writes paths, not {output_format}; leave one of the two out")
    given = context.get_parameter_source("output_format") is ParameterSource.COMMANDLINE
    if batch is not None and given and output_format != "jsonl":
        raise click.UsageError(f"a batch is answered in JSON lines, not as {output_format}; leave --format out")

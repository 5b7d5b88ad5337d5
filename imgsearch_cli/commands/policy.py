"""`imgsearch policy`: what the compliance policy says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgsearch_cli import exits
from imgsearch_cli.group import TopicGroup
from imgsearch_cli.options import (
    encoder_option,
    format_option,
    language_option,
    policy_option,
    store_option,
    wait_option,
)
from imgsearch_cli.streams import say
from index_store.errors import UsageError

if TYPE_CHECKING:
    from index_store.compliance.judging import Judgement, TextJudge

_PATIENCE = 60.0
"""Seconds for which a decision waits for another writer: `index --watch` frees the store sooner between two batches."""


@click.group(cls=TopicGroup)
def policy() -> None:
    """See what the compliance policy withholds and why; decide by hand.

    \b
    imgsearch policy check "two boys with water guns"
    imgsearch policy list
    """


@policy.command()
@click.argument("texts", metavar="TEXT...", nargs=-1, required=True)
@format_option("table", "jsonl")
@language_option
@policy_option
@click.pass_context
def check(
    context: click.Context,
    texts: tuple[str, ...],
    output_format: str,
    language: str | None,
    policy_file: Path | None,
) -> None:
    """Say for each TEXT whether it would be answered, and what the rule saw in it.

    The words are judged first; where they pass, a look at the text's embedding decides, as for a query.
    TEXT is one argument each; '-' reads one text a line from standard input. The exit code is 3 when any text is
    withheld, 0 otherwise.

    \b
    imgsearch policy check "baby elephant" "two boys with water guns"
    imgsearch policy check --format jsonl - < queries.txt
    """
    from imgsearch_cli.render_store import render_policy_check
    from index_store.compliance.judging import TextJudge
    from index_store.compliance.policy import load_policy
    from index_store.encoders.languages.reader import OtherLanguages

    judge = TextJudge(load_policy(policy_file), OtherLanguages(language))
    lines = _lines() if "-" in texts else []
    asked = [line for text in texts for line in (lines if text == "-" else [text])]
    verdicts = [(text, _judged(judge, text)) for text in asked]
    for warning in sorted({verdict.warning for _, verdict in verdicts if verdict.warning}):
        click.echo(f"imgsearch: {warning}", err=True)
    render_policy_check(verdicts, output_format)
    if any(verdict.withheld for _, verdict in verdicts):
        context.exit(exits.NOTICE)


@policy.command(name="list")
@store_option
@encoder_option
@policy_option
@format_option("table", "jsonl")
@click.option("--log", is_flag=True, help="Show the decisions by hand instead, as JSON lines, the oldest first.")
def list_(store: str | None, encoder: str | None, policy_file: Path | None, output_format: str, log: bool) -> None:
    """Name the photos that are withheld, with reason and probability. No other command names them.

    \b
    imgsearch policy list
    imgsearch policy list --log
    """
    from imgsearch_cli.render_store import render_decisions, render_withheld
    from index_store.library import Library

    library = Library(store, encoder, policy_file)
    if log:
        render_decisions(library.decisions())
    else:
        render_withheld(library.withheld(), output_format)


@policy.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(), metavar="PATH...")
@click.option("--reason", default="", help="Why; written to the log.")
@store_option
@encoder_option
@wait_option
def withhold(paths: tuple[str, ...], reason: str, store: str | None, encoder: str | None, wait: bool) -> None:
    """Withhold the photos at or below PATH..., whatever the rule says; copies and moved files too.

    A decision goes before what else wants to write, and waits a minute for who writes now; --wait waits longer.

    \b
    imgsearch policy withhold ./wedding/0231.jpg --reason "the bride's nephew"
    """
    _decide(paths, store, encoder, wait, withheld=True, reason=reason)


@policy.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(), metavar="PATH...")
@click.option("--reason", default="", help="Why; written to the log.")
@store_option
@encoder_option
@wait_option
def allow(paths: tuple[str, ...], reason: str, store: str | None, encoder: str | None, wait: bool) -> None:
    """Allow the photos at or below PATH..., whatever the rule says; copies and moved files too.

    \b
    imgsearch policy allow ./team/portrait.jpg --reason "all are adults, checked by HR"
    """
    _decide(paths, store, encoder, wait, withheld=False, reason=reason)


def _decide(
    paths: tuple[str, ...], store: str | None, encoder: str | None, wait: bool, *, withheld: bool, reason: str
) -> None:
    from index_store.library import Library
    from index_store.photos.file_system import absolute

    library = Library(store, encoder, wait=wait or _PATIENCE)
    count = library.decide([absolute(path) for path in paths], withhold=withheld, reason=reason)
    say(f"{count} photos {'withheld' if withheld else 'allowed'} by hand")


def _judged(judge: TextJudge, text: str) -> Judgement:
    """Return the judgement; a text in a language that is not searched is not answered either."""
    from index_store.compliance.judging import Judgement

    try:
        return judge.judge(text)
    except UsageError as error:
        return Judgement(text, True, str(error))


def _lines() -> list[str]:
    """Return the lines of standard input; bytes that are no UTF-8 are replaced, and judged as what is left."""
    text = sys.stdin.buffer.read().decode("utf-8", "replace")
    return [line.removesuffix("\r") for line in text.split("\n") if line.strip()]

"""`imgsearch check`: verify a store, and mend what can be mended."""

from __future__ import annotations

from pathlib import Path

import click

from imgsearch_cli import exits
from imgsearch_cli.options import encoder_option, format_option, policy_option, store_option, wait_option


@click.command()
@store_option
@encoder_option
@policy_option
@click.option("--repair", is_flag=True, help="Drop rows that are broken; the next index run makes them again.")
@click.option("--deep", is_flag=True, help="Read every photo, and compare it with what was indexed.")
@format_option("table", "jsonl")
@wait_option
@click.pass_context
def check(
    context: click.Context,
    store: str | None,
    encoder: str | None,
    policy_file: Path | None,
    repair: bool,
    deep: bool,
    output_format: str,
    wait: bool,
) -> None:
    """Verify the store: manifest, rows, vectors, files that are gone, and that the search finds what is stored.

    The exit code is 0 for a sound store and 2 where something is left to mend.

    \b
    imgsearch check
    imgsearch check --repair && imgsearch index
    """
    from imgsearch_cli.render_store import render_findings
    from index_store.library import Library

    findings, mended = Library(store, encoder, policy_file, wait).check(repair=repair, deep=deep)
    render_findings(findings, output_format, mended if repair else None)
    if [finding for finding in findings if not (repair and finding.mendable)]:
        context.exit(exits.ERROR)

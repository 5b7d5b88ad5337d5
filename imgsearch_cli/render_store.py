"""What index, status, check and policy show of a store."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

import click
from rich import box
from rich.table import Table
from rich.text import Text

from imgsearch_cli.writing import one_field, printable, relative, render_facts, stdout_console, write_json

if TYPE_CHECKING:
    from index_store.checking import Finding
    from index_store.compliance.decisions import Decision
    from index_store.compliance.judging import Judgement
    from index_store.planning import IndexPlan
    from index_store.records import IndexReport, Skipped, StoredPhoto, StoreStatus


def render_index_report(report: IndexReport) -> None:
    """Write the summary of an index run to standard error."""
    counts = {
        "added": report.added,
        "changed": report.changed,
        "moved": report.moved,
        "unchanged": report.unchanged + report.touched,
        "removed": report.removed,
        "skipped": len(report.skipped),
    }
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count or word in {"added", "unchanged"})
    rate = f"; {report.encoded} embedded at {report.photos_per_second:.1f} photos/s" if report.encoded else ""
    withheld = f"; {report.withheld} in the store withheld by the policy" if report.withheld else ""
    click.echo(f"{told} in {report.seconds:.1f} s{rate}{withheld}", err=True)


def render_plan(plan: IndexPlan, hidden: Collection[str]) -> None:
    """Write what an index run would do: a line for each photo, its change and its path, tab-separated.

    Photos in `hidden` are counted and not named.
    """
    changes = {"added": plan.added, "changed": plan.changed, "moved": plan.moved, "removed": plan.removed}
    for change, image_ids in changes.items():
        for image_id in sorted(set(image_ids) - set(hidden)):
            click.echo(change.encode() + b"\t" + one_field(image_id))
    render_skipped(plan.skipped)
    told = ", ".join(f"{len(image_ids)} {change}" for change, image_ids in changes.items() if image_ids)
    click.echo(f"{told or 'nothing to do'}; {plan.unchanged + len(plan.touched)} unchanged; nothing was done", err=True)


def render_skipped(skipped: Iterable[Skipped]) -> None:
    """Name what was skipped and the reason on standard error."""
    for skip in skipped:
        what = "a withheld photo" if skip.path is None else printable(relative(skip.path))
        click.echo(f"skipped {what}: {skip.reason}", err=True)


def render_findings(findings: Sequence[Finding], output_format: str, mended: int | None) -> None:
    """Write what is wrong with a store; withheld photos are not named."""
    for finding in findings:
        path = None if finding.withheld else relative(finding.image_id)
        if output_format == "jsonl":
            write_json({"path": path, "problem": finding.problem, "mendable": finding.mendable})
        else:
            click.echo(f"{printable(path) if path is not None else 'a withheld photo'}: {finding.problem}")
    done = "" if mended is None else f"; {mended} rows dropped, 'imgsearch index' makes them anew"
    click.echo(f"{len(findings) or 'no'} problems found{done}", err=True)


def render_status(status: StoreStatus, output_format: str) -> None:
    """Write what is known of a store."""
    if output_format == "jsonl":
        write_json({name: getattr(status, name) for name in status.__dataclass_fields__})
        return
    rows = {
        "store": printable(status.store),
        "photos": f"{status.photos:,}, {status.withheld:,} withheld, {status.decided_by_hand:,} decided by hand",
        "roots": "\n".join(printable(root) for root in status.roots) or "none",
        "encoder": f"{status.encoder}, {status.dimension} dimensions",
        "reranker": status.reranker,
        "policy": status.policy,
        "on disk": "on a server" if status.bytes_on_disk is None else f"{status.bytes_on_disk / 1e6:.1f} MB",
        "last indexed": status.indexed_at or "never",
        "schema": str(status.schema),
    }
    render_facts(rows.items())


def render_policy_check(verdicts: Sequence[tuple[str, Judgement]], output_format: str) -> None:
    """Write what the rule for texts decided about each text, in order."""
    if output_format == "jsonl":
        for text, verdict in verdicts:
            write_json({"text": text, "withheld": verdict.withheld, "reason": verdict.reason})
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("answer", no_wrap=True)
    table.add_column("text", overflow="fold")
    table.add_column("reason", overflow="fold", style="dim")
    for text, verdict in verdicts:
        answer = Text("withheld", style="red") if verdict.withheld else Text("clean", style="green")
        table.add_row(answer, Text(printable(text)), Text(printable(verdict.reason)))
    stdout_console().print(table)


def render_withheld(photos: Sequence[StoredPhoto], output_format: str) -> None:
    """Write the withheld photos with reason and probability: the one place that names them."""
    if output_format == "jsonl":
        for photo in photos:
            verdict = photo.verdict
            row = {"path": relative(photo.image_id), "probability": round(verdict.probability, 4)}
            write_json(row | {"reason": verdict.reason, "by_hand": verdict.by_hand})
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("probability", justify="right", no_wrap=True)
    table.add_column("photo", overflow="fold")
    table.add_column("reason", overflow="fold", style="dim")
    for photo in photos:
        cells = Text(printable(relative(photo.image_id))), Text(printable(photo.verdict.reason))
        table.add_row(f"{photo.verdict.probability:.2f}", *cells)
    stdout_console().print(table)


def render_decisions(decisions: Sequence[Decision]) -> None:
    """Write the log of decisions by hand as JSON lines, the oldest first."""
    for decision in decisions:
        what = "withhold" if decision.withheld else "allow"
        row = {"time": decision.time, "user": decision.user, "decision": what, "path": decision.path}
        write_json(row | {"reason": decision.reason, "content_hash": decision.content_hash})

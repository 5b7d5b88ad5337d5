"""What index, status, check and policy show of a store."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from imgsearch_cli.escaping import printable, relative
from imgsearch_cli.output import render_facts, stdout_console, write_fields, write_json, write_line
from imgsearch_cli.path_cell import PathCell
from imgsearch_cli.streams import say
from index_store.paths import shown_place

if TYPE_CHECKING:
    from index_store.compliance.decisions import Decision
    from index_store.compliance.judging import Judgement
    from index_store.indexing.plan import IndexPlan
    from index_store.records import IndexReport, PassedOver, Skipped, StoredPhoto, StoreStatus
    from index_store.store.check import Finding

_MOST_NAMES = 10
"""Suffixes or folder names that one line tells."""

_WITHHELD = "a withheld photo"


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
    counted = ", ".join(f"{count} {word}" for word, count in counts.items() if count or word in {"added", "unchanged"})
    rate = f"; {report.encoded} embedded at {report.photos_per_second:.1f} photos/s" if report.encoded else ""
    withheld = f"; {report.withheld} in the store withheld by the policy" if report.withheld else ""
    withheld += "; review them with 'imgsearch policy list'" if report.withheld else ""
    render_passed_over(report.passed_over)
    say(f"{counted} in {report.seconds:.1f} s{rate}{withheld}")


def render_settings(path: str, there: bool, rows: Iterable[tuple[str, str, str]], output_format: str) -> None:
    """Write the settings that hold: name, value, and where it comes from."""
    if output_format == "jsonl":
        write_json({"file": path, "exists": there})
        for name, value, source in rows:
            write_json({"setting": name, "value": value, "from": source})
        return
    render_facts([("file", path if there else f"{path} (there is none)")])
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("setting", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("from", style="dim", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    stdout_console().print(table)


def render_passed_over(passed_over: PassedOver) -> None:
    """Tell on standard error what was left out although nothing is wrong with it: a line for each reason."""
    if passed_over.formats:
        files = _files(sum(passed_over.formats.values()), "file")
        say(f"{files} in formats that are not read: {_counted(passed_over.formats)}")
    if passed_over.rubbish:
        folders = _files(sum(passed_over.rubbish.values()), "folder")
        say(f"{folders} of trash, thumbnails and the like passed over: {_counted(passed_over.rubbish)}")
    if passed_over.paired:
        files = _files(passed_over.paired, "camera RAW file")
        say(f"{files} passed over for the JPEG of the same name and moment; --keep-raw shows both")


def render_warnings(passed_over: PassedOver) -> None:
    """Tell on standard error what the user can do about what was left out."""
    if passed_over.raw:
        files = _files(passed_over.raw, "camera RAW file")
        say(f"skipped {files}; to read them, pip install 'imgsearch-cli[raw]'")
    for pattern in passed_over.unused:
        say(f"--exclude {printable(pattern)}: matched nothing; patterns count from the folder that is indexed")


def _files(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _counted(counts: Mapping[str, int]) -> str:
    """Return names with their counts, the most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    more = [f"{len(ordered) - _MOST_NAMES} more kinds"] if len(ordered) > _MOST_NAMES else []
    return ", ".join([*(f"{printable(name)} {count:,}" for name, count in ordered[:_MOST_NAMES]), *more])


def render_plan(plan: IndexPlan, hidden: Collection[str]) -> None:
    """Write what an index run would do: a line for each photo, its change and its path, tab-separated.

    Photos in `hidden` are counted and not named.
    """
    changes = {"added": plan.added, "changed": plan.changed, "moved": plan.moved, "removed": plan.removed}
    for change, image_ids in changes.items():
        for image_id in sorted(set(image_ids) - set(hidden)):
            write_fields(change, relative(image_id))
    render_skipped(plan.skipped)
    render_warnings(plan.passed_over)
    render_passed_over(plan.passed_over)
    counted = ", ".join(f"{len(image_ids)} {change}" for change, image_ids in changes.items() if image_ids)
    unchanged = f"{plan.unchanged + len(plan.touched)} unchanged"
    say(f"{counted}; {unchanged}; nothing was done" if counted else f"nothing to do; {unchanged}")


def render_skipped(skipped: Iterable[Skipped]) -> None:
    """Name what was skipped and the reason on standard error."""
    for skip in skipped:
        say(f"skipped {_WITHHELD if skip.path is None else relative(skip.path)}: {skip.reason}")


def render_notes(notes: Iterable[Skipped]) -> None:
    """Name what was indexed although something is wrong with it, and what that is, on standard error."""
    for note in notes:
        what = _WITHHELD if note.path is None else printable(relative(note.path))
        say(f"indexed {what}: {note.reason}")


def render_findings(findings: Sequence[Finding], output_format: str, mended: int | None) -> None:
    """Write what is wrong with a store; withheld photos are not named."""
    for finding in findings:
        path = None if finding.path is None else relative(finding.path)
        if output_format == "jsonl":
            write_json({"path": path, "problem": finding.problem, "mendable": finding.mendable})
        else:
            write_line(f"{_WITHHELD if path is None else path}: {finding.problem}")
    done = "" if mended is None else f"; {mended} rows dropped, 'imgsearch index' makes them again"
    say(f"{len(findings) or 'no'} {'problem' if len(findings) == 1 else 'problems'} found{done}")


def render_status(status: StoreStatus, output_format: str) -> None:
    """Write what is known of a store."""
    if output_format == "jsonl":
        facts = {name: getattr(status, name) for name in status.__dataclass_fields__}
        write_json(facts | {"store": shown_place(status.store)})
        return
    rows = {
        "store": shown_place(status.store),
        "photos": f"{status.photos:,}, {status.withheld:,} withheld, {status.decided_by_hand:,} decided by hand",
        **({"": "review those withheld with 'imgsearch policy list'"} if status.withheld else {}),
        "roots": "\n".join(printable(root) for root in status.roots) or "none",
        "encoder": f"{status.encoder}, {status.dimension} dimensions",
        **_other_encoders(status),
        **_languages(status),
        "reranker": status.reranker,
        "policy": status.policy,
        "on disk": "on a server" if status.bytes_on_disk is None else f"{status.bytes_on_disk / 1e6:.1f} MB",
        "last indexed": _local(status.indexed_at) if status.indexed_at else "never",
        "schema": str(status.schema),
    }
    render_facts(rows.items())


def _local(moment: str) -> str:
    """Return a moment as the clock here shows it."""
    try:
        return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:  # a store may come from anywhere
        return moment


def _other_encoders(status: StoreStatus) -> dict[str, str]:
    others = [f"{name}, {_files(count, 'photo')}" for name, count in status.encoders.items() if name != status.encoder]
    return {"other encoders": "\n".join(map(printable, others))} if others else {}


def _languages(status: StoreStatus) -> dict[str, str]:
    towers = sorted(set(status.languages.values()), key=list(status.languages.values()).index)
    lines = [", ".join(code for code in status.languages if status.languages[code] == name) for name in towers]
    return (
        {"languages": "\n".join(f"{codes}: {name}" for codes, name in zip(lines, towers, strict=True))} if lines else {}
    )


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
    table.add_column("photo", overflow="fold", ratio=3)
    table.add_column("reason", overflow="fold", style="dim", ratio=2)
    for photo in photos:
        path = PathCell(printable(relative(photo.image_id)), photo.image_id)
        table.add_row(f"{photo.verdict.probability:.2f}", path, Text(printable(photo.verdict.reason)))
    stdout_console().print(table)


def render_decisions(decisions: Sequence[Decision]) -> None:
    """Write the log of decisions by hand as JSON lines, the oldest first."""
    for decision in decisions:
        what = "withhold" if decision.withheld else "allow"
        row = {"time": decision.time, "user": decision.user, "decision": what, "path": decision.path}
        write_json(row | {"reason": decision.reason, "content_hash": decision.content_hash})

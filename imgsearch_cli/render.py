"""What commands show: rich tables for people, jsonl, tsv and paths for scripts."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from imgsearch_cli import exits
from index_store.records import Answer

if TYPE_CHECKING:
    from index_store.batching import BatchError
    from index_store.checking import Finding
    from index_store.compliance.decisions import Decision
    from index_store.compliance.texts import TextVerdict
    from index_store.compliance.training import PhotoRuleReport
    from index_store.encoders.listing import ListedEncoder
    from index_store.neural.dual_training import EncoderReport
    from index_store.planning import IndexPlan
    from index_store.records import IndexReport, Match, Skipped, StoredPhoto, StoreStatus
    from index_store.relevance.evaluation import EvaluationReport
    from index_store.relevance.study import Study
    from index_store.relevance.training import TrainingReport

_BAR_CELLS = 8
_BLOCKS = " ▏▎▍▌▋▊▉█"
_UNBOUNDED = 100_000


def stdout_console() -> Console:
    """Return the console for results; in a pipe lines are as long as they need to be."""
    return Console(highlight=False, soft_wrap=False, width=None if sys.stdout.isatty() else _UNBOUNDED)


# -- query -----------------------------------------------------------------------------------------------------------


def render_answer(answer: Answer, output_format: str, *, end: bytes = b"\n") -> None:
    """Write an answer in one of the formats `table`, `jsonl`, `tsv` and `paths`; `end` closes each path of `paths`."""
    if output_format == "jsonl":
        _write_answer_jsonl(answer)
        return
    if output_format == "table":
        stdout_console().print(answer.notice if answer.refused else answer_table(answer))
        return
    # nothing that is withheld reaches standard output here, so the notice goes where people read
    if answer.notice:
        click.echo(answer.notice, err=True)
    for match in answer.matches:
        if match.image_id is not None:
            click.echo(_path_line(match, output_format), nl=False)
            click.echo(end if output_format == "paths" else b"\n", nl=False)


def answer_table(answer: Answer) -> Table:
    """Return the table of an answer: rank, score with a small bar, photo, size in pixels."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("rank", justify="right", style="dim")
    table.add_column("score" if answer.calibrated else "similarity", no_wrap=True)
    table.add_column("photo", overflow="fold", ratio=1)
    table.add_column("size", justify="right", no_wrap=True, style="dim")
    for match in answer.matches:
        shown = Text(answer.notice or "", style="italic") if match.withheld else Text(printable(shown_path(match)))
        size = "" if match.width is None else f"{match.width} × {match.height}"
        table.add_row(str(match.rank), _score_cell(match.score), shown, size)
    return table


def _score_cell(score: float) -> Text:
    eighths = round(min(max(score, 0.0), 1.0) * _BAR_CELLS * 8)
    full, rest = divmod(eighths, 8)
    bar = (_BLOCKS[8] * full + (_BLOCKS[rest] if rest else "")).ljust(_BAR_CELLS)
    style = "green" if score >= 0.6 else "yellow" if score >= 0.3 else "red"
    return Text.assemble(f"{score:.2f} ", (bar, style))


def render_batch(answers: Iterable[Answer | BatchError]) -> int:
    """Write a JSON line for each answer as it comes, and return the exit code."""
    code = exits.NOTHING_FOUND
    for answer in answers:
        if not isinstance(answer, Answer):
            write_json({"line": answer.line, "error": answer.error})
            code = exits.ERROR
            continue
        row: dict[str, object] = {"query": answer.query, "withheld": answer.refused}
        row |= {"notice": answer.notice} if answer.refused else {"matches": list(_match_rows(answer))}
        write_json(row)
        if answer.matches and code == exits.NOTHING_FOUND:
            code = exits.FOUND
    return code


def _write_answer_jsonl(answer: Answer) -> None:
    if answer.refused:
        write_json({"query": answer.query, "withheld": True, "notice": answer.notice})
    for row in _match_rows(answer):
        write_json(row)


def _match_rows(answer: Answer) -> Iterator[dict[str, object]]:
    for match in answer.matches:
        row: dict[str, object] = {"rank": match.rank, "score": round(match.score, 6)}
        row["similarity"] = round(match.similarity, 6)
        row |= {} if answer.calibrated else {"calibrated": False}
        if match.image_id is None:
            row |= {"withheld": True, "notice": answer.notice}
        else:
            row |= {
                "withheld": False,
                "path": shown_path(match),
                "image_id": match.image_id,
                "width": match.width,
                "height": match.height,
            }
        yield row


def _path_line(match: Match, output_format: str) -> bytes:
    if output_format == "paths":
        return os.fsencode(shown_path(match))
    path = _one_field(match.image_id or "")
    return b"%d\t%.6f\t%s\t%d\t%d" % (match.rank, match.score, path, match.width or 0, match.height or 0)


def _one_field(image_id: str) -> bytes:
    """Return a shown path as a field of a tab-separated line: backslash, tab and line ends are escaped."""
    path = os.fsencode(relative(image_id))
    for raw, escaped in ((b"\\", b"\\\\"), (b"\t", b"\\t"), (b"\n", b"\\n"), (b"\r", b"\\r")):
        path = path.replace(raw, escaped)
    return path


def shown_path(match: Match) -> str:
    """Return the path of a match, relative to the working directory where it lies below it."""
    return relative(match.image_id or "")


def relative(path: str) -> str:
    """Return `path` relative to the working directory where it lies below it, else as it is."""
    here = os.getcwd().rstrip(os.sep) + os.sep
    return path[len(here) :] if path.startswith(here) else path


def printable(path: str) -> str:
    """Return a path as a terminal may show it: control characters and bytes that are no text are escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def write_json(row: Mapping[str, object]) -> None:
    """Write one JSON object as a line; bytes of a path that are no UTF-8 become lone surrogate escapes."""
    line = json.dumps(row, ensure_ascii=False)
    try:
        line.encode("utf-8")
    except UnicodeEncodeError:
        line = json.dumps(row)
    click.echo(line.encode("utf-8"))


# -- index and status ------------------------------------------------------------------------------------------------


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
            click.echo(change.encode() + b"\t" + _one_field(image_id))
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


def render_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Write names and values as a table without lines."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, value)
    stdout_console().print(table)


# -- policy ----------------------------------------------------------------------------------------------------------


def render_policy_check(verdicts: Sequence[tuple[str, TextVerdict]], output_format: str) -> None:
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


# -- train minors ----------------------------------------------------------------------------------------------------


def render_photo_rule(report: PhotoRuleReport) -> None:
    """Write what training the rule for photos found: the study, then a table of thresholds for each set of photos."""
    study = Table("model", "average precision", box=box.SIMPLE_HEAD, pad_edge=False)
    for name, value in sorted(report.study.items(), key=lambda each: -each[1]):
        study.add_row(f"{name} (kept)" if name == report.kept else name, f"{value:.4f}")
    stdout_console().print(study)
    for name, measured in {f"validation: {report.trusted}": report.validation, **report.evaluation}.items():
        title = f"{name}; {measured.positives} of {measured.photos} show a child; average precision "
        click.echo(f"{title}{measured.average_precision:.4f}, Brier score {measured.brier:.4f}")
        table = Table("threshold", "recall", "precision", "harmless withheld", box=box.SIMPLE_HEAD, pad_edge=False)
        for row in measured.rows:
            table.add_row(
                f"{row.threshold:.2f}", f"{row.recall:.3f}", f"{row.precision:.3f}", f"{row.harmless_withheld:.3f}"
            )
        stdout_console().print(table)
    click.echo(f"wrote {report.version} for the encoder {report.encoder}", err=True)


# -- train reranker, evaluate, study ---------------------------------------------------------------------------------


def render_training(report: TrainingReport, *, quiet: bool) -> None:
    """Write the figures of a training run on held-out photos, the constant predictor's beside them."""
    if not quiet:
        for note in report.notes:
            click.echo(note, err=True)
        if report.filter_report is not None:
            click.echo(str(report.filter_report), err=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("metric")
    table.add_column(report.options.model, justify="right")
    table.add_column("constant", justify="right", style="dim")
    for metric, value in report.metrics.items():
        beside = f"{report.constant[metric]:.4f}" if metric in report.constant else ""
        table.add_row(metric, f"{value:.4f}", beside)
    table.add_row("RMSE / constant", f"{report.rmse_ratio:.4f}", "1.0000")
    stdout_console().print(table)
    told = f"{report.valid_pairs:,} pairs of {report.valid_photos:,} held-out photos; min score {report.min_score:.2f}"
    if report.absent_answered is not None and report.real_answered is not None:
        told += f" (answers {report.absent_answered:.0%} of absent and {report.real_answered:.0%} of real queries)"
    if not quiet:
        click.echo(f"{told}; wrote {report.version} for {report.encoder} in {report.seconds:.0f} s", err=True)


def render_evaluation(report: EvaluationReport, output_format: str, *, by_query: bool, quiet: bool) -> None:
    """Write all figures, and with `by_query` the rank of each query's photo."""
    if not quiet:
        for note in report.notes:
            click.echo(note, err=True)
    if output_format == "jsonl":
        for row in report.rows:
            write_json(row.as_json())
        for query in report.queries if by_query else ():
            for stage, rank in (("retrieval", query.rank_retrieval), ("reranked", query.rank_reranked)):
                told = {"subset": query.subset, "stage": stage, "metric": "rank", "value": rank, "n": 1}
                write_json(told | {"gallery": query.gallery, "query_id": query.query_id, "query": query.query})
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("subset", "stage", "metric"):
        table.add_column(column)
    for column in ("value", "n", "gallery"):
        table.add_column(column, justify="right")
    for row in report.rows:
        value = f"{row.value:,.0f}" if row.stage == "policy" else f"{row.value:.4f}"
        gallery = "" if row.gallery is None else f"{row.gallery:,}"
        table.add_row(row.subset, row.stage, row.metric, value, f"{row.n:,}", gallery)
    stdout_console().print(table)
    if by_query:
        stdout_console().print(_ranks_table(report))


def _ranks_table(report: EvaluationReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("subset", "query"):
        table.add_column(column, overflow="fold")
    for column in ("retrieved", "reranked", "score"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in report.queries:
        ranks = str(row.rank_retrieval), str(row.rank_reranked)
        table.add_row(row.subset, Text(printable(row.query)), *ranks, f"{row.score:.2f}")
    return table


def render_study(study: Study) -> None:
    """Write the study's rows, block by block; a row that could not run says why."""
    for block in study.blocks():
        table = Table(title=block, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("row", overflow="fold")
        for column in ("RMSE", "constant", "ratio", "tau-c", "ECE", "pairs"):
            table.add_column(column, justify="right", no_wrap=True)
        for row in study.rows_of(block):
            table.add_row(row.name, *row.cells())
        stdout_console().print(table)


# -- encoders --------------------------------------------------------------------------------------------------------


def render_encoders(encoders: Sequence[ListedEncoder], output_format: str) -> None:
    """Write what can be used as an encoder here, and what is missing for the rest."""
    if output_format == "jsonl":
        for encoder in encoders:
            row = {name: getattr(encoder, name) for name in encoder.__dataclass_fields__}
            write_json({**row, "usable": encoder.usable, "missing": encoder.missing or None})
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("encoder", "kind", "dimension", "reranker", "photo rule"):
        table.add_column(column, no_wrap=column != "encoder")
    table.add_column("here", overflow="fold", ratio=1)
    for encoder in encoders:
        told = [str(encoder.dimension), *("yes" if has else "no" for has in (encoder.reranker, encoder.photo_rule))]
        here = f"needs: {encoder.missing}" if encoder.missing else f"usable, as {encoder.name}"
        cells = told if encoder.name else [""] * 3
        table.add_row(Text(printable(encoder.encoder)), encoder.kind, *cells, Text(printable(here)))
    stdout_console().print(table)


# -- train encoder ---------------------------------------------------------------------------------------------------


def render_encoder_report(report: EncoderReport) -> None:
    """Write the validation curve of an encoder's training and what was exported."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("epoch", "R@1", "R@5", "R@10", "gallery"):
        table.add_column(column, justify="right")
    shipped = [("exported", report.shipped)] if report.shipped else []
    for name, recall in [*((str(recall.epoch), recall) for recall in report.curve), *shipped]:
        figures = (f"{value:.3f}" for value in (recall.at_1, recall.at_5, recall.at_10))
        table.add_row(name, *figures, str(recall.gallery))
    console = stdout_console()
    if table.row_count:
        console.print(table)
    facts = {"encoder": report.name, "folder": printable(str(report.folder))}
    facts["trained on"] = f"{report.photos:,} photos, {report.captions:,} captions, {report.seconds / 60:.0f} minutes"
    for tower, cosines in report.parity.items():
        facts[f"{tower}, cosine to the original"] = f"at least {cosines['least']:.4f}, mean {cosines['mean']:.4f}"
    render_facts(facts.items())

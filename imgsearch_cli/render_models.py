"""What encoders, train, evaluate and study show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from imgsearch_cli.escaping import printable
from imgsearch_cli.output import render_facts, stdout_console, write_json, write_line
from imgsearch_cli.streams import say
from index_store.encoders.published import MEASURED_ON, SOURCE

if TYPE_CHECKING:
    from index_store.encoders.listing import ListedEncoder
    from index_store.training.encoder.write_encoder import EncoderReport
    from index_store.training.evaluate.evaluation import EvaluationReport
    from index_store.training.languages.train import LanguageReport
    from index_store.training.photo_rule.train import PhotoRuleReport
    from index_store.training.reranker.train import TrainingReport
    from index_store.training.study.rows import Study
    from index_store.training.text_look.train import TextLookReport

_WIDE = 120
"""Columns of a terminal from which a wide table can be read."""


def render_encoders(encoders: Sequence[ListedEncoder], output_format: str) -> None:
    """Write what can be used as an encoder here, what it costs and brings, and what is missing for the rest."""
    if output_format == "jsonl":
        for encoder in encoders:
            row = {name: getattr(encoder, name) for name in encoder.__dataclass_fields__}
            published = encoder.published and {**asdict(encoder.published), "source": SOURCE}
            write_json({**row, "published": published, "usable": encoder.usable, "missing": encoder.missing or None})
        return
    console = stdout_console()
    console.print(_short_table(encoders) if console.width < _WIDE else _wide_table(encoders))
    write_line(f"R@1: {MEASURED_ON}, published by {SOURCE}")
    for encoder in encoders:
        if encoder.best:
            reason = "the highest published recall" if encoder.published else "of no other here a recall is published"
            write_line(f"best of those that are here: {encoder.encoder} ({reason})")


def _wide_table(encoders: Sequence[ListedEncoder]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("encoder", "kind", "dimension", "reranker", "photo rule"):
        table.add_column(column, no_wrap=column != "encoder", overflow="fold")
    for column in ("MB", "R@1"):
        table.add_column(column, no_wrap=True, justify="right")
    table.add_column("licence", no_wrap=True)
    table.add_column("here", overflow="fold", ratio=1)
    for encoder in encoders:
        parts = [str(encoder.dimension), *("yes" if has else "no" for has in (encoder.reranker, encoder.photo_rule))]
        cells = parts if encoder.name else [""] * 3
        known = encoder.published
        costs = _size(encoder), f"{known.flickr30k:.3f}" if known else "", known.licence if known else ""
        table.add_row(Text(printable(encoder.encoder)), encoder.kind, *cells, *costs, _here(encoder))
    return table


def _short_table(encoders: Sequence[ListedEncoder]) -> Table:
    """Return a table for narrow terminals, with what is known of an encoder in one cell."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("encoder", overflow="fold", ratio=2)
    table.add_column("here", overflow="fold", ratio=3)
    for encoder in encoders:
        has = [word for word, there in (("reranker", encoder.reranker), ("photo rule", encoder.photo_rule)) if there]
        parts = [encoder.kind, *([f"{encoder.dimension} dimensions", *has] if encoder.name else [])]
        parts += [f"{_size(encoder)} MB"] if encoder.megabytes else []
        parts += [f"R@1 {encoder.published.flickr30k:.3f}", encoder.published.licence] if encoder.published else []
        table.add_row(Text(printable(encoder.encoder)), Text.assemble(", ".join(parts), "\n", _here(encoder)))
    return table


def _size(encoder: ListedEncoder) -> str:
    return "" if encoder.megabytes is None else f"{encoder.megabytes:,}"


def _here(encoder: ListedEncoder) -> Text:
    return Text(printable(f"needs: {encoder.missing}" if encoder.missing else f"usable, as {encoder.name}"))


def render_encoder_report(report: EncoderReport) -> None:
    """Write the validation curve of an encoder's training and what was exported."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("epoch", "R@1", "R@5", "R@10", "gallery", "held out of"):
        table.add_column(column, justify="right")
    shipped = [("exported", recall) for recall in report.shipped]
    for name, recall in [*((str(recall.epoch), recall) for recall in report.curve), *shipped]:
        figures = (f"{value:.3f}" for value in (recall.at_1, recall.at_5, recall.at_10))
        table.add_row(name, *figures, str(recall.gallery), printable(recall.data))
    console = stdout_console()
    if table.row_count:
        console.print(table)
    facts = {"encoder": report.name, "folder": printable(str(report.folder))}
    facts["trained on"] = f"{report.photos:,} photos, {report.captions:,} captions, {report.seconds / 60:.0f} minutes"
    for tower, cosines in report.parity.items():
        facts[f"{tower}, cosine to the original"] = f"at least {cosines['least']:.4f}, mean {cosines['mean']:.4f}"
    render_facts(facts.items())


def render_photo_rule(report: PhotoRuleReport) -> None:
    """Write what training the rule for photos found: the study, then a table of thresholds for each set of photos."""
    parts = list(next(iter(report.study.values())))
    study = Table("average precision of", *parts, box=box.SIMPLE_HEAD, pad_edge=False)
    for name, found in report.study.items():
        study.add_row(f"{name} (kept)" if name == report.kept else name, *(f"{found[part]:.4f}" for part in parts))
    stdout_console().print(study)
    for name, measured in report.evaluation.items():
        title = f"{name}; {measured.positives} of {measured.photos} show a child; average precision "
        write_line(f"{title}{measured.average_precision:.4f}, Brier score {measured.brier:.4f}")
        table = Table("threshold", "recall", "precision", "harmless withheld", box=box.SIMPLE_HEAD, pad_edge=False)
        for row in measured.rows:
            table.add_row(
                f"{row.threshold:.2f}", f"{row.recall:.3f}", f"{row.precision:.3f}", f"{row.harmless_withheld:.3f}"
            )
        stdout_console().print(table)
    say(f"wrote {report.version} for the encoder {report.encoder}; advised threshold {report.threshold:g}")


def render_text_look(report: TextLookReport) -> None:
    """Write what training the look at texts found: both errors by threshold, on texts that were left out."""
    table = Table("texts left out", "threshold", "recall", "false alarms", box=box.SIMPLE_HEAD, pad_edge=False)
    for row in report.rows:
        shares = ("" if share is None else f"{share:.4f}" for share in (row.recall, row.false_alarms))
        table.add_row(f"{row.part} ({row.texts})", f"{row.threshold:.2f}", *shares)
    stdout_console().print(table)
    say(f"wrote {report.version} for the encoder {report.encoder}: {report.texts} texts, {report.withheld} of a child")


def render_languages(report: LanguageReport) -> None:
    """Write how texts about children, and others, are judged in each language, and which languages are searched."""
    table = Table(
        "language",
        "sentences refused",
        "short refused",
        "others refused",
        "searched",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for row in report.rows:
        table.add_row(
            row.language,
            f"{row.sentences_refused} of {row.sentences}",
            f"{row.short_refused} of {row.short}",
            f"{row.others_refused} of {row.others}",
            "yes" if row.searched else "no",
        )
    stdout_console().print(table)
    say(f"wrote {report.version} for {report.encoder}: {report.texts} texts, mean cosine {report.cosine:.3f}")


def render_training(report: TrainingReport, *, quiet: bool) -> None:
    """Write the figures of a training run on held-out photos, with the constant predictor's."""
    if not quiet:
        for note in report.notes:
            say(note)
        if report.filter_report is not None:
            say(str(report.filter_report))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("metric")
    table.add_column(report.options.model, justify="right")
    table.add_column("constant", justify="right", style="dim")
    for metric, value in report.metrics.items():
        beside = f"{report.constant[metric]:.4f}" if metric in report.constant else ""
        table.add_row(metric, f"{value:.4f}", beside)
    table.add_row("RMSE / constant", f"{report.rmse_ratio:.4f}", "1.0000")
    stdout_console().print(table)
    if report.short:
        stdout_console().print(_short_queries_table(report))
    parts = f"{report.valid_pairs:,} pairs of {report.valid_photos:,} held-out photos; min score {report.min_score:.2f}"
    if report.absent_answered is not None and report.real_answered is not None:
        parts += f" (answers {report.absent_answered:.0%} of absent and {report.real_answered:.0%} of real queries)"
    if not quiet:
        if report.gain:
            say(report.gain)
        say(f"{parts}; wrote {report.version} for {report.encoder} in {report.seconds:.0f} s")


def _short_queries_table(report: TrainingReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("short queries")
    for name in report.short:
        table.add_column(printable(name), justify="right")
    for metric in next(iter(report.short.values())):
        values = [measured.get(metric) for measured in report.short.values()]
        table.add_row(metric, *("–" if value is None else f"{value:.4f}" for value in values))
    return table


def render_evaluation(report: EvaluationReport, output_format: str, *, by_query: bool, quiet: bool) -> None:
    """Write all figures, and with `by_query` the rank of each query's photo."""
    if not quiet:
        for note in report.notes:
            say(note)
    if output_format == "jsonl":
        for row in report.rows:
            write_json(row.as_json())
        for query in report.queries if by_query else ():
            for stage, rank in (("retrieval", query.rank_retrieval), ("reranked", query.rank_reranked)):
                parts = {"subset": query.subset, "stage": stage, "metric": "rank", "value": rank, "n": 1}
                write_json(parts | {"gallery": query.gallery, "query_id": query.query_id, "query": query.query})
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
    """Write the study's rows, block by block, then why rows were not run; narrow terminals see no spreads."""
    console = stdout_console()
    for block in study.blocks():
        table = Table(title=block.title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("row", overflow="fold")
        for column in block.columns:
            table.add_column(column, justify="right", no_wrap=True)
        for name, cells in block.measured():
            table.add_row(name, *(cells if console.width >= _WIDE else (cell.split(" ±")[0] for cell in cells)))
        console.print(table if table.row_count else block.title)
        for line in block.not_run():
            write_line(line)

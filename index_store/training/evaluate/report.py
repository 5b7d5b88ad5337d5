"""Write what was found as self-contained HTML pages with plots, and as JSON; the only importer of matplotlib."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from index_store.errors import DataError, MissingExtraError, UsageError
from index_store.training.data.metrics import calibration_bins

try:
    from matplotlib.figure import Figure
except ImportError as error:
    raise MissingExtraError("reports need matplotlib: pip install 'imgsearch-cli[train]'") from error

if TYPE_CHECKING:
    from index_store.training.data.explore import Exploration
    from index_store.training.reranker.train import TrainingReport
    from index_store.training.study.rows import Study

STUDY_BEGIN = "<!-- study begin: written by `imgsearch study`, do not edit -->"
STUDY_END = "<!-- study end -->"
_BLUE = "#33608c"
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}"
    "td+td,th+th{text-align:right}th{border-bottom:1px solid #999}img{max-width:100%}"
)


def write_exploration(folder: Path, found: Exploration) -> Path:
    """Write `explore.html` and `explore.json`; return the page's path."""
    parts = [_table(("what", "value"), [(name, str(value)) for name, value in found.facts()])]
    for name, rows in found.histograms.items():
        if rows:
            parts += [_heading(name), _plot(name, lambda axes, rows=rows: _bars(axes, rows))]  # type: ignore[misc]
    if found.expert_by_crowd:
        shares = [(share, f"{mean:.3f}", f"{count:,}") for share, mean, count in found.expert_by_crowd]
        parts += [
            _heading("Experts against crowd"),
            _table(("crowd's share", "experts' mean relevance", "pairs"), shares),
        ]
    if found.notes:
        parts += [_heading("Irregularities"), _list(found.notes)]
    return _write(folder, "explore", f"Judgements in {found.folder}", parts, found.as_json())


def write_training_report(folder: Path, report: TrainingReport) -> Path:
    """Write `training.html` with the reliability diagram, and `training.json`; return the page's path."""
    bins = calibration_bins(report.held_out_scores, report.held_out_relevance)

    def reliability(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color="#999", linewidth=1)
        axes.plot([row.mean_score for row in bins], [row.mean_relevance for row in bins], "o-", color=_BLUE)
        axes.set(xlabel="mean score of the bin", ylabel="mean relevance", xlim=(0, 1), ylim=(0, 1))

    def errors(axes: Any) -> None:
        axes.scatter(report.held_out_relevance, report.held_out_scores, s=6, alpha=0.25, color=_BLUE)
        axes.set(xlabel="relevance (experts)", ylabel="score", xlim=(-0.03, 1.03), ylim=(0, 1))

    rows = [
        (name, f"{value:.4f}", f"{report.constant[name]:.4f}" if name in report.constant else "")
        for name, value in report.metrics.items()
    ]
    bin_rows = [
        (f"{row.low:.1f} to {row.high:.1f}", f"{row.count:,}", f"{row.mean_score:.3f}", f"{row.mean_relevance:.3f}")
        for row in bins
    ]
    parts = [
        f"<p>{report.valid_pairs:,} pairs of {report.valid_photos:,} photos that were held out from the fit.</p>",
        _table(("metric", report.options.model, "constant"), rows),
        _heading("Reliability"),
        _plot("reliability diagram", reliability),
        _table(("score", "pairs", "mean score", "mean relevance"), bin_rows),
        _heading("Scores against relevance"),
        _plot("scores against relevance", errors),
    ]
    content = {
        "version": report.version,
        "encoder": report.encoder,
        "options": {
            name: str(value) if isinstance(value, Path) else value for name, value in asdict(report.options).items()
        },
        "metrics": dict(report.metrics),
        "constant": dict(report.constant),
        "rmse_ratio": report.rmse_ratio,
        "min_score": report.min_score,
        "absent_answered": report.absent_answered,
        "real_answered": report.real_answered,
        "short_queries": report.short,
        "policy": None if report.filter_report is None else asdict(report.filter_report),
        "reliability": [asdict(row) for row in bins],
        "notes": list(report.notes),
    }
    return _write(folder, "training", f"Reranker {report.version}", parts, content)


def write_study(folder: Path, study: Study, docs: Path | None = None) -> Path:
    """Write `study.html`, `study.json` and `study.md`, and the table into the page `docs`; return the page's path."""
    parts = [
        f"<p>Encoder {html.escape(study.encoder)}; mean ± spread over {len(study.seeds)} splits by photo, 7:3.</p>"
    ]
    for block in study.blocks():
        rows = [(name, *cells) for name, cells in block.measured()]
        parts += [_heading(block.title), _table(("row", *block.columns), rows), _list(block.not_run())]
    content = {
        "encoder": study.encoder,
        "seeds": list(study.seeds),
        "rows": [asdict(row) for row in study.rows],
        "notes": study.notes,
    }
    text = study_markdown(study)
    page = _write(folder, "study", "What predicts human judgements", parts, content)
    (folder / "study.md").write_text(text, encoding="utf-8")
    if docs is not None:
        _write_between_marks(docs, text)
    return page


def study_markdown(study: Study) -> str:
    """Return the study's rows as Markdown tables."""
    lines = [f"Encoder `{study.encoder}`; mean ± standard deviation over {len(study.seeds)} splits, 7:3.", ""]
    for block in study.blocks():
        lines += [f"### {block.title}", ""]
        if block.measured():
            lines += [f"| | {' | '.join(block.columns)} |", f"|{'---|' * (1 + len(block.columns))}"]
            lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in block.measured()] + [""]
        lines += [f"- {line}" for line in block.not_run()]
        lines += [""] if block.not_run() else []
    return "\n".join(lines).replace(str(Path.home()), "~")


def require_marks(path: Path) -> None:
    """Raise `DataError` where a page lacks the marks between which the study writes: asked before hours of work."""
    _between_marks(path, path.read_text(encoding="utf-8"))


def _write_between_marks(path: Path, text: str) -> None:
    content = path.read_text(encoding="utf-8")
    begin, end = _between_marks(path, content)
    path.write_text(f"{content[:begin]}\n\n{text}\n{content[end:]}", encoding="utf-8")


def _between_marks(path: Path, content: str) -> tuple[int, int]:
    begin, end = content.find(STUDY_BEGIN), content.find(STUDY_END)
    if begin < 0 or end < begin:
        raise DataError(f"{path}: lacks the lines {STUDY_BEGIN!r} and {STUDY_END!r} between which the table is written")
    return begin + len(STUDY_BEGIN), end


def _write(folder: Path, name: str, title: str, parts: Sequence[str], content: Mapping[str, object]) -> Path:
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{html.escape(title)}</h1>{''.join(parts)}</body></html>\n"
    )
    path = folder / f"{name}.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
        text = json.dumps(content, indent=2, ensure_ascii=False)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder}: the report cannot be written: {error.strerror}") from error
    return path


def _heading(text: str) -> str:
    return f"<h2>{html.escape(text)}</h2>"


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _bars(axes: Any, rows: Sequence[tuple[str, int]]) -> None:
    axes.bar([name for name, _ in rows], [count for _, count in rows], color=_BLUE)
    axes.set_ylabel("count")


def _plot(title: str, draw: Callable[[Any], None]) -> str:
    """Return a plot as an image inside the page, so that the page is one file."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    draw(figure.subplots())
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<p><img alt="{html.escape(title)}" src="data:image/png;base64,{data}"></p>'

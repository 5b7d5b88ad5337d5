"""Quality of search and of scores, as `imgsearch evaluate` and the reranker's training measure it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from statistics import mean

from benchmarks.rows import Row
from benchmarks.speed import IMGSEARCH

SPLITS = 5


def evaluation(data: Path, subset: str) -> dict[tuple[str, str], dict[str, float]]:
    """Return what `imgsearch evaluate` prints, by stage and metric."""
    command = [IMGSEARCH, "evaluate", str(data), "--subset", subset, "--format", "jsonl"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {(row["stage"], row["metric"]): row for row in rows}


def retrieval(data: Path) -> list[Row]:
    """Measure text-to-photo recall over the test photos before and after the reranker, beside a random order's."""
    figures = evaluation(data, "test")
    rows = []
    marks = {"R@1": (0.57, 0.62), "R@5": (0.86, 0.90), "R@10": (0.93, 0.96)}
    for metric, (bar, aim) in marks.items():
        row = figures["retrieval", metric]
        chance = int(metric[2:]) / row["gallery"]
        measured = f"{row['n']:.0f} queries, {row['gallery']:.0f} photos"
        rows.append(Row(f"{metric}, retrieval alone", row["value"], measured, f"{chance:.2f} (chance)", bar, aim, True))
    for metric in ("R@1", "nDCG@10"):
        before, after = figures["retrieval", metric]["value"], figures["reranked", metric]["value"]
        aim = 0.02 if metric == "R@1" else 0.0
        shown = (f"{after:.3f} reranked", f"{before:.3f} retrieval alone")
        rows.append(Row(f"{metric}, reranked - retrieval", after - before, *shown, 0.0, aim, True))
    return rows


def reranker(data: Path, work: Path) -> list[Row]:
    """Train the reranker on five 7:3 splits by photo, and show its error beside the constant predictor's.

    The policy is off, so that all pairs that experts judged take part.
    """
    ratios, ours, constants = [], [], []
    for seed in range(SPLITS):
        output = work / f"reranker-{seed}"
        command = [IMGSEARCH, "--quiet", "train", "reranker", str(data), "--no-policy", "--split-seed", str(seed)]
        subprocess.run([*command, "--output", str(output)], check=True, capture_output=True)
        validation = json.loads((output / "card.json").read_text(encoding="utf-8"))["validation"]
        ratios.append(validation["rmse_ratio"])
        ours.append(validation["metrics"]["RMSE"])
        constants.append(validation["constant"]["RMSE"])
    name = f"RMSE / the constant's, {SPLITS} 7:3 splits by photo, mean"
    return [Row(name, mean(ratios), f"{mean(ours):.4f}", f"{mean(constants):.4f} (constant)", 0.73, 0.66, False)]

"""What compliance costs: `python -m benchmarks.compliance`. Medians of fresh processes; the machine should be idle."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

_RUNS = 7
_TEXTS = """
import json, sys, time
import click, dataclasses, json, pathlib, re, unicodedata  # what the program has loaded before
start, cpu = time.perf_counter(), time.process_time()
from index_store.compliance.policy import load_policy
from index_store.compliance.texts import TextRule
verdict = TextRule(load_policy()).check(sys.argv[1])
print(json.dumps([time.perf_counter() - start, time.process_time() - cpu]))
"""


def median_seconds(text: str) -> tuple[float, float]:
    """Return the median wall and processor seconds from import to verdict, each run in a fresh process.

    The first run warms the disk cache and is left out. Where the two differ much, the machine was not idle.
    """
    runs = []
    for _ in range(_RUNS + 1):
        done = subprocess.run([sys.executable, "-P", "-c", _TEXTS, text], capture_output=True, text=True, check=True)
        runs.append(json.loads(done.stdout))
    wall, processor = zip(*runs[1:], strict=True)
    return statistics.median(wall), statistics.median(processor)


def judging_seconds(photos: int = 1000) -> float:
    """Return the seconds that judging `photos` embeddings takes, the rule's loading included."""
    import numpy as np

    from index_store.compliance.photo_rule import load_photo_rule
    from index_store.compliance.policy import load_policy
    from index_store.encoders.registry import encoder_card

    card = encoder_card()
    rows = np.random.default_rng(0).normal(size=(photos, card.dimension)).astype(np.float32)
    start = time.perf_counter()
    load_photo_rule(card.name, load_policy()).judge(rows)
    return time.perf_counter() - start


def main() -> None:
    """Print one line for each figure of issue C that is a time."""
    for name, text, bars in (
        ("clean cold query", "dog on beach", "bar 5 ms, aim 1 ms"),
        ("query that needs spaCy", "children playing", "bar 3 s, aim 1.5 s"),
    ):
        wall, processor = median_seconds(text)
        print(f"{name:24} {1000 * wall:7.1f} ms added, {1000 * processor:7.1f} ms of processor time ({bars})")
    print(f"judging 1,000 embeddings {1000 * judging_seconds():7.1f} ms")


if __name__ == "__main__":
    main()

"""Measure how texts about children, and others, are judged in each language; nothing is trained on these texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from index_store.compliance.normalising import normalise

TEXTS = (Path(__file__).with_name("children"), Path(__file__).with_name("checks"))
CHILD_SENTENCES, CHILD_SHORT = "child sentences", "child short"
OTHER_SENTENCES, OTHER_SHORT = "other sentences", "other short"


def read_texts(path: Path) -> dict[str, list[str]]:
    """Return the texts of one language by their kind, which stands in brackets above them."""
    texts: dict[str, list[str]] = {}
    kind = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            kind = line.strip("[]")
            texts[kind] = []
        elif line:
            texts[kind].append(line)
    return texts


def measure_refusals(refuses: Callable[[str], bool], folders: Sequence[Path] = TEXTS) -> dict[str, Mapping[str, int]]:
    """Return for each language, by its code, how many texts of each kind there are and how many are refused."""
    measured: dict[str, Counter[str]] = {}
    for path in sorted(path for folder in folders for path in folder.glob("*.txt")):
        texts = read_texts(path)
        refused = {kind: sum(refuses(normalise(text).text) for text in some) for kind, some in texts.items()}
        counts = {
            "sentences": len(texts[CHILD_SENTENCES]),
            "sentences_refused": refused[CHILD_SENTENCES],
            "short": len(texts[CHILD_SHORT]),
            "short_refused": refused[CHILD_SHORT],
            "others": len(texts[OTHER_SENTENCES]) + len(texts[OTHER_SHORT]),
            "others_refused": refused[OTHER_SENTENCES] + refused[OTHER_SHORT],
        }
        measured.setdefault(path.stem, Counter()).update(counts)
    return {code: dict(counts) for code, counts in sorted(measured.items())}

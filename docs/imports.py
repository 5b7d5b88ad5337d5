"""Print the folders of the library and the imports between them as a Mermaid graph: `python docs/imports.py`.

An arrow that follows from two others is left out, so that the drawing stays readable. tests/test_docs.py compares what
is printed here with the drawing in docs/architecture.md.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIBRARY = "index_store"
LABELS = {
    "imgsearch_cli": "imgsearch_cli: commands, formats",
    "library": "library.py: Library",
    "queries": "queries: answer a query",
    "indexing": "indexing: plan, run, write",
    "photos": "photos: find, open, decode",
    "store": "store: rows in ChromaDB",
    "encoders": "encoders: photo and text towers",
    "reranker": "reranker: scores",
    "compliance": "compliance: what is withheld",
    "pages": "pages: answers as HTML",
    "training": "training: data, models, study",
}
"""The nodes of the drawing, and what each is for. Small modules that everything imports are left out."""


def node_of(module: str) -> str | None:
    """Return the node that a dotted module belongs to, None for one that is not drawn."""
    parts = module.split(".")
    if parts[0] == LIBRARY and len(parts) > 1:
        return parts[1] if parts[1] in LABELS else None
    return parts[0] if parts[0] in LABELS else None


def modules_imported(path: Path) -> set[str]:
    """Return all modules that a file imports, late imports and those for type checkers included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def arrows() -> dict[str, set[str]]:
    """Return for each node the nodes that it imports."""
    found: dict[str, set[str]] = {name: set() for name in LABELS}
    for package in (LIBRARY, "imgsearch_cli"):
        for path in (ROOT / package).rglob("*.py"):
            start = node_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
            if start is not None:
                found[start].update(end for end in map(node_of, modules_imported(path)) if end not in {None, start})
    return found


def reached(graph: dict[str, set[str]], start: str) -> set[str]:
    """Return the nodes that can be reached from a node."""
    known: set[str] = set()
    pending = list(graph[start])
    while pending:
        node = pending.pop()
        if node not in known:
            known.add(node)
            pending.extend(graph[node])
    return known


def reduced(graph: dict[str, set[str]]) -> list[tuple[str, str]]:
    """Return the arrows of a graph without cycles that do not follow from others."""
    return [
        (start, end)
        for start in LABELS
        for end in sorted(graph[start])
        if not any(end in reached(graph, middle) for middle in graph[start] - {end})
    ]


def mermaid() -> str:
    """Return the graph in Mermaid's language."""
    nodes = [f'    {name}["{label}"]' for name, label in LABELS.items()]
    lines = [f"    {start} --> {end}" for start, end in reduced(arrows())]
    return "\n".join(["graph TD", *nodes, *lines])


if __name__ == "__main__":
    sys.stdout.write(f"{mermaid()}\n")

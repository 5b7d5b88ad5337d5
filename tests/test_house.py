"""The rules of the house: imports point one way, each heavy library has one door, help loads nothing heavy."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

DOORS = {
    # dual_data varies photos for training
    "PIL": {f"index_store/{name}.py" for name in ("photos", "colour", "metadata", "frames", "raw", "neural/dual_data")},
    "chromadb": {"index_store/store/chroma_import.py", "index_store/store/server.py"},
    "httpx": {"index_store/store/server.py"},
    # word_vectors.py for its vectors, dual_texts.py for names of persons
    "spacy": {
        "index_store/compliance/lemmas.py",
        "index_store/training/study/word_vectors.py",
        "index_store/training/encoder/prepare_captions.py",
    },
    "pathspec": {"index_store/photos/ignore.py"},
    "filelock": {"index_store/store/lock.py"},
    "rawpy": {"index_store/photos/raw.py"},
    "pillow_heif": {"index_store/photos/open.py"},
    "tokenizers": {"index_store/encoders/onnx_dual.py", "index_store/training/encoder/photo_views.py"},
    "rich": {f"imgsearch_cli/{name}.py" for name in ("writing", "render", "render_store", "render_models", "progress")},
}
"""Heavy libraries and the files that may import them."""

TORCH_ROOM = "index_store/neural/"
STANDARD_ONLY = ("index_store/errors.py", "index_store/records.py")
STARTS_PROCESSES = {"index_store/photos/decode.py"}
"""Where child processes are started; one that runs in the folder of the photos must not import from there."""


def modules() -> list[Path]:
    return sorted([*ROOT.glob("index_store/**/*.py"), *ROOT.glob("imgsearch_cli/**/*.py")])


def imported(path: Path, *, at_run_time: bool = False) -> set[str]:
    """Return the modules that a file imports; with `at_run_time` those for type checkers alone are left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if at_run_time and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        pending.extend(ast.iter_child_nodes(node))
    return found


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_heavy_libraries_come_in_by_their_own_door(path):
    roots = {module.split(".")[0] for module in imported(path, at_run_time=True)}
    for library, doors in DOORS.items():
        if library in roots:
            assert name_of(path) in doors, f"{library} is imported outside {doors}"
    if roots & {"torch", "torchvision", "sentence_transformers", "transformers"}:
        assert name_of(path).startswith(TORCH_ROOM)


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_the_library_does_not_know_the_shell(path):
    if name_of(path).startswith("index_store/"):
        assert not {module for module in imported(path) if module.split(".")[0] in {"imgsearch_cli", "click", "rich"}}


@pytest.mark.parametrize("path", STANDARD_ONLY)
def test_records_and_errors_need_the_standard_library_only(path):
    roots = {module.split(".")[0] for module in imported(ROOT / path, at_run_time=True)}
    assert roots <= sys.stdlib_module_names


def test_one_file_starts_child_processes():
    libraries = {"subprocess", "multiprocessing", "pty"}
    found = {name_of(path) for path in modules() if libraries & {module.split(".")[0] for module in imported(path)}}
    assert found <= STARTS_PROCESSES
    for path in modules():
        assert "ProcessPoolExecutor" not in path.read_text(encoding="utf-8"), name_of(path)


def test_the_library_never_prints():
    for path in ROOT.glob("index_store/**/*.py"):
        calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)}
        assert not calls & {"print", "sys.exit", "exit"}, name_of(path)


def loaded_by(*arguments: str) -> set[str]:
    """Return the top-level modules that are loaded when the program has run."""
    script = (
        "import json, os, sys\n"
        "os._exit = lambda code: (sys.stderr.write('MODULES' + json.dumps(sorted(sys.modules))), sys.stderr.flush())\n"
        f"sys.argv = ['imgsearch', *{list(arguments)!r}]\n"
        "from imgsearch_cli.main import run; run()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    return {name.split(".")[0] for name in json.loads(done.stderr.split("MODULES")[-1])}


def commands() -> list[tuple[str, ...]]:
    from imgsearch_cli.main import cli

    found: list[tuple[str, ...]] = [()]
    for name, command in cli.commands.items():
        found.append((name,))
        found += [(name, inner) for inner in getattr(command, "commands", {})]
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_help_loads_nothing_heavy_and_shows_an_example(command):
    heavy = {
        "numpy",
        "chromadb",
        "torch",
        "spacy",
        "transformers",
        "onnxruntime",
        "PIL",
        "rich",
        "sentence_transformers",
    }
    assert not loaded_by(*command, "--help") & heavy
    shown = subprocess.run(
        [sys.executable, "-m", "imgsearch_cli.main", *command, "--help"], capture_output=True, text=True, check=True
    )
    assert f"imgsearch {' '.join(command)}".strip() in shown.stdout.split("Usage:")[1].split("\n", 1)[1]

"""The rules of docs/architecture.md that can be checked: which way imports point, and who imports what is heavy."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

IMPORTERS = {
    "PIL": (
        "index_store/photos/",
        "index_store/training/encoder/photo_views.py",
        "index_store/training/photo_rule/copies.py",
    ),
    "chromadb": ("index_store/store/chroma_import.py", "index_store/store/server.py"),
    "chromadb_rust_bindings": ("index_store/store/reading_client.py",),
    "httpx": ("index_store/store/server.py",),
    "spacy": (
        "index_store/compliance/lemmas.py",
        "index_store/training/study/word_vectors.py",
        "index_store/training/encoder/prepare_captions.py",  # for names of persons
    ),
    "pathspec": ("index_store/photos/ignore.py",),
    "watchfiles": ("imgsearch_cli/watching.py",),
    "textual_image": ("imgsearch_cli/picture_output.py",),
    "filelock": ("index_store/store/lock.py",),
    "ray": ("index_store/indexing/on_ray.py", "index_store/indexing/ray_connection.py"),
    "rawpy": ("index_store/photos/raw.py",),
    "pillow_heif": ("index_store/photos/",),
    "tokenizers": ("index_store/encoders/onnx_dual.py", "index_store/training/encoder/photo_views.py"),
    "sklearn": ("index_store/training/",),
    "scipy": ("index_store/training/",),
    "rich": ("imgsearch_cli/",),
    **dict.fromkeys(("starlette", "uvicorn", "anyio"), ("imgsearch_cli/serve/",)),
    "jinja2": ("imgsearch_cli/serve/", "index_store/pages/"),
    **dict.fromkeys(
        ("torch", "torchvision", "sentence_transformers", "transformers"),
        ("index_store/training/", "index_store/encoders/"),
    ),
}
"""Heavy libraries, and the files or folders that may import them."""

STARTS_PROCESSES = {"index_store/photos/decoder_workers.py"}
"""Where child processes are started; one that runs in the folder of the photos must not import from there."""

STANDARD_ONLY = ("index_store/errors.py", "index_store/records.py")


def modules() -> list[Path]:
    return sorted([*ROOT.glob("index_store/**/*.py"), *ROOT.glob("imgsearch_cli/**/*.py")])


@cache
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


def roots_of(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def test_a_heavy_library_is_imported_by_one_file_or_folder():
    misplaced = [
        f"{name_of(path)} imports {library}, which belongs to {IMPORTERS[library]}"
        for path in modules()
        for library in roots_of(imported(path, at_run_time=True)) & set(IMPORTERS)
        if not name_of(path).startswith(IMPORTERS[library])
    ]
    assert misplaced == []


def test_the_library_does_not_know_the_command_line():
    library = [path for path in modules() if name_of(path).startswith("index_store/")]
    assert len(library) > 100
    assert [name_of(path) for path in library if roots_of(imported(path)) & {"imgsearch_cli", "click", "rich"}] == []


def test_nothing_outside_training_imports_it():
    others = [path for path in modules() if name_of(path).startswith("index_store/") and "training" not in path.parts]
    assert len(others) > 100
    importing = {path: {name for name in imported(path) if name.startswith("index_store.training")} for path in others}
    assert {name_of(path): names for path, names in importing.items() if names} == {}


def test_no_two_folders_import_each_other():
    """Imports for type checkers count too; nothing is excepted."""
    folders = {path.name for path in (ROOT / "index_store").iterdir() if (path / "__init__.py").exists()}
    imports: dict[str, set[str]] = {folder: set() for folder in folders}
    for path in modules():
        folder = path.relative_to(ROOT).parts[1]
        if path.is_relative_to(ROOT / "index_store") and folder in folders:
            imports[folder] |= {module.split(".")[1] for module in imported(path) if module.startswith("index_store.")}
    for folder in folders:
        reached, pending = set[str](), [folder]
        while pending:
            here = pending.pop()
            fresh = (imports[here] & folders) - reached - {here}
            reached |= fresh
            pending += fresh
        assert folder not in reached, f"{folder} imports itself by way of {sorted(reached)}"


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


@pytest.mark.parametrize("path", STANDARD_ONLY)
def test_records_and_errors_need_the_standard_library_only(path):
    """What a record offers beyond its fields is imported when it is asked for, from the library itself."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    at_top = {module.split(".")[0] for node in tree.body for module in _names(node)}
    assert at_top <= sys.stdlib_module_names
    assert roots_of(imported(ROOT / path, at_run_time=True)) <= sys.stdlib_module_names | {"index_store"}


def test_one_file_starts_child_processes():
    libraries = {"subprocess", "multiprocessing", "pty"}
    found = {name_of(path) for path in modules() if libraries & roots_of(imported(path))}
    assert found <= STARTS_PROCESSES
    for path in modules():
        assert "ProcessPoolExecutor" not in path.read_text(encoding="utf-8"), name_of(path)


def test_the_library_never_prints():
    for path in ROOT.glob("index_store/**/*.py"):
        calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)}
        assert not calls & {"print", "sys.exit", "exit"}, name_of(path)


def loaded_by(*arguments: str) -> set[str]:
    """Return the top-level modules that are loaded when the program has run."""
    return started(*arguments)[0]


def started(*arguments: str) -> tuple[set[str], str]:
    """Return the top-level modules that are loaded when the program has run, and what it has written."""
    script = (
        "import json, os, sys\n"
        "os._exit = lambda code: (sys.stderr.write('MODULES' + json.dumps(sorted(sys.modules))), sys.stderr.flush())\n"
        f"sys.argv = ['imgsearch', *{list(arguments)!r}]\n"
        "from imgsearch_cli.main import run; run()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    return roots_of(set(json.loads(done.stderr.split("MODULES")[-1]))), done.stdout


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
        "starlette",
        "uvicorn",
        "jinja2",
        "ray",
    }
    loaded, shown = started(*command, "--help")
    assert not loaded & heavy
    assert f"imgsearch {' '.join(command)}".strip() in shown.split("Usage:")[1].split("\n", 1)[1]

"""What README, docs and help texts tell people to type is understood by the program; links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from imgsearch_cli.main import cli

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "index_store").rglob("*.md"))]
TYPED = re.compile(r"^(?:\$ |\w+\$ |[A-Z_]+=\S+ )*(imgsearch [^|>&#<\n]+)", re.MULTILINE)


def help_texts() -> list[str]:
    pending: list[click.Command] = [cli]
    found = []
    while pending:
        command = pending.pop()
        found.append(command.help or "")
        pending += getattr(command, "commands", {}).values()
    return found


def typed_commands() -> list[str]:
    blocks = [block for page in PAGES for block in re.findall(r"```\w*\n(.*?)```", page.read_text("utf-8"), re.DOTALL)]
    texts = [re.sub(r"\\\n\s*", " ", text) for text in (*blocks, *help_texts())]
    lines = [
        match.group(1).strip() for text in texts for match in TYPED.finditer(re.sub(r"^\s+", "", text, flags=re.M))
    ]
    return sorted({line for line in lines if not line.endswith("...") and line != "imgsearch COMMAND"})


DATA = ("with_sense", "flickr8k_pretrain", "mixed_pretrain", "classes_pretrain", "coco_val", "by_eye")


def test_every_command_that_is_shown_is_understood(tmp_path, monkeypatch):
    for folder in ("here", *(f"shared/data/{name}" for name in DATA)):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "here" / "queries.txt").touch()
    (tmp_path / "shared" / "data" / "by_eye" / "labels.tsv").touch()
    monkeypatch.chdir(tmp_path / "here")
    lines = typed_commands()
    assert len(lines) > 50
    for line in lines:
        understand(line)


def understand(line: str) -> None:
    """Parse a command as the program does; raise where it names what does not exist."""
    words = shlex.split(line)[1:]
    command: click.Command = cli
    context = click.Context(cli, info_name="imgsearch")
    while isinstance(command, click.Group):
        words = [word for word in words if word not in {"-q", "-v", "--quiet"}]
        assert words, f"{line}: names no command"
        name = words.pop(0)
        assert name in command.commands, f"{line}: there is no command {name}"
        command = command.commands[name]
        context = click.Context(command, info_name=name, parent=context)
    command.make_context(command.name or "", words, parent=context.parent, resilient_parsing=False).close()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_make_targets_that_are_shown_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for page in PAGES:
        shown = set(re.findall(r"^make ([a-z-]+)", page.read_text("utf-8"), re.MULTILINE))
        assert shown <= targets, page.name


def test_no_page_or_module_names_a_path_of_one_machine():
    files = [*PAGES, *ROOT.glob("*.cfg"), *ROOT.glob("*.toml"), ROOT / "Makefile", *ROOT.glob("index_store/**/*.py")]
    for path in [*files, *ROOT.glob("imgsearch_cli/**/*.py"), *ROOT.glob("index_store/weights/*/card.json")]:
        text = path.read_text("utf-8")
        assert not re.search(r"/work/|/root/|/home/\w|/tmp/", text), path


def test_tests_that_are_named_exist():
    there = {path.name for path in (ROOT / "tests").rglob("*.py")}
    for page in [*PAGES, ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md"]:
        named = set(re.findall(r"(?:\w+/)*(test_\w+\.py)", page.read_text("utf-8")))
        assert named <= there, page.name

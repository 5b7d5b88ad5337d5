"""`imgsearch encoders`, and how index and query speak about an encoder that has neither reranker nor rule."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image
from rich.console import Console

from imgsearch_cli.commands.encoders import encoders
from imgsearch_cli.main import cli
from imgsearch_cli.render_models import render_encoders
from index_store.encoders.listing import list_encoders
from index_store.encoders.published import PUBLISHED
from index_store.encoders.registry import DEFAULT_ENCODER, encoder_card
from index_store.encoders.sentence_cards import HUB_NAMES
from tests.demo_photos import main as copy_demo_photos
from tests.index_store.tiny_clip import hub, plain_clip, put_into_cache, sentence_clip

__all__ = ["hub", "plain_clip", "sentence_clip"]


@pytest.fixture
def indexed(sentence_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of two photos, indexed with the tiny CLIP by a plain command."""
    (tmp_path / "photos").mkdir()
    for colour in ("red", "blue"):
        Image.new("RGB", (32, 32), colour).save(tmp_path / "photos" / f"{colour}.png")
    monkeypatch.setenv("IMGSEARCH_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("IMGSEARCH_ENCODER", str(sentence_clip))
    monkeypatch.chdir(tmp_path)
    result = run("index", "photos")
    assert result.exit_code == 0, result.output
    assert "2 added" in result.stderr
    return tmp_path / "store"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def test_jsonl_has_a_line_for_each_encoder(hub: Path, sentence_clip: Path) -> None:
    put_into_cache(sentence_clip, hub, "sentence-transformers/clip-ViT-B-32")
    result = CliRunner().invoke(encoders, ["--format", "jsonl"])
    assert result.exit_code == 0
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert rows[0]["encoder"] == DEFAULT_ENCODER
    assert rows[1] == {
        "encoder": "clip-ViT-B-32",
        "kind": "hub",
        "name": encoder_card("clip-ViT-B-32").name,
        "dimension": 12,
        "reranker": False,
        "photo_rule": False,
        "missing": None,
        "megabytes": 0,
        "published": {
            "megabytes": 605,
            "flickr30k": 0.588,
            "coco": 0.304,
            "licence": "MIT",
            "source": "open_clip, docs/openclip_retrieval_results.csv, commit 05e7db4",
        },
        "best": True,
        "usable": True,
    }
    assert [row["encoder"] for row in rows if row["best"]] == ["clip-ViT-B-32"]
    assert (rows[2]["usable"], rows[2]["missing"]) == (False, "imgsearch encoders --fetch clip-ViT-B-16")


def test_the_table_shows_names_and_what_is_missing(hub: Path, sentence_clip: Path) -> None:
    result = CliRunner().invoke(encoders, [str(sentence_clip)])
    assert result.exit_code == 0
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    assert lines[str(sentence_clip)].split()[1:5] == ["folder", "12", "no", "no"]
    assert encoder_card(str(sentence_clip)).name in lines[str(sentence_clip)]
    assert "imgsearch encoders --fetch clip-ViT-B-32" in lines["clip-ViT-B-32"]
    assert lines["google/siglip-base-patch16-224"].split()[1:5] == ["hub", "813", "0.747", "Apache-2.0"]
    assert f"best of those that are here: {DEFAULT_ENCODER} (of no other here a recall is published)" in result.stdout
    assert "text to photo, R@1 over the 1,000 test photos of Flickr30k, published by open_clip" in result.stdout


def test_the_best_is_the_one_with_the_highest_recall_that_can_be_used(hub: Path, sentence_clip: Path) -> None:
    for repository in ("sentence-transformers/clip-ViT-B-16", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"):
        put_into_cache(sentence_clip, hub, repository)
    assert "best of those that are here: laion/CLIP-ViT-B-32-laion2B-s34B-b79K (the highest pub" in run_encoders()
    (folder,) = hub.glob("models--laion*/snapshots/*")
    (folder / "model.safetensors").write_bytes(b"cut short")
    assert "best of those that are here: clip-ViT-B-16 (the highest published recall)" in run_encoders()


def run_encoders(*arguments: str) -> str:
    result = CliRunner().invoke(encoders, arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_every_well_known_name_has_its_cost_and_gain() -> None:
    assert set(HUB_NAMES) == set(PUBLISHED)
    assert all(0.5 < known.flickr30k < 0.8 and known.coco < known.flickr30k for known in PUBLISHED.values())


@pytest.mark.parametrize("columns", [80, 119])
def test_a_narrow_terminal_shows_cost_and_gain_too(
    hub: Path, columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console(width=columns, highlight=False)
    monkeypatch.setattr("imgsearch_cli.render_models.stdout_console", lambda: console)
    render_encoders(list_encoders(), "table")
    shown = " ".join(capsys.readouterr().out.split())
    assert "hub, 813 MB, R@1 0.747, Apache-2.0" in shown


def test_photos_of_any_encoder_are_judged_by_the_tower_that_ships(indexed: Path, tmp_path: Path) -> None:
    copy_demo_photos(str(tmp_path / "demo"))
    shown = []
    for encoder in (os.environ["IMGSEARCH_ENCODER"], DEFAULT_ENCODER):
        store = ("--store", str(tmp_path / f"store {len(shown)}"), "--encoder", encoder)
        assert run("index", "demo", *store).exit_code == 0
        result = run("query", "a cat", "-k", "100", "--min-score", "0", "--format", "paths", *store)
        shown.append(sorted(result.stdout.splitlines()))
    assert shown[0] == shown[1]
    assert shown[0]


def test_two_encoders_of_a_store_are_shown_and_the_one_that_answers_is_named(
    indexed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = encoder_card(os.environ["IMGSEARCH_ENCODER"]).name
    monkeypatch.delenv("IMGSEARCH_ENCODER")
    assert run("index", "--encoder", DEFAULT_ENCODER, "photos").exit_code == 0
    status = run("status").stdout
    assert f"encoder         {encoder_card().name}, 384 dimensions" in status
    assert f"other encoders  {clip}, 2 photos" in status
    assert json.loads(run("status", "--format", "jsonl").stdout)["encoders"] == {encoder_card().name: 2, clip: 2}
    asked = run("query", "a red dog", "--min-score", "0")
    assert f"imgsearch: searched with {encoder_card().name}; --encoder takes another: {clip}" in asked.stderr


@pytest.mark.parametrize("command", [("index", "photos"), ("status",), ("query", "dog")])
def test_an_encoder_that_cannot_be_had_is_one_line_and_exit_2(
    command: tuple[str, ...], hub: Path, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    program = [sys.executable, "-m", "imgsearch_cli.main", *command, "--encoder", "clip-ViT-B-32", "--store", "store"]
    done = subprocess.run(program, capture_output=True, text=True, cwd=tmp_path, env=environment(), check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    if command != ("status",):
        assert done.stderr.startswith("imgsearch: clip-ViT-B-32 is not on this machine: fetch it with")
    assert os.listdir(tmp_path) == ["photos"]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}

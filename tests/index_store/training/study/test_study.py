"""The study: every row on its own, kept as it comes, and shown at any width."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from imgsearch_cli.commands.study import study as study_command
from imgsearch_cli.render_models import render_study
from index_store.encoders.registry import encoder_card
from index_store.errors import DataError, UsageError
from index_store.training.data.pairs import Vectors
from index_store.training.data.sources import SourceOptions, weights_print
from index_store.training.evaluate import report as reports
from index_store.training.reranker.models import ModelSpec
from index_store.training.reranker.regressors import REGRESSORS
from index_store.training.study import study as studies
from index_store.training.study.plan import NOTEBOOK_MODELS, NOTEBOOK_TARGETS, Variant, notebooks, variants
from index_store.training.study.rows import KeptRows, Study, StudyRow
from index_store.training.study.study import StudyOptions, run_study
from tests.index_store.training.reranker.test_train import folder

__all__ = ["folder"]

RIDGE = Variant("Block", "ridge", ModelSpec("product-difference", "ridge"))
CONSTANT = Variant("Block", "constant", ModelSpec("cosine", "constant"))
ONCE = StudyOptions(seeds=1)


@pytest.fixture(autouse=True)
def drawn_vectors(monkeypatch, tmp_path):
    """Vectors by chance in the place of towers, and no weights on this machine; return what was made."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("SENTENCE_TRANSFORMERS_HOME", raising=False)
    made = []

    def make(what):
        def vectors(source, inputs, cache, options, progress):
            made.append((what, source))
            weights_print(source, options)
            names = [name for name, _ in getattr(inputs, what)]
            progress(len(names), len(names))
            return Vectors(names, np.random.default_rng(0).normal(size=(len(names), 8)).astype(np.float32))

        return vectors

    for what in ("texts", "photos"):
        monkeypatch.setattr(studies, f"{what[:-1]}_vectors", make(what))
    return made


def only(monkeypatch, *wanted):
    monkeypatch.setattr(studies, "variants", lambda: iter(wanted))


def test_what_goes_wrong_with_a_row_ends_no_other(folder, monkeypatch):
    broken = Variant("Block", "broken", ModelSpec("no such joining", "ridge"))
    hungry = Variant("Block", "hungry", ModelSpec("cosine", "hungry"))
    missing = Variant("Block", "missing", ModelSpec("cosine", "isotonic"), photos="ResNet-18")

    def starve(*_):
        raise MemoryError("2 GB are not to be had")

    monkeypatch.setitem(REGRESSORS, "hungry", starve)
    only(monkeypatch, broken, hungry, missing, CONSTANT)
    rows = {row.name: row for row in run_study(folder, ONCE).rows}
    assert rows["broken"].reason == "KeyError: 'no such joining'"
    assert rows["hungry"].reason == "MemoryError: 2 GB are not to be had"
    assert "put torchvision's resnet18-f37072fd.pth at" in rows["missing"].reason
    assert rows["constant"].mean["ratio"] == pytest.approx(1.0)


def test_a_study_that_was_stopped_goes_on(folder, monkeypatch, tmp_path, drawn_vectors):
    rows_file = tmp_path / "report" / "study-rows.jsonl"
    whole = run_with(monkeypatch, folder, rows_file, RIDGE)
    with rows_file.open("ab") as file:
        file.write(b'{"key": "half a li')  # a kill while a line was written
    drawn_vectors.clear()
    assert run_with(monkeypatch, folder, rows_file, RIDGE) == whole
    assert drawn_vectors == []
    both = run_with(monkeypatch, folder, rows_file, RIDGE, CONSTANT)
    assert (both[0], both[1].name, len(drawn_vectors)) == (whole[0], "constant", 2)
    assert run_with(monkeypatch, folder, rows_file, CONSTANT) == both[1:]
    assert len(drawn_vectors) == 2


def run_with(monkeypatch, folder, rows_file, *wanted, options=ONCE):
    only(monkeypatch, *wanted)
    return run_study(folder, options, rows_file=rows_file).rows


@pytest.mark.parametrize("change", ["data", "seeds", "recipe", "encoder", "program"])
def test_a_row_of_another_question_is_measured_again(folder, monkeypatch, tmp_path, drawn_vectors, change):
    copy = shutil.copytree(folder, tmp_path / "copy")
    rows_file = tmp_path / "rows.jsonl"
    run_with(monkeypatch, copy, rows_file, RIDGE)
    variant, options = RIDGE, ONCE
    if change == "data":
        experts = copy / "ExpertAnnotations.tsv"
        first, rest = experts.read_text().split("\n", 1)
        experts.write_text("\n".join([first[:-1] + ("1" if first[-1] != "1" else "2"), rest]))
    elif change == "seeds":
        options = StudyOptions(seeds=2)
    elif change == "recipe":
        variant = replace(RIDGE, target="median")
    elif change == "encoder":
        other = replace(encoder_card(), name="another-01234567")
        monkeypatch.setattr("index_store.training.data.sources.encoder_card", lambda name: other)
    else:
        monkeypatch.setattr("index_store.__version__", "99")
    drawn_vectors.clear()
    run_with(monkeypatch, copy, rows_file, variant, options=options)
    assert len(drawn_vectors) == 2


def test_a_place_for_rows_that_cannot_be_written_is_said_first(folder, monkeypatch, tmp_path, drawn_vectors):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"rows\.jsonl: the rows of the study cannot be kept there"):
        run_with(monkeypatch, folder, tmp_path / "file" / "rows.jsonl", RIDGE)
    assert drawn_vectors == []


def test_rows_of_another_form_are_measured_again(tmp_path):
    file = tmp_path / "rows.jsonl"
    for line in ("[]", '{"key": "a"}', '{"key": "a", "row": {"block": 1}}', "\x00", "[" * 5000):
        file.write_text(line + "\n")
        assert KeptRows(file).find("a") is None


def test_the_making_of_vectors_is_shown(folder, monkeypatch):
    only(monkeypatch, CONSTANT)
    seen = []
    run_study(folder, ONCE, progress=lambda done, total, note="": seen.append((done, total, note)))
    assert seen[0] == (0, 1, "Block: constant")
    assert (0, 1, "Block: constant (photos of shipped encoder: 12 of 12 vectors)") in seen


def test_a_row_of_the_notebooks_is_measured_on_its_own_target(folder, monkeypatch):
    crowd = Variant("Block", "crowd", ModelSpec("concatenation", "ridge"), target="crowd", own_target=True)
    few = Variant("Block", "few", ModelSpec("concatenation", "ridge"), target="crowd", own_target=True, most_pairs=50)
    only(monkeypatch, crowd, few, CONSTANT)
    rows = {row.name: row.mean for row in run_study(folder, ONCE).rows}
    # of 12 photos 4 are held out; the crowd says yes to one pair in twelve, and so does the constant
    assert rows["crowd"]["constant"] == pytest.approx(np.sqrt(1 / 12 - 1 / 144), abs=1e-6)
    assert rows["constant"]["constant"] != pytest.approx(rows["crowd"]["constant"], abs=1e-3)
    assert rows["few"]["RMSE"] != rows["crowd"]["RMSE"]


def test_the_notebooks_block_has_every_recipe_and_what_is_claimed():
    rows = list(notebooks())
    assert len(rows) == 3 * len(NOTEBOOK_TARGETS) * len(NOTEBOOK_MODELS) == len({row.name for row in rows})
    assert {row.photos for row in rows} == {"ResNet-18"}
    claims = {row.name: row.claimed for row in rows if row.claimed}
    assert claims == {
        "spaCy, experts' median, svr": ".202 / .236 = .86",
        "MPNet, experts first, else crowd, network": ".193",
    }
    everything = [(row.block, row.name) for row in variants()]
    assert len(everything) == len(set(everything))


SHOWN = {"RMSE": 0.25, "constant": 0.5, "ratio": 0.5, "ECE": 0.01, "pairs": 1743.0}
LONG = "put the files of a model into the folder /a/very/long/path/" + "x" * 200
ROWS = [
    StudyRow("Block", "a row with a rather long name", SHOWN, dict.fromkeys(SHOWN, 0.0), claimed=".193"),
    *(StudyRow("Block", f"not to be had {number}", reason=LONG) for number in range(3)),
    StudyRow("Another", "alone", reason="because"),
]


@pytest.mark.parametrize("columns", [80, 100, 120])
def test_rows_keep_their_names_however_long_a_reason_is(capsys, monkeypatch, columns):
    from rich.console import Console

    monkeypatch.setattr("imgsearch_cli.render_models.stdout_console", lambda: Console(width=columns, highlight=False))
    render_study(Study("e-1", (0,), ROWS))
    shown = capsys.readouterr().out
    table = [line for line in shown.splitlines() if not line.startswith("not run")]
    assert max(map(len, table)) <= columns
    (place,) = [number for number, line in enumerate(table) if line.startswith(" a row with a ")]
    row = table[place]
    assert ("± 0.000" in row, "1,743" in row, row.rstrip().endswith(".193")) == (columns == 120, True, True)
    assert "name" in row or "name" in table[place + 1]
    assert f"not run: not to be had 0; not to be had 1; and 1 more: {LONG}\n" in shown


def test_the_page_says_what_was_not_run(tmp_path):
    docs = tmp_path / "page.md"
    docs.write_text(f"# Page\n{reports.STUDY_BEGIN}\nLAST TIME\n{reports.STUDY_END}\nafter\n")
    page = reports.write_study(tmp_path / "report", Study("e-1", (0,), ROWS), docs)
    text = docs.read_text()
    assert ("LAST TIME" in text, text.endswith("after\n"), "- not run: alone: because" in text) == (False, True, True)
    assert "| a row with a rather long name | 0.250 ± 0.000 | 0.500 ± 0.000 |" in text
    assert "not run: alone: because" in page.read_text()
    assert len(json.loads((tmp_path / "report" / "study.json").read_text())["rows"]) == len(ROWS)


def test_a_page_without_marks_is_left_alone_and_found_out_first(folder, tmp_path, drawn_vectors):
    docs = tmp_path / "page.md"
    docs.write_text("# Page\n")
    with pytest.raises(DataError, match="lacks the lines"):
        reports.write_study(tmp_path / "report", Study("e-1", (0,), ROWS), docs)
    arguments = [str(folder), "--report", str(tmp_path / "report"), "--docs", str(docs)]
    result = CliRunner().invoke(study_command, arguments, obj={"quiet": True})
    assert isinstance(result.exception, DataError)
    assert (docs.read_text(), drawn_vectors) == ("# Page\n", [])


def test_the_command_keeps_rows_and_shows_them(folder, tmp_path):
    arguments = [str(folder), "--report", str(tmp_path / "report"), "--seeds", "1", "--only", "REFERENCE"]
    result = CliRunner().invoke(study_command, [*arguments, "--only", "stricter"], obj={"quiet": True})
    assert result.exit_code == 0, result.output
    assert "not run: CLIP ViT-B/32, cosine, isotonic: clip-ViT-B-32 is not on this machine" in result.stdout
    assert "isotonic on cosine" in result.stdout
    kept = [json.loads(line) for line in (tmp_path / "report" / "study-rows.jsonl").read_text().split("\n") if line]
    assert {line["row"]["name"] for line in kept} >= {"constant", "isotonic on cosine"}


def test_prints_tell_weights_from_others(tmp_path):
    options = SourceOptions(weights=tmp_path)
    folder = tmp_path / "bert-base-uncased"
    folder.mkdir()
    prints = []
    for content in (b"weights", b"weightz", b"other weights"):
        (folder / "model.safetensors").write_bytes(content)
        prints.append(weights_print("BERT", options))
    assert len(set(prints)) == 3
    moved = SourceOptions(weights=tmp_path / "elsewhere")
    moved.folder.mkdir()
    folder.rename(moved.folder / "bert-base-uncased")
    assert weights_print("BERT", moved) == prints[-1]
    assert weights_print("MiniLM", options) != weights_print("EfficientNet-Lite2", options)

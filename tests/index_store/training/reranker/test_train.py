"""Training, evaluating, exploring and studying, from a folder on the disk to weights and pages."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from imgsearch_cli.commands.evaluate import evaluate as evaluate_command
from imgsearch_cli.commands.explore import explore as explore_command
from imgsearch_cli.commands.train_reranker import reranker as train_command
from index_store.compliance.policy import SHIPPED_POLICY
from index_store.encoders.registry import encoder_card
from index_store.errors import DataError, PolicyError, UsageError, WeightsError
from index_store.reranker.reranking import load_reranker
from index_store.training.data.captions import DataFolder
from index_store.training.data.explore import explore_judgements
from index_store.training.data.vectors import VectorCache, encoder_vectors
from index_store.training.evaluate import report as reports
from index_store.training.evaluate.evaluation import evaluate, write_run
from index_store.training.reranker.card import photo_print
from index_store.training.reranker.train import TrainingOptions, train_reranker

COLOURS = ("red", "green", "blue", "yellow", "black", "white", "orange", "purple", "brown", "pink", "gray", "navy")
"""Twelve photos of one colour each, and as many texts that name it."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("judged") / "colours"
    chance = np.random.default_rng(0)
    for place in ("train_images", "test_images"):
        (folder / place).mkdir(parents=True)
        for colour in COLOURS:
            Image.new("RGB", (48, 40), colour).save(folder / place / f"{colour}.png")
    pairs = [(photo, text) for photo in COLOURS for text in COLOURS]
    scores = {pair: (4, 4, 4) if pair[0] == pair[1] else tuple(chance.integers(1, 4, 3)) for pair in pairs}
    lines = {
        "train_dataset.csv": ["image,query_id,query_text"]
        + [f"{colour}.png,{colour}.png#0,a plain {colour} wall" for colour in COLOURS],
        "ExpertAnnotations.tsv": [
            "\t".join([f"{photo}.png", f"{text}.png#0", *map(str, scores[photo, text])]) for photo, text in pairs
        ],
        "CrowdAnnotations.tsv": [
            f"{photo}.png\t{text}.png#0\t{int(photo == text)}\t{3 * (photo == text)}\t{3 * (photo != text)}"
            for photo, text in pairs
        ],
        "test_queries.csv": ["|query_id|query_text|image"]
        + [f"{n}|{colour}.png#1|something {colour}|{colour}.png" for n, colour in enumerate(COLOURS)],
        "test_images.csv": ["image"] + [f"{colour}.png" for colour in COLOURS],
    }
    for name, rows in lines.items():
        (folder / name).write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> VectorCache:
    return VectorCache(tmp_path_factory.mktemp("vectors"))


def test_training_writes_weights_that_are_read_back(folder, cache, tmp_path):
    options = TrainingOptions(model="ridge", withhold=False)
    report = train_reranker(folder, tmp_path, options, cache)
    reranker = load_reranker(encoder_card().towers, tmp_path)
    assert reranker.version == report.version
    assert (report.train_photos, report.valid_photos, report.valid_pairs) == (8, 4, 48)
    assert report.metrics.keys() >= {"RMSE", "MAE", "R2", "ECE", "tau_c_expert", "tau_b_crowd"}
    assert reranker.card["options"]["model"] == "ridge"
    assert reranker.card["trained_on"] == sorted(photo_print(f"{colour}.png") for colour in COLOURS)
    assert reranker.card["validation"]["metrics"]["RMSE"] == pytest.approx(report.metrics["RMSE"], abs=1e-4)


def test_the_same_seed_gives_the_same_weights(folder, cache, tmp_path):
    options = TrainingOptions(model="isotonic", withhold=False, split_seed=3)
    versions = {train_reranker(folder, tmp_path / name, options, cache).version for name in "ab"}
    assert len(versions) == 1


def test_vectors_are_made_once_and_again_when_a_photo_changes(cache, tmp_path):
    path = tmp_path / "photo.png"
    asked = []

    def load():
        asked.append(1)
        from index_store.records import PhotoInput

        return PhotoInput(side=4), lambda photos: np.stack([photo.mean(axis=(0, 1)) for photo in photos])

    rows = []
    for colour in ("red", "red", "lime"):
        if colour == "lime" or not path.exists():
            Image.new("RGB", (8, 9 if colour == "red" else 8), colour).save(path)
        rows.append(cache.photos("means", [path], load).tolist())
    assert rows == [[[255, 0, 0]], [[255, 0, 0]], [[0, 255, 0]]]
    assert len(asked) == 2


def test_unreadable_photos_are_named_together(cache, tmp_path):
    photos = [(name, tmp_path / name) for name in ("a.png", "b.png")]
    for _, path in photos:
        path.write_bytes(b"no photo")
    with pytest.raises(DataError, match=r"these photos cannot be read:\n.*a\.png.*\n.*b\.png"):
        encoder_vectors(None, [], photos, cache)


def test_evaluation_measures_what_the_folder_holds(folder, cache):
    report = evaluate(folder, cache=cache, withhold=False)
    assert {(row.subset, row.stage) for row in report.rows} == {
        *(("train", stage) for stage in ("reranker", "constant", "retrieval", "reranked", "policy")),
        *(("test", stage) for stage in ("retrieval", "reranked", "policy")),
    }
    recalls = [row for row in report.rows if row.subset == "test" and row.metric == "R@10"]
    assert [(row.n, row.gallery) for row in recalls] == [(12, 12)] * 2
    ranks = [row.rank_reranked for row in report.queries if row.subset == "test"]
    assert report.value("test", "reranked", "R@1") == pytest.approx(sum(rank == 1 for rank in ranks) / 12)
    assert report.value("test", "reranked", "MRR") == pytest.approx(np.mean([1 / rank for rank in ranks]))


def test_a_run_has_a_line_for_each_ranked_photo(folder, cache, tmp_path):
    report = evaluate(folder, subset="test", cache=cache, withhold=False)
    write_run(tmp_path / "run.txt", report.run, "tag 1")
    lines = (tmp_path / "run.txt").read_text().splitlines()
    assert len(lines) == 12 * 12
    query_id, fixed, image, rank, score, tag = lines[0].split(" ")
    assert (query_id, fixed, rank, tag) == ("red.png#1", "Q0", "1", "tag%201")
    assert (image in {f"{colour}.png" for colour in COLOURS}, 0 <= float(score) <= 1) == (True, True)


def test_agreement_on_photos_of_others_counts_its_own_pairs(folder, cache):
    rows = {row.metric: row.n for row in evaluate(folder, subset="train", cache=cache).rows if row.stage == "reranker"}
    assert (rows["tau_c_expert"], rows["tau_c_expert_others"]) == (144, 132)


@pytest.mark.parametrize("by", ["the text", "the photo"])
def test_an_evaluation_names_nothing_withheld(folder, cache, tmp_path, by):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    if by == "the text":
        queries = tmp_path / "test_queries.csv"
        queries.write_text(queries.read_text().replace("something red", "two boys in red"))
        policy = None
    else:
        policy = tmp_path / "all.toml"
        policy.write_text(re.sub(r"(?m)^threshold = .*$", "threshold = 0.0", SHIPPED_POLICY.read_text()))
    report = evaluate(tmp_path, subset="test", cache=cache, policy_file=policy)
    shown = {row.query_id for row in report.queries} | {line.query_id for line in report.run}
    assert "red.png#1" not in shown
    assert report.value("test", "policy", f"withheld_{'queries' if by == 'the text' else 'photos'}") >= 1
    everything = evaluate(tmp_path, subset="test", cache=cache, policy_file=policy, withhold=False)
    assert "red.png#1" in {row.query_id for row in everything.queries}
    assert report.value("test", "reranked", "MRR") == everything.value("test", "reranked", "MRR")


def test_a_mandatory_policy_names_nothing_in_an_evaluation(folder, cache, tmp_path):
    policy = tmp_path / "mandatory.toml"
    policy.write_text(SHIPPED_POLICY.read_text().replace("mandatory = false", "mandatory = true"))
    with pytest.raises(PolicyError, match="is mandatory and cannot be switched off"):
        evaluate(folder, cache=cache, policy_file=policy, withhold=False)


def test_a_folder_without_queries_or_without_experts_is_fine(folder, cache, tmp_path):
    for name in ("train_images", "train_dataset.csv", "CrowdAnnotations.tsv"):
        (tmp_path / name).symlink_to(folder / name)
    report = evaluate(tmp_path, cache=cache)
    assert {row.subset for row in report.rows} == {"train"}
    assert any("no expert judged" in note for note in report.notes)
    with pytest.raises(DataError, match=r"(?s)no test query can be used\n.*test_queries\.csv"):
        evaluate(tmp_path, subset="test", cache=cache)


def test_a_model_of_another_encoder_is_refused(folder, cache, tmp_path):
    train_reranker(folder, tmp_path, TrainingOptions(model="isotonic", withhold=False), cache)
    card = json.loads((tmp_path / "card.json").read_text())
    (tmp_path / "card.json").write_text(json.dumps(card | {"encoder": "e-2"}))
    with pytest.raises(WeightsError, match="was trained on the encoder e-2"):
        evaluate(folder, tmp_path, cache=cache)
    with pytest.raises(UsageError, match="no subset is called"):
        evaluate(folder, subset="valid", cache=cache)


def test_exploring_counts_by_hand(folder, cache, tmp_path):
    found = explore_judgements(folder, cache=cache)
    assert found.counts["expert pairs"] == found.counts["pairs that both judged"] == 144
    assert found.counts["photos with their own text, experts"] == 12
    assert dict(found.histograms["crowd's share of yes"]) == {"0.00": 132, "1.00": 12}
    assert found.expert_by_crowd[-1] == ("1.00", 1.0, 12)
    page = reports.write_exploration(tmp_path, found)
    text = page.read_text()
    assert "<img" in text
    assert 'src="http' not in text
    assert json.loads((tmp_path / "explore.json").read_text())["counts"]["texts"] == 12


def test_the_commands_keep_results_and_notes_apart(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    run = CliRunner()
    arguments = [str(folder), "--output", str(tmp_path / "model"), "--model", "isotonic", "--no-policy"]
    trained = run.invoke(train_command, [*arguments, "--report", str(tmp_path / "page")], obj={"quiet": False})
    assert trained.exit_code == 0, trained.output
    assert "RMSE / constant" in trained.stdout
    assert "wrote isotonic-" in trained.stderr
    assert (tmp_path / "page" / "training.html").is_file()
    measured = run.invoke(
        evaluate_command,
        [
            str(folder),
            "--model",
            str(tmp_path / "model"),
            "--subset",
            "test",
            "--format",
            "jsonl",
            "--by-query",
            "--no-policy",
        ],
        obj={"quiet": False},
    )
    rows = [json.loads(line) for line in measured.stdout.splitlines()]
    assert {"subset", "stage", "metric", "value", "n"} <= set.intersection(*(set(row) for row in rows))
    assert sum(row["metric"] == "rank" for row in rows) == 24
    explored = run.invoke(explore_command, [str(folder), "--report", str(tmp_path / "page")], obj={"quiet": False})
    assert explored.exit_code == 0, explored.output
    assert "expert pairs" in explored.stdout


@pytest.fixture(scope="module")
def captioned(tmp_path_factory) -> Path:
    """Twenty-four photos, every second one of each kind, with two captions each."""
    folder = tmp_path_factory.mktemp("captioned") / "boxes"
    (folder / "images").mkdir(parents=True)
    lines = ["image\tcaption"]
    for number in range(24):
        colour, thing = ("red", "box") if number % 2 else ("blue", "door")
        Image.new("RGB", (40 + number, 40), colour).save(folder / "images" / f"{number}.png")
        lines += [f"{number}.png\tA {colour} {thing} .", f"{number}.png\tThis is the {thing} of a house ."]
    (folder / "captions.tsv").write_text("\n".join(lines) + "\n")
    return folder


def test_short_queries_are_trained_measured_and_written_down(folder, captioned, cache, tmp_path):
    options = TrainingOptions(withhold=False, short=(DataFolder(captioned, 0.5, 0.9),), measured=(captioned,))
    report = train_reranker(folder, tmp_path, options, cache)
    reranker = load_reranker(encoder_card().towers, tmp_path)
    assert reranker.short is not None
    assert report.short["boxes"]["short_mAP"] > 0.5
    found = reranker.card["short_queries"]
    assert found["sets"]["boxes"]["photos"] == 24
    assert found["validation"]["boxes"]["short_mAP"] == pytest.approx(report.short["boxes"]["short_mAP"], abs=1e-4)
    assert "--short boxes:0.5:0.9 --measure boxes" in reranker.card["command"]
    json.dumps(reranker.card)
    assert str(captioned.parent) not in (tmp_path / "card.json").read_text()


def test_a_folder_with_captions_is_measured_by_short_queries(captioned, cache):
    report = evaluate(captioned, cache=cache)
    rows = {(row.stage, row.metric): row for row in report.rows}
    assert {row.subset for row in report.rows} == {"captions"}
    assert rows["reranked", "short_mAP"].gallery == 24
    assert rows["retrieval", "short_mAP"].n == rows["reranked", "short_mAP"].n >= 1
    assert rows["reranked", "short_absent_answered"].value <= 0.2

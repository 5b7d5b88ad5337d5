"""The machine's own policy wins over all that a user can set; /etc is another one for these tests alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from index_store.compliance.policy import SHIPPED_POLICY

ROOT = Path(__file__).parents[2]
SCRIPT = """
set -e
rm -rf "$1/etc"
cp -a /etc "$1/etc"
mkdir -p "$1/etc/imgsearch"
cp "$2" "$1/etc/imgsearch/policy.toml"
chmod 755 "$1/etc/imgsearch"; chmod 644 "$1/etc/imgsearch/policy.toml"; chown -R 0:0 "$1/etc/imgsearch"
mount --bind "$1/etc" /etc
cd "$1"
eval "$3"
shift 3
exec "$@"
"""


@pytest.fixture
def under(tmp_path):
    """Return a function that runs the program where /etc/imgsearch/policy.toml is the given file."""

    def under(policy: Path, *arguments: str, env: dict[str, str] | None = None, before: str = ""):
        program = str(Path(sys.executable).with_name("imgsearch"))
        command = ["unshare", "--mount", "bash", "-c", SCRIPT, "bash", str(tmp_path), str(policy), before]
        command += [program, *arguments]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("IMGSEARCH_")}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=clean | (env or {}))

    probe = ["unshare", "--mount", "mount", "--bind", str(tmp_path), str(tmp_path)]
    try:
        usable = os.getuid() == 0 and subprocess.run(probe, capture_output=True, check=False).returncode == 0
    except (OSError, AttributeError):
        usable = False
    if not usable:
        pytest.skip("needs root and a mount namespace of its own")
    return under


@pytest.fixture
def strict(tmp_path) -> Path:
    """A policy for the machine under which each photo is withheld."""
    path = tmp_path / "strict.toml"
    shipped = SHIPPED_POLICY.read_text(encoding="utf-8")
    before, photos, after = shipped.partition("[photos]\n")
    path.write_text(before + photos + re.sub(r"^threshold = .*", "threshold = 0.0", after, count=1, flags=re.MULTILINE))
    return path


def test_it_holds_without_being_named(under, strict):
    done = under(strict, "policy", "check", "--format", "jsonl", "a cat", "two boys")
    assert [json.loads(line)["withheld"] for line in done.stdout.splitlines()] == [False, True], done.stderr


@pytest.mark.parametrize(
    ("arguments", "env"),
    [
        (("policy", "check", "a cat", "--policy", str(SHIPPED_POLICY)), {}),
        (("policy", "check", "a cat"), {"IMGSEARCH_POLICY": str(SHIPPED_POLICY)}),
        (("query", "a cat", "--policy", str(SHIPPED_POLICY)), {}),
        (("index", ".", "--policy", str(SHIPPED_POLICY)), {}),
        (("status", "--policy", str(SHIPPED_POLICY)), {}),
    ],
    ids=str,
)
def test_neither_option_nor_environment_replaces_it(under, strict, arguments, env):
    done = under(strict, *arguments, env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("imgsearch: /etc/imgsearch/policy.toml: is the policy of this machine, and ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [("query", "two boys", "--no-policy"), ("evaluate", ".", "--no-policy")], ids=str)
def test_it_cannot_be_switched_off(under, strict, arguments):
    done = under(strict, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "the policy is mandatory and cannot be switched off" in done.stderr


def copy_of_what_ships(folder: Path, name: str | None) -> str:
    """Copy the encoder and the rule for photos that ship, under another name where one is given."""
    weights = ROOT / "index_store" / "weights"
    shutil.copytree(weights / "encoder", folder)
    shutil.copytree(weights / "minors", folder / "minors")
    for key, card in (("name", folder / "card.json"), ("encoder", folder / "minors" / "card.json")):
        content = json.loads(card.read_text())
        card.write_text(json.dumps(content | ({key: name} if name else {})))
    return str(folder)


def test_the_rule_that_ships_judges_the_photos_of_a_users_encoder_under_it(under, strict, demo, tmp_path):
    named = ("--store", str(tmp_path / "store"), "--encoder", copy_of_what_ships(tmp_path / "mine", "mine-12345678"))
    assert under(strict, "index", str(demo / "test_images"), *named).returncode == 0
    done = under(strict, "query", "a cat", "--min-score", "0", "--format", "paths", *named)
    assert (done.returncode, done.stdout) == (3, "")


def test_a_users_folder_under_the_name_of_what_ships_judges_nothing_under_it(under, strict, demo, tmp_path):
    mine = copy_of_what_ships(tmp_path / "mine", None)
    done = under(strict, "index", str(demo / "test_images"), "--store", str(tmp_path / "store"), "--encoder", mine)
    assert done.returncode == 2
    assert "may not be used to judge photos: the policy of this machine is mandatory" in done.stderr


def test_its_threshold_holds(under, strict, demo, tmp_path):
    store = str(demo / "store")
    asked = ("query", "a cat", "--min-score", "0", "-k", "1", "--format", "paths", "--store", store)
    assert under(SHIPPED_POLICY, *asked).stdout == f"{demo / 'test_images' / 'chelsea.png'}\n"
    done = under(strict, *asked)
    assert (done.returncode, done.stdout) == (3, "")


def test_a_file_that_others_may_write_is_refused_in_one_line(under, tmp_path):
    for mode, owner in (("666", "0"), ("664", "0"), ("644", "12345")):
        policy = f"chmod {mode} /etc/imgsearch/policy.toml; chown {owner} /etc/imgsearch/policy.toml"
        done = under(SHIPPED_POLICY, "policy", "check", "a cat", before=policy)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(
            "imgsearch: /etc/imgsearch/policy.toml: is not trusted, because others than root may change "
        )


def test_a_folder_that_others_may_write_is_refused(under, tmp_path):
    done = under(SHIPPED_POLICY, "policy", "check", "a cat", before="chmod 777 /etc/imgsearch")
    assert (done.returncode, done.stdout) == (2, "")
    assert "others than root may change /etc/imgsearch; as root: chown root /etc/imgsearch" in done.stderr


def test_config_shows_that_it_holds(under, strict):
    done = under(strict, "config", "--json", env={"IMGSEARCH_POLICY": "/mine.toml"})
    settings = [json.loads(line) for line in done.stdout.splitlines()[1:]]
    assert {"setting": "policy", "value": "/etc/imgsearch/policy.toml", "from": "machine"} in settings

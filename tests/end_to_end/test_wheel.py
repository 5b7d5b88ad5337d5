from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_WEIGHTS_BYTES = 40_000_000
MAX_LANGUAGES_BYTES = 2_000_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl"))


def test_the_wheel_has_weights_policy_and_no_tests(wheel):
    assert wheel.name.startswith("imgsearch_cli-0.1.0-py3-none-any")
    names = set(zipfile.ZipFile(wheel).namelist())
    needed = ("weights/encoder/text.onnx", "weights/encoder/photo.onnx", "weights/encoder/tokenizer.json")
    needed += ("weights/reranker/reranker.npz", "weights/minors/minors.npz", "compliance/policy.toml", "py.typed")
    assert {f"index_store/{name}" for name in needed} <= names
    assert not {name for name in names if name.startswith(("tests", "benchmarks", "docs"))}


def test_all_shipped_weights_are_within_forty_megabytes():
    weights = ROOT / "index_store" / "weights"
    sizes = {path: path.stat().st_size for path in weights.rglob("*") if path.is_file()}
    languages = sum(size for path, size in sizes.items() if path.is_relative_to(weights / "languages"))
    assert languages <= MAX_LANGUAGES_BYTES
    assert sum(sizes.values()) - languages <= MAX_WEIGHTS_BYTES


@pytest.mark.slow
def test_an_installed_wheel_works_outside_the_checkout(wheel, demo, tmp_path):
    """The dependencies are those of this environment, the program is the wheel's."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "empty"], check=True)
    python = tmp_path / "empty" / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel], check=True
    )
    inside = sysconfig.get_path("purelib", vars={"base": str(tmp_path / "empty")})
    dependencies = [place for place in sys.path if place.endswith("site-packages")]
    Path(inside, "dependencies.pth").write_text("\n".join(dependencies) + "\n", encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "IMGSEARCH"))}

    def run(*arguments: str) -> str:
        command = [str(tmp_path / "empty" / "bin" / "imgsearch"), *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path, env=environment)
        return done.stdout

    where = subprocess.run(
        [python, "-c", "import index_store; print(index_store.__file__)"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert where.stdout.startswith(str(tmp_path))
    run("--quiet", "index", str(demo / "test_images"), "--store", "store")
    found = run("query", "a cat", "-k", "1", "--min-score", "0", "--format", "paths", "--store", "store")
    assert found == f"{demo / 'test_images' / 'chelsea.png'}\n"

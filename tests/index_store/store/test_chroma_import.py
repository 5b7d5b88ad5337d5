"""The working directory and the environment decide nothing about Chroma."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

OPEN = (
    "import sys; from index_store.store.image_store import create_store, open_store\n"
    "from index_store.store.manifest import Manifest\n"
    "create_store(sys.argv[1], Manifest('e', 4)); print(open_store(sys.argv[1]).count())\n"
)

WRONG = {"CHROMA_SERVER_HTTP_PORT": "many", "IS_PERSISTENT": "perhaps", "MIGRATIONS": "never"}
ELSEWHERE = {
    "CHROMA_PRODUCT_TELEMETRY_IMPL": "hostile.Telemetry",
    "ANONYMIZED_TELEMETRY": "true",
    "CHROMA_API_IMPL": "hostile.API",
    "CHROMA_SYSDB_IMPL": "hostile.API",
    "PERSIST_DIRECTORY": "elsewhere",
    "CHROMA_OTEL_COLLECTION_ENDPOINT": "http://127.0.0.1:9",
}


def lines(variables: dict[str, str]) -> bytes:
    return "".join(f"{name}={value}\n" for name, value in variables.items()).encode()


FILES = {
    "broken": b"\xff\xfe\0CHROMA_SERVER_HTTP_PORT=\n",
    "wrong values": lines(WRONG),
    "other modules, another place": lines(ELSEWHERE),
}


def run(folder: Path, **variables: str) -> str:
    # the working directory is on no path here: what a module in it would do is another matter
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "PYTHONSAFEPATH": "1", **variables}
    done = subprocess.run(
        [sys.executable, "-c", OPEN, str(folder / "store")],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_a_dotenv_file_in_the_working_directory_changes_nothing(tmp_path, content):
    (tmp_path / ".env").write_bytes(content)
    (tmp_path / "hostile.py").write_text("raise SystemExit('was imported')")
    assert run(tmp_path) == "0\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".env", "hostile.py", "store"]


def test_a_named_pipe_called_dotenv_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / ".env")
    assert run(tmp_path) == "0\n"


@pytest.mark.parametrize("variables", [WRONG, ELSEWHERE], ids=["wrong values", "other modules, another place"])
def test_variables_that_are_not_ours_change_nothing(tmp_path, variables):
    assert run(tmp_path, **variables) == "0\n"
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_other_libraries_still_read_their_settings_as_ever(tmp_path, monkeypatch):
    import pydantic_settings

    import index_store.store.chroma_import  # noqa: F401

    class Theirs(pydantic_settings.BaseSettings):
        model_config = {"env_file": tmp_path / ".env"}
        colour: str = "none"

    (tmp_path / ".env").write_text("colour=red\n")
    assert Theirs().colour == "red"
    monkeypatch.setenv("colour", "blue")
    assert Theirs().colour == "blue"

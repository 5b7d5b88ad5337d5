"""The fuzzer finds mended faults when they are taken back, makes the same cases again, and keeps what fails."""

from __future__ import annotations

import subprocess
import sys
import zlib
from pathlib import Path
from random import Random

import pytest

from index_store.photos.file_formats import png_chunks
from tests.fuzz.fuzzing import FaultFound, Target, check_kept, run
from tests.fuzz.mutating import bytes_changed, joined, json_changed, mended, metadata_replaced, pieces_of

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests" / "corpus"

_PHOTO_FAULT = (
    "import index_store.photos.open as photos; "
    "photos._reason = lambda error, *about: type(error).__name__ + repr(error); "
    "from index_store.photos.decoder_workers import work; work()"
)
TAKEN_BACK = {
    "texts": (
        "control characters and marks stay in a text, and hide words from the rule",
        "import index_store.compliance.normalising as normalising; normalising._shown = lambda letter: letter",
    ),
    "photos": (
        "errors of libraries are shown as they are",
        f"import index_store.photos.decoder_workers as d; d.WORKER = (*d.WORKER[:3], {_PHOTO_FAULT!r})",
    ),
    "stores": (
        "what Chroma raises over damaged files is passed on",
        "import index_store.store.client as client; client._is_of_chroma = lambda error, place: False",
    ),
    "servers": (
        "what Chroma's client trips over is passed on",
        "import index_store.store.client as client; "
        "client._is_of_chroma = lambda error, place: isinstance(error, client.ChromaError | OSError)",
    ),
    "models": (
        "what ONNX Runtime raises over damaged networks is passed on",
        "import index_store.encoders.onnx_dual as dual; "
        "dual._open_session = lambda path: dual.onnxruntime.InferenceSession(str(path))",
    ),
    "inputs": (
        "a batch's numbers are taken as they come",
        "import index_store.queries.batch as batching; batching._number = lambda fields, name: fields[name]",
    ),
}
"""A mended fault of each target, and what takes its mend away."""


@pytest.mark.slow
@pytest.mark.parametrize("target", TAKEN_BACK)
def test_a_fault_that_is_taken_back_is_found_within_the_minute(target, tmp_path):
    _, taking_back = TAKEN_BACK[target]
    program = f"{taking_back}\nimport sys\nfrom tests.fuzz.__main__ import main\nsys.exit(main())"
    options = ["--target", target, "--seconds", "60", "--keep-in", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", program, *options], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    kept = next(tmp_path.iterdir())
    assert f"the case is kept in {kept}" in done.stdout
    again = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--target", target, "--case", str(kept)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (again.returncode, again.stdout) == (0, f"{target}: no fault\n"), again.stderr


class _Odd(Target):
    """Fails where its number is odd and large."""

    name = "odd"

    def make(self, chance: Random, folder: Path) -> None:
        (folder / "number").write_text(str(chance.randrange(100)))

    def check(self, folder: Path) -> None:
        number = int((folder / "number").read_text())
        (folder / "number").write_text("changed by the program")
        if number % 2 and number > 50:
            raise FaultFound(f"{number} is odd and large")


def test_a_case_that_fails_is_kept_as_it_was_made_and_fails_again(tmp_path):
    for name in ("scratch", "again", "second"):
        (tmp_path / name).mkdir()
    result = run(_Odd(tmp_path / "scratch"), 3, 60.0, tmp_path / "kept")
    assert result.failure is not None
    assert check_kept(_Odd(tmp_path / "again"), result.failure.kept) == result.failure.fault
    assert str(result.failure.kept) in str(result.failure)
    second = run(_Odd(tmp_path / "second"), 3, 60.0, tmp_path / "kept")
    assert second == result
    assert not list((tmp_path / "scratch").iterdir())


def test_a_target_without_faults_ends_with_its_time(tmp_path):
    class Sound(_Odd):
        def check(self, folder: Path) -> None:
            pass

    result = run(Sound(tmp_path), 1, 0.05, tmp_path / "kept")
    assert result.cases >= 1
    assert result.failure is None


@pytest.mark.parametrize("name", ["png-orientation-6.png", "jpeg-orientation-5.jpg", "webp-orientation-7.webp"])
def test_a_container_is_put_together_as_it_was(name):
    content = (CORPUS / name).read_bytes()
    pieces = pieces_of(content)
    assert pieces is not None
    parts = [(kind, body) for kind, body in pieces if not body.startswith(b"\0inflated")]
    family = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}[name.rpartition(".")[2]]
    assert len(parts) >= 3
    assert all(body in content for _, body in parts)
    if family != "PNG":  # its pixels are packed again, in another way
        assert joined(pieces, family) == content


def test_checksums_of_a_changed_png_are_right():
    content = (CORPUS / "png-orientation-6.png").read_bytes()
    changed = bytearray(content)
    changed[40] ^= 1
    whole = mended(bytes(changed), True)
    assert len(whole) == len(content)
    for _, at, end in png_chunks(whole):
        assert int.from_bytes(whole[end - 4 : end]) == zlib.crc32(whole[at + 4 : end - 4])


def test_changes_are_those_of_the_seed():
    content = bytes(range(256)) * 8
    facts = {"a": [1, {"b": None}], "c": "d"}
    assert bytes_changed(content, Random(1)) == bytes_changed(content, Random(1)) != content
    assert json_changed(facts, Random(1)) is not facts
    assert facts == {"a": [1, {"b": None}], "c": "d"}
    assert repr(json_changed(facts, Random(5))) == repr(json_changed(facts, Random(5)))
    assert metadata_replaced((CORPUS / "jpeg-orientation-5.jpg").read_bytes(), Random(2)) is not None
    assert metadata_replaced((CORPUS / "four-pictures.gif").read_bytes(), Random(2)) is None


def test_the_texts_target_gives_back_what_it_replaced(tmp_path):
    from index_store.compliance.texts import TextRule
    from index_store.encoders.onnx_dual import OnnxTextEncoder
    from tests.fuzz.texts import Texts

    before = TextRule.check, OnnxTextEncoder.encode_texts
    target = Texts(tmp_path)
    assert before != (TextRule.check, OnnxTextEncoder.encode_texts)
    target.close()
    assert before == (TextRule.check, OnnxTextEncoder.encode_texts)

"""The door to encoders of others: their cards without torch, one store for two of them, and what cannot be had."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from index_store.compliance.shipped_vectors import unpack_shipped
from index_store.encoders.hub import fetch
from index_store.encoders.known_folders import known_folder, remember_folder
from index_store.encoders.listing import list_encoders
from index_store.encoders.registry import DEFAULT_ENCODER, encoder_card, load_photo_encoder, load_text_encoder
from index_store.encoders.sentence_cards import HUB_NAMES
from index_store.errors import EncoderError, PolicyError, StoreError, WeightsError
from index_store.library import Library
from index_store.photos.places import Place
from index_store.queries.ask import Searcher, search
from index_store.records import PhotoInput
from index_store.reranker.cosine import CosineScorer
from index_store.reranker.predictors import Curve
from index_store.reranker.reranking import Reranker, write_reranker
from index_store.store.encoder_collections import encoders_in
from index_store.store.image_store import open_store
from tests.index_store.tiny_clip import hub, make_clip, plain_clip, put_into_cache, sentence_clip, siglip

__all__ = ["hub", "plain_clip", "sentence_clip", "siglip"]


@pytest.fixture
def photos(tmp_path: Path) -> Place:
    """Five photos of noise."""
    from PIL import Image

    folder = tmp_path / "photos"
    folder.mkdir()
    for number, pixels in enumerate(np.random.default_rng(1).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return Place(str(folder))


@dataclass
class Setting:
    """A place for a store, and a model that a test may break."""

    store: str
    model: Path

    def library(self) -> Library:
        return Library(self.store, str(self.model))


@pytest.fixture
def clip(tmp_path: Path, sentence_clip: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Setting(str(tmp_path / "store"), shutil.copytree(sentence_clip, tmp_path / "tiny-clip"))


def add_rule(model: Path, weight: float) -> None:
    """Give an encoder a rule for photos that calls nothing a child, or with a large `weight` everything."""
    from index_store.compliance.photo_rule import Network, PhotoModel, save_model

    card = encoder_card(str(model))
    (model / "minors").mkdir()
    layer = np.zeros((card.dimension, 1), np.float32), np.array([weight], np.float32)
    save_model(PhotoModel((Network((layer,)),), 1.0, 0.0), model / "minors")
    (model / "minors" / "card.json").write_text(json.dumps({"version": "rule-1", "encoder": card.name}))


# -- cards -----------------------------------------------------------------------------------------------------------


def test_the_card_says_dimension_and_preparation(plain_clip: Path, sentence_clip: Path, siglip: Path) -> None:
    card = encoder_card(str(sentence_clip))
    assert (card.dimension, card.photo_input, card.max_tokens) == (12, PhotoInput(32, squash=False), 16)
    assert card.name == f"tiny-clip-{card.fingerprint[:8]}"
    assert encoder_card(str(plain_clip)).photo_input == card.photo_input
    other = encoder_card(str(siglip))
    assert (other.dimension, other.photo_input, other.max_tokens) == (16, PhotoInput(32, squash=True), 8)


def test_the_card_fills_in_what_configs_leave_out(sentence_clip: Path, tmp_path: Path) -> None:
    # as transformers writes them: only what differs from the defaults; and as the first CLIP's files were
    folder = shutil.copytree(sentence_clip, tmp_path / "model")
    (folder / "config.json").write_text(json.dumps({"model_type": "clip"}))
    (folder / "processor_config.json").unlink()
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": 224, "crop_size": 224}))
    card = encoder_card(str(folder))
    assert (card.dimension, card.photo_input, card.max_tokens) == (512, PhotoInput(224, squash=False), 77)


def test_a_dense_module_behind_sets_the_dimension(sentence_clip: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sentence_clip, tmp_path / "model")
    modules = json.loads((folder / "modules.json").read_text())
    more = [
        ("1_Dense", "sentence_transformers.models.Dense"),
        ("2_Normalize", "sentence_transformers.models.Normalize"),
    ]
    modules += [{"path": path, "type": kind} for path, kind in more]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Dense").mkdir()
    (folder / "1_Dense" / "config.json").write_text(json.dumps({"in_features": 12, "out_features": 7}))
    shutil.copy(folder / "model.safetensors", folder / "1_Dense")
    assert encoder_card(str(folder)).dimension == 7


def test_the_name_changes_with_the_weights_and_with_nothing_else(sentence_clip: Path, tmp_path: Path) -> None:
    name = encoder_card(str(sentence_clip)).name
    copy = shutil.copytree(sentence_clip, tmp_path / "tiny-clip")
    (copy / "README.md").write_text("mine")
    add_rule(copy, 0.0)
    assert encoder_card(str(copy)).name == name
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-5] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert encoder_card(str(copy)).name != name


def test_cards_and_lists_load_neither_numpy_nor_torch(sentence_clip: Path) -> None:
    code = (
        "import sys\n"
        "from index_store.encoders.listing import list_encoders\n"
        f"assert list_encoders([{str(sentence_clip)!r}])[1].usable\n"
        "print(sorted({'numpy', 'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# -- what cannot be had ----------------------------------------------------------------------------------------------


def damage_nothing_but_the_kind(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))


def damage_the_first_module(folder: Path) -> None:
    (folder / "modules.json").write_text(json.dumps([{"path": "", "type": "sentence_transformers.models.Bow"}]))


def cut_the_weights_short(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def overwrite_the_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\xff" * 5000)


def lose_the_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def spoil_the_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def spoil_a_number(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "clip", "projection_dim": "wide"}))


def lose_the_processor(folder: Path) -> None:
    (folder / "processor_config.json").unlink()


def lose_the_tokenizer(folder: Path) -> None:
    for path in (*folder.glob("tokenizer*"), folder / "vocab.json", folder / "merges.txt"):
        path.unlink(missing_ok=True)


def lose_half_of_the_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text("{}")


def bring_own_code(folder: Path) -> None:
    (folder / "evil.py").write_text("open('ran', 'w').close()\nclass Transformer: pass\n")
    modules = [{"idx": 0, "name": "0", "path": "", "type": "evil.Transformer"}]
    (folder / "modules.json").write_text(json.dumps(modules))


def bring_own_code_behind(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules.append({"idx": 9, "name": "9", "path": "", "type": "evil.Normalize"})
    (folder / "modules.json").write_text(json.dumps(modules))


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran",)


def pickle_something_to_run(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"a": Evil()}))


@pytest.mark.parametrize(
    ("damage", "error", "line"),
    [
        (damage_nothing_but_the_kind, EncoderError, r"config\.json: the model is 'bert', not clip or siglip"),
        (damage_the_first_module, EncoderError, r"modules\.json: begins with sentence_transformers\.models\.Bow"),
        (cut_the_weights_short, WeightsError, r"model\.safetensors: has [\d,]+ bytes, its header says [\d,]+;"),
        (overwrite_the_weights, WeightsError, r"model\.safetensors: is damaged"),
        (lose_the_weights, WeightsError, r"has no model\.safetensors or pytorch_model\.bin;"),
        (spoil_the_config, WeightsError, r"config\.json: is damaged"),
        (spoil_a_number, WeightsError, r"tiny-clip: is damaged \(ValueError"),
        (lose_the_processor, WeightsError, r"preprocessor_config\.json: is missing;"),
        (lose_the_tokenizer, WeightsError, r"tiny-clip: has no tokenizer\.json, or vocab\.json with merges\.txt;"),
        (lose_half_of_the_tokenizer, WeightsError, r"has no tokenizer\.json, or vocab\.json with merges\.txt;"),
        (bring_own_code, EncoderError, r"modules\.json: evil\.Transformer is no module of sentence-tr.* is never run"),
        (bring_own_code_behind, EncoderError, r"modules\.json: evil\.Normalize is no module of sentence-transf"),
        (
            pickle_something_to_run,
            WeightsError,
            r"tiny-clip: cannot be opened \(a pickled file holds more than weights",
        ),
    ],
)
def test_a_folder_that_cannot_be_used_is_one_line_and_nothing_is_made(
    damage: Callable[[Path], None],
    error: type[Exception],
    line: str,
    clip: Setting,
    photos: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    damage(clip.model)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(clip.model)
    with pytest.raises(error, match=line) as caught:
        clip.library().index([photos])
    assert str(caught.value).endswith("nothing was changed") and "\n" not in str(caught.value)
    assert not os.path.exists("ran")
    # only a pickle is found out when it is opened
    assert not os.path.exists(clip.store) or Library(clip.store).status().photos == 0


def test_a_folder_of_something_else_is_no_encoder(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(WeightsError, match=r"card\.json: no encoder's card can be read here"):
        encoder_card(str(tmp_path))


def test_a_folder_that_is_nearly_an_encoder_says_what_to_name_or_to_put_there(plain_clip: Path, tmp_path: Path) -> None:
    (tmp_path / "laion").mkdir()
    (tmp_path / "laion" / "open_clip_config.json").write_text("{}")
    kept = put_into_cache(plain_clip, tmp_path, "openai/clip")
    named = {
        plain_clip / "model.safetensors": "is a file, and an encoder is a folder: name the one with all its files",
        tmp_path
        / "laion": "has the model in open_clip's form alone; put the same model's files for transformers there",
        kept.parents[1]: f"is a folder of the hub's cache: name the model in it, {kept}",
    }
    for path, said in named.items():
        with pytest.raises(EncoderError, match=re.escape(f"{path}: {said}")):
            encoder_card(str(path))
    with pytest.raises(EncoderError, match="no encoder is called nothing"):
        encoder_card(" ")


def test_a_folder_below_ones_own_is_found_where_no_shell_has_read_its_name(
    clip: Setting, photos: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the configuration's file has it, or a call from Python."""
    monkeypatch.setenv("HOME", str(clip.model.parent))
    Library(clip.store, f"~/{clip.model.name}").index([photos])
    assert Library(clip.store).status().encoder == encoder_card(str(clip.model)).name
    assert known_folder(encoder_card(str(clip.model)).name) == clip.model


def test_a_blank_around_a_name_does_no_harm(hub: Path, sentence_clip: Path) -> None:
    put_into_cache(sentence_clip, hub, "sentence-transformers/clip-ViT-B-32")
    assert encoder_card(" clip-ViT-B-32 ") == encoder_card("clip-ViT-B-32")


@pytest.mark.parametrize("name", ["clip-ViT-B-32", "openai/clip-vit-base-patch32"])
def test_a_hub_name_that_is_not_here_says_what_to_do(name: str, hub: Path, tmp_path: Path, photos: Place) -> None:
    with pytest.raises(EncoderError) as caught:
        Library(str(tmp_path / "store"), name).index([photos])
    assert str(caught.value) == (
        f"{name} is not on this machine: fetch it with `imgsearch encoders --fetch {name}`, or put its files into a "
        "folder and name that with --encoder; nothing was changed"
    )
    assert not (tmp_path / "store").exists()


def test_fetching_is_refused_where_the_hubs_own_setting_forbids_it(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        EncoderError, match=r"clip-ViT-B-32 is not on this machine, and HF_HUB_OFFLINE forbids to fetch"
    ):
        fetch("clip-ViT-B-32")


def test_fetching_from_a_hub_that_cannot_be_reached_fails_soon_and_in_one_line(hub: Path) -> None:
    code = "from index_store.encoders.hub import fetch\nfetch('clip-ViT-B-32')"
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("index_store.errors.EncoderError: sentence-transformers/clip-ViT-B-32 cannot be fetched (")
    assert last.endswith("put its files into a folder and name that with --encoder; nothing was changed")


def test_fetching_takes_pickled_weights_only_where_there_are_no_others(
    hub: Path, sentence_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    asked: list[bool] = []

    def download(repository: str, *, cache_dir: Path, ignore_patterns: list[str], **_: object) -> None:
        asked.append("*.bin" in ignore_patterns)
        folder = cache_dir / "models--org--clip" / "snapshots" / "0123abcd"
        if asked[-1]:
            (put_into_cache(sentence_clip, cache_dir, repository) / "model.safetensors").unlink()
        else:
            (folder / "pytorch_model.bin").write_bytes(b"weights")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert fetch("org/clip").file_bytes == {"pytorch_model.bin": 7}
    assert asked == [True, False]
    assert fetch("org/clip").name.startswith("org/clip-")
    assert len(asked) == 2


# -- end to end ------------------------------------------------------------------------------------------------------


def test_photos_are_found_in_the_order_of_their_cosines(clip: Setting, photos: Place) -> None:
    assert clip.library().index([photos]).added == 5
    searcher = Searcher(clip.store, encoder=str(clip.model), withhold=False)
    answer = searcher.ask("a red dog")
    (query,) = load_text_encoder(str(clip.model)).encode_texts(["a red dog"])
    contents = {photo.image_id: photo.content_hash for photo in searcher.store.photos()}
    stored = searcher.store.embeddings(list(contents.values()))
    cosines = [float(stored[contents[match.image_id or ""]] @ query) for match in answer.matches]
    assert len(cosines) == 5 and cosines == sorted(cosines, reverse=True)
    assert [match.score for match in answer.matches] == pytest.approx([max(0.0, value) for value in cosines], abs=1e-5)
    assert not answer.calibrated
    assert searcher.ask("blue").matches  # the encoder that is open serves the next one


def test_status_names_the_encoder_and_that_scores_are_cosines(clip: Setting, photos: Place) -> None:
    clip.library().index([photos])
    status = Library(clip.store).status()
    assert (status.encoder, status.dimension) == (encoder_card(str(clip.model)).name, 12)
    assert status.reranker == "cosine (uncalibrated)"


def test_an_unchanged_run_opens_no_model(clip: Setting, photos: Place) -> None:
    clip.library().index([photos])
    code = (
        "import sys\n"
        "from index_store.photos.places import Place\n"
        "from index_store.library import Library\n"
        f"library = Library({clip.store!r}, {str(clip.model)!r})\n"
        f"assert library.index([Place({photos.path!r})]).unchanged == 5\n"
        "library.status()\n"
        "print(sorted({'torch', 'transformers', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_two_encoders_live_in_one_store(clip: Setting, siglip: Path, photos: Place) -> None:
    clip.library().index([photos])
    Library(clip.store, str(siglip)).index([photos])
    assert encoders_in(clip.store) == sorted(encoder_card(str(model)).name for model in (clip.model, siglip))
    for model, dimension in ((clip.model, 12), (siglip, 16)):
        searcher = Searcher(clip.store, encoder=str(model), withhold=False)
        assert (len(searcher.ask("a red dog").matches), searcher.store.manifest.dimension) == (5, dimension)
    names = [encoder_card(str(model)).name for model in (siglip, clip.model)]
    for model in (siglip, clip.model):  # the one that was indexed with last is in use
        Library(clip.store, str(model)).index([photos])
        used, other = names if model == siglip else names[::-1]
        answer = Library(clip.store).search("a red dog", min_score=0.0)
        assert answer.warnings == (f"searched with {used}; --encoder takes another: {other}",)
        assert Library(clip.store).index().unchanged == 5
        status = Library(clip.store).status()
        assert (status.encoder, status.encoders) == (used, {used: 5, other: 5})


def test_a_reranker_in_the_encoders_folder_calibrates_its_scores(clip: Setting, photos: Place) -> None:
    clip.library().index([photos])
    always = Curve(np.array([-1.0, 1.0], np.float32), np.array([0.25, 0.25], np.float32))
    name = encoder_card(str(clip.model)).towers
    write_reranker(
        clip.model / "reranker", Reranker("cosine", {}, always, always, name, 12, "", 0.1, {"model": "flat"})
    )
    answer = Searcher(clip.store, encoder=str(clip.model), withhold=False).ask("a red dog")
    assert (answer.calibrated, [match.score for match in answer.matches]) == (True, [0.25] * 5)
    assert clip.library().status().reranker.startswith("flat-")


def test_a_model_in_the_hubs_cache_is_found_again_by_the_store_alone(
    hub: Path, sentence_clip: Path, tmp_path: Path, photos: Place
) -> None:
    put_into_cache(sentence_clip, hub, "sentence-transformers/clip-ViT-B-32")
    store = str(tmp_path / "store")
    Library(store, "clip-ViT-B-32").index([photos])
    card = encoder_card("sentence-transformers/clip-ViT-B-32")
    assert encoders_in(store) == [card.name] and card.name == f"clip-ViT-B-32-{card.fingerprint[:8]}"
    assert len(Searcher(store, withhold=False).ask("a red dog").matches) == 5
    assert Library(store).index().unchanged == 5


def test_a_folder_is_found_again_by_the_store_alone(clip: Setting, photos: Place) -> None:
    clip.library().index([photos])
    assert Library(clip.store).index().unchanged == 5
    assert len(Library(clip.store).search("a red dog", min_score=0.0).matches) == 5
    assert len(search("a red dog", store=clip.store, min_score=0.0).matches) == 5
    # and by the name that `status` and the note of a query have for it
    name = Library(clip.store).status().encoder
    assert len(search("a red dog", store=clip.store, min_score=0.0, encoder=name).matches) == 5
    assert Library(clip.store, name).index().unchanged == 5


@pytest.mark.parametrize(
    ("change", "said"), [("gone", "does not exist any more"), ("other", "holds another encoder now")]
)
def test_a_folder_counts_while_its_fingerprint_fits(
    clip: Setting, photos: Place, siglip: Path, change: str, said: str
) -> None:
    clip.library().index([photos])
    name = encoder_card(str(clip.model)).name
    shutil.rmtree(clip.model)
    if change == "other":
        shutil.copytree(siglip, clip.model)
    wanted = rf"the store was built with the encoder {name}, and {clip.model}, where it was, {said}: name its folder"
    for act in (Library(clip.store).index, lambda: search("a red dog", store=clip.store)):
        with pytest.raises(EncoderError, match=wanted):
            act()


def test_no_store_decides_which_folder_is_opened(
    clip: Setting, photos: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for somebody who was given the store, with a folder of that name in the working directory."""
    clip.library().index([photos])
    name = encoder_card(str(clip.model)).name
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "another user"))
    with pytest.raises(EncoderError, match=rf"{name}, which is not known on this machine: name its folder with"):
        search("a red dog", store=clip.store)
    shutil.copytree(clip.model, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EncoderError, match=rf"{name}, which is not known on this machine: name its folder with"):
        search("a red dog", store=clip.store)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"x": 1}', '{"x": "relative"}', "[" * 100_000])
def test_a_damaged_list_of_folders_counts_as_none(
    clip: Setting, photos: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    (tmp_path / "imgsearch").mkdir()
    (tmp_path / "imgsearch" / "encoders.json").write_text(content)
    assert known_folder("x") is None
    remember_folder("x", tmp_path)
    assert known_folder("x") == tmp_path


@pytest.mark.parametrize("name", ["all-mpnet-base-v2", "sentence-transformers/all-MiniLM-L6-v2", "bert-base-uncased"])
def test_a_tower_for_texts_alone_is_named_as_such(hub: Path, name: str) -> None:
    short = name.rpartition("/")[2]
    with pytest.raises(EncoderError, match=rf"{name} is a tower for texts alone: .*--text-base {short} --output DIR"):
        encoder_card(name)


def test_a_store_of_another_model_of_the_same_name_is_refused(clip: Setting, photos: Place, tmp_path: Path) -> None:
    clip.library().index([photos])
    other = make_clip(tmp_path / "elsewhere" / "tiny-clip", seed=1)
    with pytest.raises(StoreError, match=r"was built with the encoder tiny-clip-\w{8}, not with tiny-clip-\w{8};"):
        Searcher(clip.store, encoder=str(other)).ask("a red dog")


def test_the_cosine_is_shown_as_it_is_and_its_negative_half_as_nothing() -> None:
    rows = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, -1.0], [-1.0, 0.0]], np.float32)
    scores = CosineScorer().score(np.array([0.6, 0.8], np.float32), rows)
    np.testing.assert_allclose(scores, [0.6, 1.0, 0.0, 0.0], atol=1e-6)


def test_scores_without_a_reranker_have_a_threshold_once_there_are_photos_to_compare_with(
    clip: Setting, tmp_path: Path
) -> None:
    from PIL import Image

    (tmp_path / "many").mkdir()
    for number, pixels in enumerate(np.random.default_rng(2).integers(0, 256, (30, 32, 32, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(tmp_path / "many" / f"{number}.png")
    clip.library().index([Place(str(tmp_path / "many"))])
    answer = Searcher(clip.store, withhold=False).ask("a red dog", k=30, min_score=0.0)
    scores, similarities = ([getattr(m, name) for m in answer.matches] for name in ("score", "similarity"))
    assert (answer.calibrated, len(scores)) == ("by reference", 30)
    assert similarities == sorted(similarities, reverse=True) and scores == sorted(scores, reverse=True)
    unrelated = Searcher(clip.store, withhold=False).ask("a red dog", k=30)
    assert len(unrelated.matches) == sum(score >= 0.5 for score in scores) < 30
    assert Library(clip.store).status().reranker.startswith("by reference")


# -- the rule for photos ---------------------------------------------------------------------------------------------


def probabilities(library: Library) -> dict[str, float]:
    store = library._open(read_only=True)
    return {os.path.basename(photo.image_id): photo.verdict.probability for photo in store.photos()}


def test_the_tower_that_ships_judges_the_photos_of_every_encoder(clip: Setting, photos: Place, tmp_path: Path) -> None:
    report = clip.library().index([photos])
    shipped = Library(str(tmp_path / "shipped"))
    assert report.withheld == shipped.index([photos]).withheld
    assert probabilities(clip.library()) == pytest.approx(probabilities(shipped), abs=1e-6)


def test_the_vector_of_the_tower_that_ships_is_kept_with_the_row_in_half_precision(
    clip: Setting, photos: Place, tmp_path: Path
) -> None:
    clip.library().index([photos])
    shipped = Library(str(tmp_path / "shipped"))
    shipped.index([photos])
    vectors = shipped._open().embeddings([row.content_hash for row in shipped._open().photos()])
    card = encoder_card()
    for row in clip.library()._open(read_only=True).photos():
        assert len(row.shipped_vector) == len(card.name) + 1 + 1024
        kept = unpack_shipped(row.shipped_vector, card.name, card.dimension)
        assert kept is not None and float(kept @ vectors[row.content_hash]) > 0.9999


def test_the_strictest_verdict_of_both_rules_holds(clip: Setting, photos: Place) -> None:
    add_rule(clip.model, weight=20.0)
    assert clip.library().index([photos]).withheld == 5
    [rule] = {photo.verdict.rule for photo in clip.library().withheld()}
    assert rule.endswith("+rule-1") and len(rule) > len("+rule-1")


def test_a_decision_by_hand_hides_copies_by_the_tower_that_ships_and_not_by_the_encoder(
    clip: Setting, photos: Place
) -> None:
    """To the tiny CLIP nearly all photos are alike, as photos of one place are to a real one."""
    from PIL import Image

    folder = Path(photos.path)
    Image.linear_gradient("L").save(folder / "a.png")
    Image.open(folder / "a.png").resize((200, 200)).save(folder / "a-small.png")
    clip.library().index([photos])
    rows = {Path(row.image_id).name: row for row in open_store(clip.store).photos()}
    clip.library().decide([str(folder / "a.png")], withhold=True, reason="a test")
    hidden = [Path(path).name for photo in clip.library().withheld() for path in photo.paths]
    vectors = open_store(clip.store).embeddings([row.content_hash for row in rows.values()])
    decided = vectors[rows["a.png"].content_hash]
    alike = {name for name, row in rows.items() if vectors[row.content_hash] @ decided > 0.95}
    assert {"0.png", "a-small.png"} <= alike
    assert {"a.png", "a-small.png"} <= set(hidden)
    assert "0.png" not in hidden


def test_an_own_rule_takes_no_verdict_of_the_shipped_one_back(clip: Setting, photos: Place, tmp_path: Path) -> None:
    strict = with_threshold(tmp_path, "0.0001")
    add_rule(clip.model, weight=-20.0)
    assert Library(clip.store, str(clip.model), strict).index([photos]).withheld == 5


def with_threshold(tmp_path: Path, wanted: str) -> Path:
    """The policy that ships, with another threshold for photos."""
    import index_store.compliance.policy as policy

    shipped = (Path(policy.__file__).parent / "policy.toml").read_text()
    path = tmp_path / "threshold.toml"
    path.write_text(shipped.replace(f"threshold = {policy.load_policy().photo_threshold:g}", f"threshold = {wanted}"))
    assert policy.load_policy(path).photo_threshold == float(wanted)
    return path


def test_another_rule_judges_what_is_stored_and_opens_no_photo(clip: Setting, photos: Place, tmp_path: Path) -> None:
    lax = with_threshold(tmp_path, "0.999")
    library = Library(clip.store, str(clip.model), lax)
    assert library.index([photos]).withheld == 0
    add_rule(clip.model, weight=20.0)
    answer = Searcher(clip.store, encoder=str(clip.model), policy_file=lax).ask("a red dog", min_score=0.0)
    assert len(answer.matches) == 5 and all(match.withheld for match in answer.matches)
    report = library.index([photos])
    assert (report.encoded, report.withheld) == (0, 5)
    shutil.rmtree(clip.model / "minors")
    report = library.index([photos])
    assert (report.encoded, report.withheld) == (0, 0)


@pytest.mark.parametrize("vector", ["", "lite2-minilm-00000000 " + "A" * 1024, "{shipped} AAAA", "{shipped} %"])
def test_a_row_that_the_tower_that_ships_has_not_seen_is_withheld_and_made_again(
    clip: Setting, photos: Place, vector: str
) -> None:
    before = clip.library().index([photos]).withheld
    store = clip.library()._open()
    wrong = vector.format(shipped=encoder_card().name)
    rows = [replace(row, shipped_vector=wrong, verdict=replace(row.verdict, rule="x")) for row in store.photos()]
    store.update(rows)
    answer = Searcher(clip.store, encoder=str(clip.model)).ask("a red dog", min_score=0.0)
    assert len(answer.matches) == 5 and all(match.withheld for match in answer.matches)
    report = clip.library().index([photos])
    assert (report.added, report.removed, report.withheld) == (0, 0, before)
    assert clip.library()._open().count() == 5


def test_a_mandatory_policy_lets_an_encoder_search_and_the_rule_that_ships_judge(
    clip: Setting, photos: Place, tmp_path: Path
) -> None:
    import index_store.compliance.policy as policy

    shipped = (Path(policy.__file__).parent / "policy.toml").read_text()
    (tmp_path / "policy.toml").write_text(shipped.replace("mandatory = false", "mandatory = true"))
    assert Library(clip.store, str(clip.model), tmp_path / "policy.toml").index([photos]).added == 5
    with pytest.raises(PolicyError, match="the policy is mandatory"):
        Searcher(clip.store, encoder=str(clip.model), policy_file=tmp_path / "policy.toml", withhold=False)


# -- the list --------------------------------------------------------------------------------------------------------


def test_the_list_says_what_is_here_and_what_is_missing(hub: Path, sentence_clip: Path, tmp_path: Path) -> None:
    put_into_cache(sentence_clip, hub, "sentence-transformers/clip-ViT-B-32")
    put_into_cache(sentence_clip, hub, "me/another")
    bert = put_into_cache(sentence_clip, hub, "me/bert")
    (bert / "config.json").write_text(json.dumps({"model_type": "bert"}))
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    listed = {row.encoder: row for row in list_encoders([str(nothing)])}
    assert list(listed) == [DEFAULT_ENCODER, str(nothing), *HUB_NAMES, "me/another"]
    assert {name for name, row in listed.items() if row.usable} == {DEFAULT_ENCODER, "clip-ViT-B-32", "me/another"}
    cached = listed["clip-ViT-B-32"]
    assert (cached.name, cached.dimension) == (encoder_card("clip-ViT-B-32").name, 12)
    assert (cached.reranker, cached.photo_rule) == (False, False)
    assert listed["clip-ViT-L-14"].missing == "imgsearch encoders --fetch clip-ViT-L-14"
    assert "no encoder's card can be read here" in listed[str(nothing)].missing


def test_the_list_names_a_package_that_is_not_installed(
    hub: Path, sentence_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "sentence_transformers" else find(name)
    )
    (listed,) = [row for row in list_encoders([str(sentence_clip)]) if row.kind == "folder"]
    assert listed.missing == "pip install sentence-transformers"


def test_photos_come_with_their_own_aspect_ratio(sentence_clip: Path, tmp_path: Path) -> None:
    from PIL import Image

    from index_store.photos.open import open_photo

    Image.new("RGB", (200, 100)).save(tmp_path / "wide.png")
    encoder = load_photo_encoder(str(sentence_clip))
    opened = open_photo(str(tmp_path / "wide.png"), encoder.photo_input)
    assert opened.pixels.shape == (32, 64, 3)
    assert encoder.encode_photos([opened.pixels]).shape == (1, 12)


def test_the_list_counts_only_what_says_that_it_belongs_to_the_encoder(clip: Setting, hub: Path) -> None:
    add_rule(clip.model, 0.0)
    (clip.model / "reranker").mkdir()
    (clip.model / "reranker" / "card.json").write_text(json.dumps({"encoder": "another"}))
    (listed,) = [row for row in list_encoders([str(clip.model)]) if row.kind == "folder"]
    assert (listed.photo_rule, listed.reranker) == (True, False)

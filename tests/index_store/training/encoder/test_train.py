"""Real training, export and encoding, on photos of plain colours and with bases made on the spot."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("onnx", reason="exporting needs onnx: pip install 'imgsearch-cli[train]'")

from PIL import Image  # noqa: E402
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors  # noqa: E402

from index_store.encoders.registry import encoder_card, load_photo_encoder, load_text_encoder, shipped_before  # noqa: E402
from index_store.encoders.torchvision_shim import declare_missing_operators  # noqa: E402
from index_store.errors import DataError, EncoderError, WeightsError  # noqa: E402
from index_store.training.data.captions import DataFolder, read_captions  # noqa: E402
from index_store.training.encoder import write_encoder as dual_writing  # noqa: E402
from index_store.training.encoder.bases import PhotoBase, TextBase  # noqa: E402
from index_store.training.encoder.best_epoch import Keeper, better_ones_at  # noqa: E402
from index_store.training.encoder.config import EncoderTraining, HeadShape  # noqa: E402
from index_store.training.encoder.initialise import choose_start, load_start  # noqa: E402
from index_store.training.encoder.model import DualModel, fit_reduction  # noqa: E402
from index_store.training.encoder.photo_views import Tokens, Views, feature_maps, load_photos, load_view, tokenize  # noqa: E402
from index_store.training.encoder.steps import contrastive_loss, drop_words, pseudo_features  # noqa: E402
from index_store.training.encoder.train import Places, build_towers, own_family, train_encoder  # noqa: E402
from index_store.training.encoder.validation import Gallery, Recall, recall_at  # noqa: E402

SIDE = 32
COLOURS = {"red": (230, 20, 20), "green": (20, 200, 30), "blue": (20, 40, 220), "white": (245, 245, 245)}
WORDS = ["[PAD]", *(f"[unused{number}]" for number in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS += [f"filler{number}" for number in range(len(WORDS), 1000)] + ["a", "photo", "of", "wall", *COLOURS]

TINY = EncoderTraining(
    seed=3,
    validation_share=0.0,
    views=2,
    heads=2,
    head=HeadShape(dimension=16, hidden=16, input_dropout=0.0, hidden_dropout=0.0),
    dimension=16,
    warmup_epochs=60,
    warmup_batch=4,
    epochs=2,
    batch=4,
    classes_per_batch=2,
    word_dropout=0.0,
)


def tiny_bases(folder: Path) -> tuple[PhotoBase, TextBase]:
    """Make a photo trunk of two convolutions and a BERT of one layer."""
    declare_missing_operators()
    transformers = pytest.importorskip("transformers", reason="the text base is a BERT of transformers")
    torch.manual_seed(0)
    front = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 5, stride=4), torch.nn.ReLU6())
    tail = torch.nn.Sequential(torch.nn.Conv2d(8, 24, 3), torch.nn.ReLU6())
    photo = PhotoBase("tiny", front, tail, SIDE, 24, torch.randn(3, 24), ["red wall", "green wall", "blue wall"])
    sizes = {"vocab_size": len(WORDS), "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.BertConfig(**sizes, intermediate_size=64, max_position_embeddings=64)
    config._attn_implementation = "eager"
    bert = transformers.BertModel(config, add_pooling_layer=False).eval()
    return photo, TextBase("tiny", bert, tiny_tokenizer(folder / "tokenizer.json"), 64)


def tiny_tokenizer(path: Path) -> Path:
    tokenizer = Tokenizer(models.WordPiece({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 102), ("[CLS]", 101))
    tokenizer.save(str(path))
    return path


def colour_data(folder: Path) -> Path:
    """Write eight photos of four colours in the layout of flickr8k_pretrain."""
    (folder / "images").mkdir(parents=True)
    lines = ["image\tcaption_id\tcaption"]
    for shade in range(2):
        for name, colour in COLOURS.items():
            image = f"{name}{shade}.png"
            pixels = [max(0, value - 15 * shade) for value in colour]
            Image.new("RGB", (40, 30), tuple(pixels)).save(folder / "images" / image)
            lines += [f"{image}\t{image}#0\ta {name} wall", f"{image}\t{image}#1\ta photo of a {name} wall"]
    (folder / "captions.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def silent(done: int, total: int, note: str) -> None:
    assert 0 <= done <= total  # 0 where the first step is still to come
    assert note


def two_numbers(value: float) -> DualModel:
    """Make a stand-in for two towers, with one weight each."""
    layers = (torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False))
    for layer in layers:
        torch.nn.init.constant_(layer.weight, value)
    return DualModel(*layers)  # type: ignore[arg-type]


class Scripted:
    """Held-out photos whose recall is told beforehand."""

    def __init__(self, recalls: list[float]) -> None:
        self._recalls = iter(recalls)

    def recall(self, model: DualModel, epoch: int) -> Recall:
        assert model.photo.weight.numel() == 1
        return Recall(epoch, 7, next(self._recalls), 0.0, 0.0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    report = train_encoder(
        [DataFolder(colour_data(folder / "data"))], folder / "made", TINY, silent, bases=tiny_bases(folder)
    )
    assert (report.photos, report.captions, report.shipped, report.curve) == (8, 16, (), ())
    return folder / "made"


def test_trained_folder_finds_each_colour_by_its_word(trained: Path) -> None:
    texts = load_text_encoder(str(trained)).encode_texts([f"a {name} wall" for name in COLOURS])
    photos = [np.full((SIDE, SIDE, 3), colour, dtype=np.uint8) for colour in COLOURS.values()]
    found = (texts @ load_photo_encoder(str(trained)).encode_photos(photos).T).argmax(axis=1)
    assert found.tolist() == [0, 1, 2, 3]


def test_export_agrees_with_the_towers_it_was_made_from(trained: Path) -> None:
    parity = json.loads((trained / "card.json").read_text(encoding="utf-8"))["parity_cosine"]
    assert parity["text"]["least"] >= 0.99
    assert parity["photo"]["least"] >= 0.99


def test_card_names_the_training_and_the_fingerprint(trained: Path) -> None:
    card = encoder_card(str(trained))
    facts = json.loads((trained / "card.json").read_text(encoding="utf-8"))
    assert card.name == f"tiny-tiny-{hashlib.sha256((trained / 'photo.onnx').read_bytes()).hexdigest()[:8]}"
    assert (card.dimension, card.photo_input.side) == (16, SIDE)
    assert facts["training"]["seed"] == 3
    assert facts["data"] == {
        "photos": 8,
        "captions": 16,
        "held_out_photos": 0,
        "sets": {"data": {"photos": 8, "weight": 1.0}},
    }


def test_an_encoder_on_the_bases_of_what_ships_is_no_release_of_it(tmp_path: Path) -> None:
    photo, text = tiny_bases(tmp_path)
    shipped = replace(photo, name="efficientnet-lite2"), replace(text, name="all-MiniLM-L6-v2")
    family = encoder_card().name.rpartition("-")[0]
    assert own_family(*shipped) == f"own-{family}"
    assert own_family(photo, text) == "tiny-tiny"
    assert shipped_before(f"{family}-00000000")
    assert not shipped_before(f"{own_family(*shipped)}-00000000")


def test_held_out_photos_are_measured_after_every_epoch(tmp_path: Path) -> None:
    config = replace(TINY, validation_share=0.4, warmup_epochs=1)
    report = train_encoder(
        [DataFolder(colour_data(tmp_path / "data"))], tmp_path / "made", config, silent, bases=tiny_bases(tmp_path)
    )
    assert [point.epoch for point in report.curve] == [1, 2]
    assert report.photos + report.shipped[0].gallery == 8


def test_training_goes_on_from_a_folder_made_before(trained: Path, tmp_path: Path) -> None:
    data, bases = colour_data(tmp_path / "data"), tiny_bases(tmp_path)
    report = train_encoder(
        [DataFolder(data)],
        tmp_path / "made",
        replace(TINY, epochs=1),
        silent,
        places=Places(start=trained),
        bases=bases,
    )
    texts = load_text_encoder(str(report.folder)).encode_texts([f"a {name} wall" for name in COLOURS])
    photos = [np.full((SIDE, SIDE, 3), colour, dtype=np.uint8) for colour in COLOURS.values()]
    found = (texts @ load_photo_encoder(str(report.folder)).encode_photos(photos).T).argmax(axis=1)
    assert found.tolist() == [0, 1, 2, 3]  # one epoch alone, from fresh heads, does not get there


def test_a_start_of_another_build_is_refused(trained: Path, tmp_path: Path) -> None:
    data, bases = colour_data(tmp_path / "data"), tiny_bases(tmp_path)
    with pytest.raises(EncoderError, match=r"towers\.pt: does not fit this configuration"):
        train_encoder(
            [DataFolder(data)],
            tmp_path / "made",
            replace(TINY, heads=3),
            silent,
            places=Places(start=trained),
            bases=bases,
        )
    with pytest.raises(WeightsError, match=r"card\.json: cannot be read as an encoder's card"):
        train_encoder([DataFolder(data)], tmp_path / "made", TINY, silent, places=Places(start=tmp_path), bases=bases)


def test_training_goes_on_from_the_files_that_ship_alone(trained: Path, tmp_path: Path) -> None:
    start = tmp_path / "start"
    shutil.copytree(trained, start, ignore=shutil.ignore_patterns("towers.pt"))
    data, bases = colour_data(tmp_path / "data"), tiny_bases(tmp_path)
    from_floats, from_files = build_towers(*bases, TINY), build_towers(*tiny_bases(tmp_path), TINY)
    load_start(from_floats, trained)
    load_start(from_files, start)
    photos = read_captions(data)
    pixels, tokens = torch.from_numpy(load_photos(photos, SIDE)), tokenize(["a red wall"], bases[1].tokenizer, 8)
    with torch.no_grad():
        photo_cosines = (from_floats.photo(pixels) * from_files.photo(pixels)).sum(dim=1)
        text_cosine = (from_floats.text(tokens.ids, tokens.mask) * from_files.text(tokens.ids, tokens.mask)).sum()
    assert float(photo_cosines.min()) > 0.99
    assert float(text_cosine) > 0.99
    report = train_encoder(
        [DataFolder(data)], tmp_path / "made", replace(TINY, epochs=1), silent, places=Places(start=start), bases=bases
    )
    assert report.photos == 8


def test_files_of_other_towers_are_no_start(trained: Path, tmp_path: Path) -> None:
    (start := tmp_path / "start").mkdir()
    for name in ("photo.onnx", "text.onnx", "card.json"):
        shutil.copy(trained / name, start)
    model = build_towers(*tiny_bases(tmp_path), replace(TINY, heads=3))
    with pytest.raises(EncoderError, match=r"photo\.onnx: has no heads\.heads\.2\.\S+, which these bases need"):
        load_start(model, start)


@pytest.mark.slow
def test_the_exported_tower_may_look_at_larger_photos_than_training_did(tmp_path: Path) -> None:
    photo, text = tiny_bases(tmp_path)
    bases = replace(photo, index_side=SIDE + 16), text
    report = train_encoder([DataFolder(colour_data(tmp_path / "data"))], tmp_path / "made", TINY, silent, bases=bases)
    assert encoder_card(str(report.folder)).photo_input.side == SIDE + 16
    assert report.parity["photo"]["least"] >= 0.99
    photos = [np.full((SIDE + 16, SIDE + 16, 3), colour, dtype=np.uint8) for colour in COLOURS.values()]
    texts = load_text_encoder(str(report.folder)).encode_texts([f"a {name} wall" for name in COLOURS])
    found = (texts @ load_photo_encoder(str(report.folder)).encode_photos(photos).T).argmax(axis=1)
    assert found.tolist() == [0, 1, 2, 3]


def test_the_best_epoch_is_kept_and_not_the_last() -> None:
    model = two_numbers(0.0)
    keeper = Keeper(model, [Scripted([0.2, 0.6, 0.4])], kept_share=0.0)
    for epoch in (1, 2, 3):
        keeper.offer(two_numbers(float(epoch)), epoch)
    keeper.put_best_into(model)
    assert model.photo.weight.item() == 2.0
    assert [point.at_1 for point in keeper.curve] == [0.2, 0.6, 0.4]


def test_half_of_the_start_stays_in_what_is_kept() -> None:
    model = two_numbers(1.0)
    keeper = Keeper(model, [Scripted([0.1, 0.2])], kept_share=0.5)
    keeper.measure_start(model)
    keeper.offer(two_numbers(4.0), 1)
    keeper.put_best_into(model)
    assert model.text.weight.item() == 2.5


def test_training_that_brings_nothing_writes_nothing() -> None:
    model = two_numbers(1.0)
    keeper = Keeper(model, [Scripted([0.5, 0.5])], kept_share=0.5)
    keeper.measure_start(model)
    keeper.offer(two_numbers(4.0), 1)
    with pytest.raises(EncoderError, match=r"no epoch finds more of the 7 held-out photos .* nothing was written"):
        keeper.put_best_into(model)


@pytest.mark.slow
def test_a_better_encoder_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, made = colour_data(tmp_path / "data"), tmp_path / "made"
    config = replace(TINY, validation_share=0.4)
    first = train_encoder([DataFolder(data)], made, config, silent, bases=tiny_bases(tmp_path))
    monkeypatch.setattr(dual_writing, "better_ones_at", lambda *_: [replace(first.shipped[0], at_1=1.0)])
    with pytest.raises(
        EncoderError, match=r"finds more of the \d held-out photos .* the new one is in .*made-not-better"
    ):
        train_encoder([DataFolder(data)], made, replace(config, seed=4), silent, bases=tiny_bases(tmp_path))
    assert encoder_card(str(made)).name == first.name
    assert encoder_card(str(tmp_path / "made-not-better")).name != first.name


def test_the_encoder_in_the_output_is_measured_on_the_same_photos(trained: Path, tmp_path: Path) -> None:
    photos = read_captions(colour_data(tmp_path / "data"))
    captions = tokenize([text for photo in photos for text in photo.captions], trained / "tokenizer.json", 64)
    galleries = [Gallery("data", photos, captions)]
    worst, best = Recall(1, 8, 0.0, 0.0, 0.0), Recall(1, 8, 1.0, 1.0, 1.0)
    assert better_ones_at(trained, galleries, [best]) == []
    assert better_ones_at(tmp_path / "nothing", galleries, [worst]) == []
    (better,) = better_ones_at(trained, galleries, [worst])
    assert better.at_5 == 1.0


def test_the_frozen_front_runs_once_for_each_view(tmp_path: Path) -> None:
    photos, cache = read_captions(colour_data(tmp_path / "data")), tmp_path / "cache"
    tower = build_towers(*tiny_bases(tmp_path), TINY).photo
    first = feature_maps(tower, [photos], Views(SIDE, 3), silent, cache)
    assert len(list(cache.iterdir())) == 3
    tower.maps = None  # type: ignore[method-assign,assignment]  # whoever ran the front now would fail
    again = feature_maps(tower, [photos], Views(SIDE, 3), silent, cache)
    assert all(torch.equal(old[row], new[row]) for old, new in zip(first, again, strict=True) for row in range(8))
    with pytest.raises(TypeError):
        feature_maps(tower, [photos[1:]], Views(SIDE, 1), silent, cache)


def test_a_start_that_ships_decides_the_shape_of_the_towers() -> None:
    assert choose_start("bases") == (None, EncoderTraining())
    folder, config = choose_start("shipped")
    made = json.loads((folder / "card.json").read_text(encoding="utf-8"))["training"]
    assert (config.heads, config.head.hidden) == (made["heads"], made["head"]["hidden"])
    assert config.kept_share == 0.5


def test_an_unknown_base_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="no photo base is called vgg: choose from efficientnet-lite2"):
        train_encoder(
            [DataFolder(colour_data(tmp_path / "data"))], tmp_path / "made", EncoderTraining(photo_base="vgg"), silent
        )
    assert not (tmp_path / "made").exists()


def test_too_few_photos_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="0 photos are left to train on; 4 are the least"):
        train_encoder(
            [DataFolder(colour_data(tmp_path / "data"))], tmp_path, EncoderTraining(validation_share=1.0), silent
        )


def test_loss_of_two_orthogonal_pairs_is_what_the_formula_gives() -> None:
    rows, owner = torch.eye(2), torch.tensor([0, 1])
    loss = contrastive_loss(rows, rows, owner, torch.tensor(1.0), smoothing=0.0)
    assert float(loss) == pytest.approx(2 * np.log(1 + np.exp(-1.0)), abs=1e-6)


def test_loss_spreads_a_photo_over_all_its_texts() -> None:
    photos, texts = torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    loss = contrastive_loss(photos, texts, torch.tensor([0, 0, 1]), torch.tensor(1.0), smoothing=0.0)
    to_photo = np.log(1 + np.exp(-1.0))
    first = -np.log(np.e / (2 * np.e + 1))  # half of it for either of its texts
    second = -np.log(np.e / (np.e + 2))
    assert float(loss) == pytest.approx(to_photo + (first + second) / 2, abs=1e-6)


def test_recall_counts_photos_ahead_of_the_own_one() -> None:
    photos = torch.eye(3)
    texts = torch.tensor([[0.9, 0.1, 0.0], [0.9, 0.5, 0.1]])
    assert recall_at(texts, photos, torch.tensor([0, 1])) == (0.5, 1.0, 1.0)


def test_pseudo_features_have_the_photos_mean_and_spread() -> None:
    torch.manual_seed(1)
    pooled = 3.0 + 0.3 * torch.randn(500, 4)
    disguised = pseudo_features(torch.randn(300, 4), pooled)
    assert torch.allclose(disguised.mean(dim=0), pooled.mean(dim=0), atol=1e-3)
    assert torch.allclose(disguised.std(dim=0), pooled.std(dim=0), atol=1e-2)


def test_reduction_keeps_dot_products_of_vectors_in_a_plane() -> None:
    torch.manual_seed(2)
    plane = torch.linalg.qr(torch.randn(10, 2))[0].T
    photos, texts = torch.randn(40, 2) @ plane, torch.randn(40, 2) @ plane
    reduction = fit_reduction(photos, texts, 2)
    assert torch.allclose((texts @ reduction) @ (photos @ reduction).T, texts @ photos.T, atol=1e-4)


def test_word_dropout_leaves_special_tokens_alone() -> None:
    tokens = Tokens(torch.tensor([[101, 2000, 3000, 102, 0]]), torch.tensor([[1, 1, 1, 1, 0]]))
    dropped = drop_words(tokens, 1.0, torch.Generator().manual_seed(0))
    assert dropped.ids.tolist() == [[101, 103, 103, 102, 0]]
    assert dropped.mask.tolist() == [[1, 0, 0, 1, 0]]


def test_views_of_a_photo_are_plain_mirrored_and_varied(tmp_path: Path) -> None:
    path = tmp_path / "half.png"
    Image.fromarray(np.repeat(np.array([[[0] * 3, [200] * 3]], dtype=np.uint8), 2, axis=0)).save(path)
    plain, mirrored, varied = (load_view(path, SIDE, view, seed=0) for view in range(3))
    assert np.array_equal(mirrored, plain[:, ::-1])
    assert varied.shape == (SIDE, SIDE, 3)
    assert np.array_equal(varied, load_view(path, SIDE, 2, seed=0))
    assert not np.array_equal(varied, plain)


def test_torchvision_can_be_imported_after_the_shim() -> None:
    declare_missing_operators()
    declare_missing_operators()
    assert pytest.importorskip("torchvision", reason="torchvision is not installed").__version__

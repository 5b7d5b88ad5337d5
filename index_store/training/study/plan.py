"""What the study measures: every row as data, in the order of the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from index_store.training.data.sources import CLIP, PHOTO_SOURCES, RESNET, SHIPPED, SPACY, TEXT_SOURCES
from index_store.training.reranker.models import ModelSpec, model_spec

TARGET_ROWS = (
    ("experts' median, min-max scaled", "median", 0.7),
    ("experts' majority, three different dropped", "majority", 0.7),
    ("experts' majority, three different as mean", "majority-or-mean", 0.7),
    ("experts' mean", "mean", 0.7),
    ("crowd's share", "crowd", 0.7),
    ("experts and crowd .6/.4", "blend", 0.6),
    ("experts and crowd .7/.3", "blend", 0.7),
    ("experts and crowd .9/.1", "blend", 0.9),
    ("pairs that have both, .5/.5", "both", 0.5),
    ("experts' mean, crowd pairs added at a quarter", "mean+crowd", 0.7),
)
JOINING_ROWS = (
    ("concatenation", ModelSpec("concatenation", "ridge")),
    ("concatenation, normalised", ModelSpec("normalised-concatenation", "ridge")),
    ("product and difference", ModelSpec("product-difference", "ridge")),
    ("cosine", ModelSpec("cosine", "isotonic")),
    ("text mapped to photo: cosine and distance", ModelSpec("mapped", "quadratic")),
    ("matching: cosine, nearness, learned match", ModelSpec("matching", "ridge")),
)
MODEL_ROWS = ("constant", "isotonic", "linear", "ridge", "svr", "boosting", "forest", "network", "auto")
STRICT_ROWS = ("constant", "isotonic", "auto")
TARGET_MODEL = ModelSpec("product-difference", "ridge")

NOTEBOOK_TEXTS = {SPACY: "spaCy", "all-mpnet-base-v2": "MPNet", "BERT": "BERT"}
NOTEBOOK_TARGETS = (
    ("experts' median", "median", 0.7),
    ("experts' majority", "majority", 0.7),
    ("experts first, else crowd", "blend", 1.0),
    ("experts and crowd .6/.4", "blend", 0.6),
)
NOTEBOOK_MODELS = {"linear": 10_000, "ridge": None, "svr": 4_000, "boosting": 4_000, "network": None}
"""The notebooks' regressors, and of how many pairs each learns at most: with the crowd's there are 36,000, of which a
support vector regressor would learn for hours."""
NOTEBOOK_CLAIMS = {
    (SPACY, "svr", "experts' median"): ".202 / .236 = .86",
    ("all-mpnet-base-v2", "network", "experts first, else crowd"): ".193",
}
"""What the notebooks that this program began with state: RMSE, and the constant's where they say it."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A row of the study before it is run.

    `own_target` measures on held-out pairs of the row's own target in place of the experts' mean; `most_pairs` draws
    so many to learn from.
    """

    block: str
    name: str
    spec: ModelSpec
    photos: str = SHIPPED
    texts: str = SHIPPED
    target: str = "mean"
    expert_weight: float = 0.7
    texts_too: bool = False
    calibrated: bool = False
    withhold: bool = False
    own_target: bool = False
    most_pairs: int | None = None
    claimed: str = ""


def variants() -> Iterator[Variant]:
    """Yield every row, in the order of the page."""
    block = "Targets (ridge on product and difference)"
    for title, target, weight in TARGET_ROWS:
        yield Variant(block, title, TARGET_MODEL, target=target, expert_weight=weight)
    block, ships = "The policy's filter (the model that ships)", model_spec("auto")
    yield Variant(block, "all pairs", ships, calibrated=True)
    yield Variant(block, "fitted on what the policy leaves, measured on all", ships, calibrated=True, withhold=True)
    mapped = ModelSpec("mapped", "quadratic")
    for photos in PHOTO_SOURCES:
        yield Variant("Photo vectors (with MiniLM, mapped)", photos, mapped, photos, "MiniLM")
    for texts in TEXT_SOURCES:
        yield Variant("Text vectors (with EfficientNet-Lite2, mapped)", texts, mapped, "EfficientNet-Lite2", texts)
    for name, spec in JOINING_ROWS:
        yield Variant("Joining (shipped encoder)", name, spec)
    for name in MODEL_ROWS:
        yield Variant("Models (shipped encoder)", _title(name), model_spec(name), calibrated=name == "auto")
    block = "Stricter split: neither photo nor text shared"
    for name in STRICT_ROWS:
        yield Variant(block, _title(name), model_spec(name), texts_too=True, calibrated=name == "auto")
    yield Variant("Reference", f"{CLIP}, cosine, isotonic", ModelSpec("cosine", "isotonic"), CLIP, CLIP)
    yield from notebooks()


def notebooks() -> Iterator[Variant]:
    """Yield the notebooks' own recipes: concatenated vectors, each measured on its own target, with its constant."""
    block = "Notebooks: ResNet-18 and text vectors, concatenated; each measured on its own target"
    for source, short in NOTEBOOK_TEXTS.items():
        for title, target, weight in NOTEBOOK_TARGETS:
            for model, most in NOTEBOOK_MODELS.items():
                limit = most if target == "blend" else None
                shown = f", {limit:,} pairs" if limit else ""
                yield Variant(
                    block,
                    f"{short}, {title}, {model}{shown}",
                    ModelSpec("concatenation", model),
                    RESNET,
                    source,
                    target,
                    weight,
                    own_target=True,
                    most_pairs=limit,
                    claimed=NOTEBOOK_CLAIMS.get((source, model, title), ""),
                )


def _title(name: str) -> str:
    if name == "auto":
        return "auto: matching, quadratic, calibrated (ships)"
    spec = model_spec(name)
    return f"{name} on {spec.joining}" if name != "constant" else name

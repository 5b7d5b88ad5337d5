"""The photo trunks that training can start from: by name, or a folder with an image model of transformers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from index_store.encoders.transformer_models import CONFIG_FILE, licence_of, open_trunk
from index_store.errors import EncoderError, WeightsError, first_line
from index_store.paths import cache_folder
from index_store.training.encoder.bases import PhotoBase, imagenet_names, load_lite2
from index_store.training.encoder.model import PixelScale
from index_store.training.study.resnet import IMAGENET_PIXELS, RESNET_SIDE, find_resnet18, load_resnet18

PREPROCESSOR_FILE = "preprocessor_config.json"
_ANY_POSITIVE = (0.0, float("inf"))


def load_photo_base(name: str) -> PhotoBase:
    """Load a photo base by its name, or the image model in a folder.

    Raises:
        EncoderError: there is no base of that name and no such folder.
        WeightsError: its weights are not here and cannot be fetched, or are damaged.
        MissingExtraError: a package of the `train` extra is not installed.
    """
    if name in PHOTO_BASES:
        return PHOTO_BASES[name]()
    if Path(name).is_dir():
        return load_photo_folder(Path(name))
    raise EncoderError(
        f"no photo base is called {name}: choose from {', '.join(PHOTO_BASES)}, or name a folder with {CONFIG_FILE} "
        "and model.safetensors of an image model; nothing was changed"
    )


def load_resnet() -> PhotoBase:
    """Load ResNet-18, trained on ImageNet, with its batch norms folded into the convolutions.

    All but the last of its four stages stays frozen: its maps, 14 x 14 x 256, can be cached for each photo, and the
    last stage has three quarters of the weights.

    Raises:
        WeightsError: the weights are not here and cannot be fetched.
    """
    file = find_resnet18(cache_folder() / "weights", fetch=True)
    network = load_resnet18(file.path)
    stem = [fuse_conv_bn_eval(network.conv1, network.bn1), nn.ReLU(), network.maxpool]
    stages = [_folded(stage) for stage in (network.layer1, network.layer2, network.layer3, network.layer4)]
    return PhotoBase(
        name=file.name,
        front=nn.Sequential(*stem, *stages[:3]),
        tail=stages[3],
        side=RESNET_SIDE,
        features=network.fc.in_features,
        classifier=network.fc.weight.detach().clone(),
        class_names=imagenet_names(),
        scale=IMAGENET_PIXELS,
        pooled_range=_ANY_POSITIVE,
        licence=file.licence,
    )


PHOTO_BASES: dict[str, Callable[[], PhotoBase]] = {"efficientnet-lite2": load_lite2, "resnet18": load_resnet}
"""The photo bases that training knows by name."""


def _folded(stage: Any) -> nn.Module:
    for block in stage:
        block.conv1 = fuse_conv_bn_eval(block.conv1, block.bn1)
        block.conv2 = fuse_conv_bn_eval(block.conv2, block.bn2)
        block.bn1, block.bn2 = nn.Identity(), nn.Identity()
        if block.downsample is not None:
            block.downsample = fuse_conv_bn_eval(block.downsample[0], block.downsample[1])
    folded: nn.Module = stage
    return folded


class PooledStates(nn.Module):
    """An image model of transformers whose last states are averaged over the picture: maps of 1 x 1 places."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        """Return shape (n, features, 1, 1), from maps of shape (n, features, h, w) or tokens (n, tokens, features)."""
        states: Tensor = self.model(pixel_values=pixels).last_hidden_state
        pooled = states.mean(dim=1) if states.dim() == 3 else states.mean(dim=(2, 3))
        return pooled[:, :, None, None]


def load_photo_folder(folder: Path) -> PhotoBase:
    """Load an image model of transformers (ViT, ConvNeXt, ResNet, ...) from its folder.

    All of it is frozen, and the mean of its last states is what is cached: a few kB a photo for any kind of model,
    where the states inside a ViT-B would take 300 kB for each view. So the heads alone are trained on it.

    Raises:
        WeightsError: the files are missing or damaged, or hold no image model.
    """
    model = open_trunk(folder, takes="pixel_values").requires_grad_(False)
    side, scale = _preparation(folder, model.config)
    front = PooledStates(model)
    try:
        with torch.inference_mode():
            features = front(torch.zeros(1, 3, side, side)).shape[1]
    except Exception as error:  # models refuse what they were not made for in many ways
        raise WeightsError(
            f"{folder}: the model gives no vectors ({first_line(error)}); nothing was changed"
        ) from error
    return PhotoBase(
        name=folder.resolve().name,
        front=front,
        tail=nn.Identity(),
        side=side,
        features=features,
        classifier=torch.empty(0, features),
        class_names=(),
        scale=scale,
        pooled_range=(-float("inf"), float("inf")),
        licence=licence_of(folder),
    )


def _preparation(folder: Path, config: Any) -> tuple[int, PixelScale]:
    """Return side and scale of the photos; what the folder does not say is as ImageNet's models mostly have it."""
    path = folder / PREPROCESSOR_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        crop = content.get("crop_size") if content.get("do_center_crop", True) else None
        side = _side(crop or content.get("size") or getattr(config, "image_size", None))
        whole = 1 / float(content.get("rescale_factor", 1 / 255))
        if content.get("do_normalize", True) and "image_mean" in content:
            mean, spread = ([whole * float(value) for value in content[key]] for key in ("image_mean", "image_std"))
            return side, PixelScale((mean[0], mean[1], mean[2]), (spread[0], spread[1], spread[2]))
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, ZeroDivisionError) as error:
        raise WeightsError(
            f"{path}: does not say how photos are prepared ({type(error).__name__}: {error}); fetch it again; "
            "nothing was changed"
        ) from error
    return side, IMAGENET_PIXELS if content.get("do_normalize", True) else PixelScale((0.0,) * 3, (whole,) * 3)


def _side(size: Any) -> int:
    """Return the side of a square picture from what configurations call its size."""
    if size is None:
        return RESNET_SIDE
    several = size.values() if isinstance(size, dict) else size
    sides = {several} if isinstance(several, int) else set(several)
    if len(sides) != 1:
        raise ValueError(f"pictures of {size} are not square")
    return int(sides.pop())

"""Find torchvision's ResNet-18 with its ImageNet weights: in a given place, in torch hub's cache, or on the network."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from index_store.encoders.hub import ANSWER_SECONDS, forbidden_by
from index_store.encoders.torchvision_shim import declare_missing_operators
from index_store.errors import WeightsError
from index_store.training.encoder.model import PixelScale

RESNET_FILE = "resnet18-f37072fd.pth"
_CHECKSUM = RESNET_FILE.removesuffix(".pth").rpartition("-")[2]
RESNET_SIDE = 224
IMAGENET_PIXELS = PixelScale(
    (255 * 0.485, 255 * 0.456, 255 * 0.406),
    (255 * 0.229, 255 * 0.224, 255 * 0.225),
)
"""The mean and the spread of ImageNet's pixels, which most photo trunks were trained with."""


def load_resnet18(place: Path, fetch: bool) -> Any:
    """Return the network in evaluation mode.

    `place` is where the file may have been put; torch hub's cache, which `TORCH_HOME` moves, is looked into next.

    Raises:
        WeightsError: the file is in neither place and cannot or must not be fetched, or it is damaged.
    """
    declare_missing_operators()
    from torchvision.models import resnet18

    found = [path for path in (place, _cached()) if path.is_file()]
    path = found[0] if found else _fetched(place, fetch)
    network = resnet18(weights=None)
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # damaged pickles raise nearly anything
        raise WeightsError(
            f"{path}: is no state of ResNet-18 ({type(error).__name__}); put torchvision's {RESNET_FILE} there; "
            "nothing was changed"
        ) from error
    return network.eval()


def _cached() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / RESNET_FILE


def _fetched(place: Path, fetch: bool) -> Path:
    """Fetch the file into torch hub's cache, where other programs find it too."""
    instead = f"put torchvision's {RESNET_FILE} at {place}; nothing was changed"
    variable = forbidden_by()
    if not fetch:
        raise WeightsError(instead)
    if variable:
        raise WeightsError(f"resnet18 is not on this machine, and {variable} forbids to fetch it; {instead}")
    from torchvision.models import ResNet18_Weights

    url = ResNet18_Weights.IMAGENET1K_V1.url
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / RESNET_FILE
        try:
            with _socket_timeout():
                torch.hub.download_url_to_file(url, str(file), hash_prefix=_CHECKSUM, progress=False)
            _cached().parent.mkdir(parents=True, exist_ok=True)
            shutil.move(file, _cached())
        except (OSError, RuntimeError) as error:  # a file with another checksum is a RuntimeError
            raise WeightsError(f"{url} cannot be fetched ({error}); {instead}") from error
    return _cached()


@contextmanager
def _socket_timeout() -> Iterator[None]:
    """Bound how long a server may stay silent: torch's own fetching waits for minutes where packets are dropped."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(ANSWER_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)

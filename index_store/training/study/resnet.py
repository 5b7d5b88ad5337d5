"""Find a ResNet-18 with weights: in the folder for weights, in torch hub's cache, or on the network.

A file is taken for torchvision's, with its name and licence, only where its content has the sum that the name carries.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from index_store.encoders.hub import ANSWER_SECONDS, forbidden_by
from index_store.encoders.torchvision_shim import declare_missing_operators
from index_store.encoders.transformer_models import UNKNOWN_LICENCE
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


_WITH_SUM = re.compile(r"resnet18-([0-9a-f]{8})\.pth")


class ResNetFile(NamedTuple):
    """A file of weights, what the network in it is called, and its licence."""

    path: Path
    name: str
    licence: str


def find_resnet18(folder: Path, fetch: bool) -> ResNetFile:
    """Return torchvision's file, from `folder` or from torch hub's cache, which `TORCH_HOME` moves; else another one.

    Another ResNet-18 of torchvision's shape, such as a quantised one, lies in `folder` under a name of its own that
    begins with `resnet18`; nothing is known of its licence. Where there is none, torchvision's may be fetched.

    Raises:
        WeightsError: there is none, and it cannot or must not be fetched; there are several; or the content is not
            that which the name promises.
    """
    for path in (folder / RESNET_FILE, _cached()):
        if path.is_file():
            return _recognised(path)
    others = sorted(folder.glob("resnet18*.pth"))
    if len(others) > 1:
        names = ", ".join(path.name for path in others)
        raise WeightsError(f"{folder}: has several of the kind resnet18: {names}; leave one; nothing was changed")
    return _recognised(others[0] if others else _fetched(folder / RESNET_FILE, fetch))


def _recognised(path: Path) -> ResNetFile:
    promised = _WITH_SUM.fullmatch(path.name)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()[:8] if promised else ""
    if promised and promised[1] != found:
        raise WeightsError(
            f"{path}: its sum begins with {found} and not with the {promised[1]} of its name, so it is damaged or "
            "another network; fetch it again, or call it resnet18.pth; nothing was changed"
        )
    if path.name == RESNET_FILE:
        return ResNetFile(path, "resnet18", "BSD-3-Clause")
    return ResNetFile(path, path.stem, UNKNOWN_LICENCE)


def load_resnet18(path: Path) -> Any:
    """Return the network whose state is in a file, in evaluation mode.

    Raises:
        WeightsError: it is no state of a ResNet-18.
    """
    declare_missing_operators()
    from torchvision.models import resnet18

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
    """Fetch the file into torch hub's cache, where other programs find it too; `place` is where it may be put."""
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

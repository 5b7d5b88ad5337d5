"""Turn decoded pictures of every mode, profile and colour space into sRGB of 8 bits, as a viewer shows them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageCms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Colours:
    """What a file says about its colours.

    `profile` is an ICC profile; `primaries` and `transfer` are code points of ITU-T H.273; `gamma` is that of PNG, the
    exponent from light to numbers. What is absent is None.
    """

    profile: bytes | None = None
    primaries: int | None = None
    transfer: int | None = None
    gamma: float | None = None


SDR_WHITE_NITS = 203.0
"""The luminance of a white page in HDR, which becomes the white of sRGB (ITU-R BT.2408)."""

_SRGB_GAMMA = 0.45455
_LINEAR, _PQ, _HLG = 8, 16, 18
_LIKE_SRGB = frozenset({None, 1, 2, 6, 13, 14, 15})
"""Transfers that screens show as sRGB; 2 is "unspecified"."""
_TO_SRGB = {
    9: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),  # BT.2020
    11: ((1.2249, -0.2249, 0.0), (-0.0420, 1.0420, 0.0), (-0.0196, -0.0786, 1.0982)),  # P3, white of cinemas left out
    12: ((1.2249, -0.2249, 0.0), (-0.0420, 1.0420, 0.0), (-0.0196, -0.0786, 1.0982)),  # Display P3
}
"""Primaries -> the matrix from linear light in them to linear sRGB."""


def smooth_mode(picture: Image.Image) -> Image.Image:
    """Return a picture in a mode that can be interpolated; palettes, bitmaps and deep greys cannot."""
    if picture.mode.startswith("I") or picture.mode == "F":
        return _from_deep_greys(picture)
    if picture.mode in {"P", "PA"} or "transparency" in picture.info:
        return picture.convert("RGBA")
    if picture.mode == "1":
        return picture.convert("L")
    return picture


def _from_deep_greys(picture: Image.Image) -> Image.Image:
    """Scale greys of more than 8 bits to 8; Pillow's own conversion would clip them to white."""
    greys = np.nan_to_num(np.asarray(picture, dtype=np.float32), nan=0.0, posinf=np.inf, neginf=0.0)
    greys = np.clip(greys / _white_of(picture, greys), 0.0, 1.0)
    if _tiff_tag(picture, 262) == 0 and picture.mode.startswith("I;16"):  # white is zero, which Pillow leaves so
        greys = 1.0 - greys
    return Image.fromarray((greys * 255.0).astype(np.uint8))


def _white_of(picture: Image.Image, greys: Floats) -> float:
    """Return the number that is shown as white."""
    if picture.mode.startswith("I;16"):
        bits = _tiff_tag(picture, 258)
        return float((1 << bits) - 1) if bits is not None and 8 < bits < 16 else 65535.0
    if picture.mode == "I" and picture.format in {"PPM", "PNG", "JPEG2000"}:
        return 65535.0
    finite = greys[np.isfinite(greys)]
    if finite.size == 0:
        return 1.0
    # a few highlights above 1 do not make a picture of 0 to 1 one of 0 to 255
    if picture.mode == "F" and float(np.quantile(finite, 0.75)) <= 1.0:
        return 1.0
    top = float(finite.max())
    return 1.0 if top <= 1.0 else 255.0 if top <= 255.0 else 65535.0 if top <= 65535.0 else top


def _tiff_tag(picture: Image.Image, tag: int) -> int | None:
    """Return the first number of a TIFF tag of the page that is open, or None."""
    try:
        value = picture.tag_v2.get(tag)  # type: ignore[attr-defined]
        return int(value[0] if isinstance(value, tuple) else value)
    except (AttributeError, TypeError, ValueError, IndexError):
        return None


def to_srgb(picture: Image.Image, colours: Colours) -> Image.Image:
    """Return a picture in a smooth mode as RGB in sRGB, transparency over white."""
    alpha = picture.getchannel("A") if picture.mode in {"RGBA", "LA"} else None
    if alpha is not None:
        picture = picture.convert("L" if picture.mode == "LA" else "RGB")
    rgb = _convert(picture, colours)
    return rgb if alpha is None else Image.composite(rgb, Image.new("RGB", rgb.size, "white"), alpha)


def _convert(picture: Image.Image, colours: Colours) -> Image.Image:
    if picture.mode == "LAB":
        return _from_lab(picture)
    if colours.profile:
        return _by_profile(picture, colours.profile)
    rgb = picture.convert("RGB")
    if colours.transfer not in _LIKE_SRGB or colours.primaries in _TO_SRGB:
        return _by_code_points(rgb, colours)
    if colours.gamma and abs(colours.gamma - _SRGB_GAMMA) > 0.05 * _SRGB_GAMMA:
        exponent = _SRGB_GAMMA / colours.gamma
        return rgb.point([round(255 * (value / 255) ** exponent) for value in range(256)] * 3)
    return rgb


def _from_lab(picture: Image.Image) -> Image.Image:
    converted = ImageCms.profileToProfile(
        picture, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert converted is not None  # it is None only where the picture is changed in place
    return converted


def _by_profile(picture: Image.Image, profile: bytes) -> Image.Image:
    """Convert by an ICC profile; by one that is broken or of another kind of picture not, as browsers do."""
    if picture.mode not in {"RGB", "L", "CMYK"}:
        picture = picture.convert("RGB")
    transform = _transform(profile, picture.mode)
    if transform is None and picture.mode == "L":  # a grey picture with a profile for colours
        picture = picture.convert("RGB")
        transform = _transform(profile, "RGB")
    if transform is None:
        return picture.convert("RGB")
    return transform.apply(picture)


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the way from a profile to sRGB; None where there is none, or where it would change nothing."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    if not _is_plausible(transform, mode):
        return None
    return transform if mode == "CMYK" or _changes(transform, mode) else None


def _is_plausible(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Return whether greys, or ink, go from dark to white in steps: of a damaged profile that can be read few do."""
    ramp = np.linspace(0, 255, 17).astype(np.uint8)
    if mode == "CMYK":  # black ink alone, the least first
        numbers = np.stack([*(np.zeros_like(ramp),) * 3, ramp[::-1]], axis=-1)
    else:
        numbers = ramp[:, None].repeat(len(mode), axis=1)
    picture = Image.frombytes(mode, (len(ramp), 1), numbers.tobytes())
    shown = np.asarray(transform.apply(picture), dtype=np.int16)[0]
    white, rises = shown[-1], np.diff(shown[:, 1])
    light = white.min() >= 150 and np.ptp(white) <= 60 and shown[0].max() <= 120
    return bool(light and rises.min() >= -4 and np.count_nonzero(rises > 0) >= len(ramp) // 2)


def _changes(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Return whether a transform moves any of some hundred colours by more than two steps of 255."""
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    if mode == "L":
        before = Image.fromarray(steps[None, :])
    else:
        before = Image.fromarray(np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3))
    after = np.asarray(transform.apply(before), dtype=np.int16)
    return bool(np.abs(after - np.asarray(before.convert("RGB"), dtype=np.int16)).max() > 2)


def _by_code_points(picture: Image.Image, colours: Colours) -> Image.Image:
    """Convert by H.273: to light, to the primaries of sRGB, HDR toned down, and to numbers again."""
    numbers = np.asarray(picture, dtype=np.float32) / 255.0
    light = _to_light(numbers, colours.transfer)
    if (matrix := _TO_SRGB.get(colours.primaries or 0)) is not None:
        light = light @ np.asarray(matrix, dtype=np.float32).T
    light = _tone_down(np.maximum(light, 0.0)) if colours.transfer in {_PQ, _HLG} else np.clip(light, 0.0, 1.0)
    shown = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.power(light, 1 / 2.4) - 0.055)
    return Image.fromarray((np.clip(shown, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8))


def _to_light(numbers: Floats, transfer: int | None) -> Floats:
    """Return light in proportion to a white page, which is 1."""
    if transfer == _LINEAR:
        return numbers
    if transfer == _PQ:  # SMPTE ST 2084
        root = np.power(numbers, 1 / 78.84375)
        light = np.maximum(root - 0.8359375, 0.0) / (18.8515625 - 18.6875 * root)
        return np.power(light, 1 / 0.1593017578125) * (10_000.0 / SDR_WHITE_NITS)
    if transfer == _HLG:  # ITU-R BT.2100, for a screen of 1,000 nits
        bright = (np.exp((numbers - 0.55991073) / 0.17883277) + 0.28466892) / 12
        scene = np.where(numbers <= 0.5, numbers**2 / 3, bright)
        luma = scene @ np.asarray((0.2627, 0.6780, 0.0593), dtype=np.float32)
        shown: Floats = scene * np.power(np.maximum(luma, 1e-6), 0.2)[..., None] * (1_000.0 / SDR_WHITE_NITS)
        return shown
    if transfer == 4:
        return np.power(numbers, 2.2)
    return np.where(numbers <= 0.04045, numbers / 12.92, np.power((numbers + 0.055) / 1.055, 2.4))


def _tone_down(light: Floats) -> Floats:
    """Bring light above a white page into range: what lies below the knee stays, the rest is bent towards white.

    A picture that has nothing brighter than a white page stays as it is.
    """
    knee = 0.75
    brightest = light.max(axis=-1, keepdims=True)
    peak = float(np.quantile(brightest, 0.999)) if brightest.size else 1.0
    if peak <= 1.0:
        return np.minimum(light, 1.0)
    above, room = np.maximum(brightest - knee, 0.0), 1.0 - knee
    span = peak - knee
    # Reinhard's extended curve over the part above the knee: slope 1 at the knee, 1 at the peak
    bent = room * (above / room) * (1 + above * room / span**2) / (1 + above / room)
    toned = np.where(brightest > knee, knee + bent, brightest)
    shown: Floats = np.clip(light * (toned / np.maximum(brightest, 1e-6)), 0.0, 1.0)
    return shown

"""What is published about well-known encoders: cost, gain, licence; so that people can choose before they fetch one."""

from __future__ import annotations

from dataclasses import dataclass

SOURCE = "open_clip, docs/openclip_retrieval_results.csv, commit 05e7db4"
"""Where the figures of recall stand; all models are measured by one program there."""
MEASURED_ON = "text to photo, R@1 over the 1,000 test photos of Flickr30k"


@dataclass(frozen=True, slots=True)
class Published:
    """A model's weights in float32, in MB of 1,000,000 bytes; its recall at 1 from texts to photos; its licence."""

    megabytes: int
    flickr30k: float
    coco: float
    licence: str


_VIT_B_32 = Published(605, 0.588, 0.304, "MIT")

PUBLISHED = {
    "clip-ViT-B-32": _VIT_B_32,
    "openai/clip-vit-base-patch32": _VIT_B_32,
    "clip-ViT-B-16": Published(599, 0.622, 0.331, "MIT"),
    "clip-ViT-L-14": Published(1_711, 0.650, 0.365, "MIT"),
    "laion/CLIP-ViT-B-32-laion2B-s34B-b79K": Published(605, 0.668, 0.393, "MIT"),
    "google/siglip-base-patch16-224": Published(813, 0.747, 0.478, "Apache-2.0"),
}
"""By the names of the hub. The licences are those of openai/CLIP, of laion's and of google's model cards."""

"""Copy the photographs of the demo out of the scikit-image package: `python -m tests.demo_photos FOLDER`.

Only public-domain and CC0 photographs are taken; the licences are those documented beside each picture in
`skimage.data` (its docstrings) of scikit-image 0.26. scikit-learn's two sample photos are CC BY 2.0 and are left out.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True)
class DemoPhoto:
    """A photograph of the package: its file, what it shows, its licence and author as documented there."""

    file: str
    shows: str
    licence: str
    author: str


DEMO_PHOTOS = (
    DemoPhoto("astronaut.png", "an astronaut in front of a flag", "public domain", "NASA"),
    DemoPhoto("brick.png", "a brick wall", "CC0", "CC0Textures"),
    DemoPhoto("camera.png", "a man with a camera on a tripod", "CC0", "Lav Varshney"),
    DemoPhoto("cell.png", "a cell under a microscope", "CC0", "Paul Müller and others"),
    DemoPhoto("chelsea.png", "a cat", "CC0", "Stefan van der Walt"),
    DemoPhoto("clock_motion.png", "a wall clock, blurred by motion", "public domain", "Stefan van der Walt"),
    DemoPhoto("coffee.png", "a cup of coffee on a table", "CC0", "Rachel Michetti"),
    DemoPhoto("grass.png", "grass", "CC0", "CC0Textures"),
    DemoPhoto("gravel.png", "gravel", "CC0", "CC0Textures"),
    DemoPhoto("hubble_deep_field.jpg", "galaxies", "public domain", "NASA"),
    DemoPhoto("retina.jpg", "the retina of an eye", "CC0", "Mikael Häggström"),
    DemoPhoto("rocket.jpg", "the launch of a rocket", "public domain", "SpaceX"),
)


def main(folder: str) -> None:
    """Copy the photos and a table of their licences into `folder`."""
    package = find_spec("skimage")
    if package is None or package.origin is None:
        raise SystemExit("the demo's photos come with scikit-image: pip install 'imgsearch-cli[demo]'")
    source, target = Path(package.origin).parent / "data", Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    for photo in DEMO_PHOTOS:
        shutil.copyfile(source / photo.file, target / photo.file)
    lines = ["file\tshows\tlicence\tauthor", *("\t".join((p.file, p.shows, p.licence, p.author)) for p in DEMO_PHOTOS)]
    (target / "LICENCES.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(DEMO_PHOTOS)} photographs of scikit-image (public domain or CC0, see LICENCES.tsv) are in {target}")


if __name__ == "__main__":
    main(sys.argv[1])

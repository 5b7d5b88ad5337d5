"""What a run over an unchanged bucket costs beyond listing it: `python -m benchmarks.buckets [--objects 20000]`.

The bucket is one of moto's server, which speaks S3 on the loopback; the baseline lists it with s3fs in a fresh process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.asking import listening
from benchmarks.rows import Row, show, wall_seconds
from benchmarks.scale import Synthetic, fill
from benchmarks.speed import IMGSEARCH
from index_store.encoders.registry import encoder_card
from index_store.photos import file_system
from index_store.photos.find import find_photos
from index_store.records import IndexedRoot
from index_store.store.image_store import create_store
from index_store.store.manifest import Manifest

BUCKET = "photos"
FOLDERS = 20
TIMES = 5
LIST = f"import s3fs; print(len(s3fs.S3FileSystem().find({BUCKET!r}, detail=True)))"


def main() -> None:
    """Fill a bucket and a store, measure, and show the row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, storage():
        show([unchanged(str(Path(folder) / "store"), chosen.objects)], chosen.json)


@contextmanager
def storage() -> Iterator[None]:
    """Run moto's server, and let this process and those it starts use it."""
    command = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p"]
    with listening(lambda port: [*command, str(port)]) as (url, _):
        os.environ.update(
            AWS_ACCESS_KEY_ID="somebody",
            AWS_SECRET_ACCESS_KEY="a-secret",
            AWS_DEFAULT_REGION="us-east-1",
            AWS_ENDPOINT_URL=url,
        )
        yield


def unchanged(store: str, objects: int) -> Row:
    """Time the whole command over a bucket in which nothing has changed, and listing alone, in turn."""
    import boto3  # moto's own

    client, names = boto3.client("s3"), [f"{n % FOLDERS:02}/{n:06}.jpg" for n in range(objects)]
    client.create_bucket(Bucket=BUCKET)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda name: client.put_object(Bucket=BUCKET, Key=name, Body=name.encode()), names))
    root, card = f"s3://{BUCKET}", encoder_card()
    file_system.allow([root])
    filled = create_store(store, Manifest(card.name, card.dimension))
    fill(filled, find_photos(root).files, Synthetic(card.dimension))
    filled.set_roots([IndexedRoot(root, "", objects)])

    pairs = [
        (wall_seconds([IMGSEARCH, "-q", "index", "--store", store]), wall_seconds([sys.executable, "-c", LIST]))
        for _ in range(TIMES)
    ]
    ratios = sorted(whole / listing for whole, listing in pairs)
    said = subprocess.run([IMGSEARCH, "index", "--store", store], capture_output=True, text=True, check=True)
    assert f"{objects:,} unchanged" in said.stderr or f"{objects} unchanged" in said.stderr, said.stderr
    return Row(
        f"unchanged bucket of {objects:,} objects: imgsearch index / listing them, median of {TIMES}",
        median(ratios),
        f"{median(pair[0] for pair in pairs):.1f} s, ratios {ratios[0]:.2f} to {ratios[-1]:.2f}",
        f"{median(pair[1] for pair in pairs):.1f} s: s3fs",
        1.5,
        1.1,
        False,
    )


if __name__ == "__main__":
    main()

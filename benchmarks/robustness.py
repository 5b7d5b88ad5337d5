"""Try to break an index run: `python -m benchmarks.robustness [--kills 300] [--files 5000]`.

Kills: a process that indexes real photos is killed with SIGKILL at random moments, again and again on the same store;
after each kill the store must open and answer, and at the end one run completes it. Files: photos that were cut short,
had bits flipped or carry a wrong name are indexed; none may crash or hang the run, and each row must be that of its own
file.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.rows import Row, show
from benchmarks.speed import IMGSEARCH
from index_store.encoders.registry import encoder_card
from index_store.errors import PhotoError
from index_store.photos.open import open_photo
from index_store.records import PhotoInput
from index_store.store.image_store import open_store
from tests.demo_photos import main as copy_demo_photos

SUFFIXES = (".jpg", ".png", ".gif", ".webp", ".tiff", ".bmp", ".avif", ".heic", ".jp2")


def main() -> None:
    """Run both, and show the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    chance = random.Random(chosen.seed)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        copy_demo_photos(str(work / "originals"))
        originals = sorted(path for path in (work / "originals").iterdir() if path.suffix != ".tsv")
        if chosen.kills:
            rows.append(kills(work, originals, chosen.kills, chance))
        if chosen.files:
            rows += fuzzed(work, originals, chosen.files, chance)
    show(rows, chosen.json)


def kills(work: Path, originals: list[Path], times: int, chance: random.Random) -> Row:
    """Kill an index run `times` times; count the stores that open, answer, and are sound in the end."""
    photos, store = work / "photos", work / "store"
    photos.mkdir()
    command = [IMGSEARCH, "--quiet", "index", str(photos), "--store", str(store)]
    _add_photos(photos, originals, 6, times)
    started = time.perf_counter()
    subprocess.run([*command[:-1], str(work / "timed")], check=True)
    whole_run = time.perf_counter() - started
    survived = killed = runs = 0
    while killed < times:
        _add_photos(photos, originals, 6, runs)
        runs += 1
        started = time.perf_counter()
        run = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            run.wait(chance.uniform(0.1, 1.1) * whole_run)
            whole_run = time.perf_counter() - started  # a machine that became faster or slower is followed
            continue
        except subprocess.TimeoutExpired:
            killed += 1
            run.kill()
            run.wait()
        survived += _answers(store, photos)
    finished = subprocess.run(
        [IMGSEARCH, "index", str(photos), "--store", str(store)], check=False, capture_output=True
    )
    sound = subprocess.run([IMGSEARCH, "check", "--store", str(store)], check=False, capture_output=True)
    count = open_store(str(store)).count()
    complete = finished.returncode == 0 and sound.returncode == 0 and count == len(list(photos.iterdir()))
    end = f"completed and sound: {'yes' if complete else 'no'}, {count} photos"
    measured = f"{runs - killed} runs more were faster than the kill; {end}"
    return Row(f"{times} kills: share of stores that open and answer", survived / times, measured, "-", 1, 1, True)


def _add_photos(folder: Path, originals: list[Path], count: int, number: int) -> None:
    for place in range(count):
        source = originals[(number + place) % len(originals)]
        target = folder / f"{number:04}-{place}{source.suffix}"
        shutil.copyfile(source, target)
        with target.open("ab") as file:
            file.write(b"%d-%d" % (number, place))  # behind the end of the picture: other content, the same photo


def _answers(store: Path, photos: Path) -> bool:
    if not (store / "chroma.sqlite3").exists():
        return True  # killed before there was a store
    done = subprocess.run(
        [IMGSEARCH, "query", "a cat", "--min-score", "0", "--format", "jsonl", "--store", str(store)],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode == 2:
        # killed between making the database and its first collection: there is nothing to ask yet
        return "without photos of imgsearch" in done.stderr
    paths = [row.get("image_id") for row in map(json.loads, done.stdout.splitlines()) if not row["withheld"]]
    return done.returncode in {0, 1, 3} and all(Path(path).is_relative_to(photos) for path in paths)


def fuzzed(work: Path, originals: list[Path], count: int, chance: random.Random) -> list[Row]:
    """Index `count` broken files, and compare each row with what its file says when it is opened alone."""
    folder, store = work / "fuzzed", work / "fuzzed-store"
    folder.mkdir()
    contents = [_small(path, work) for path in originals]
    for number in range(count):
        suffix = chance.choice(SUFFIXES)
        (folder / f"{number:05}{suffix}").write_bytes(_broken(chance.choice(contents), chance))
    started = time.perf_counter()
    command = [IMGSEARCH, "index", str(folder), "--store", str(store)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=3600)
    seconds = time.perf_counter() - started
    broke = sum("broke the decoder" in line for line in done.stderr.splitlines())
    hung = sum("took longer than" in line for line in done.stderr.splitlines())
    rows = {photo.image_id: (photo.width, photo.height) for photo in open_store(str(store)).photos()}
    shifted = sum(_opened_alone(path) != rows.get(str(path)) for path in sorted(folder.iterdir()))
    measured = f"{len(rows)} indexed, {count - len(rows)} skipped, exit code {done.returncode}, {seconds:.0f} s"
    return [
        Row(f"{count} broken files: workers that crashed", broke, measured, "-", 0, 0, False),
        Row(f"{count} broken files: workers that hung", hung, measured, "-", 0, 0, False),
        Row(f"{count} broken files: rows that are not those of their file", shifted, measured, "-", 0, 0, False),
    ]


def _small(path: Path, work: Path) -> bytes:
    """Return a photo made small, so that thousands are decoded in minutes, in a format by chance of its place."""
    from PIL import Image

    with Image.open(path) as picture:
        picture.thumbnail((96, 96))
        target = work / f"small{('.jpg', '.png', '.gif', '.webp', '.tiff', '.bmp')[len(path.name) % 6]}"
        picture.convert("RGB").save(target)
    return target.read_bytes()


def _broken(content: bytes, chance: random.Random) -> bytes:
    kind = chance.randrange(4)
    if kind == 0:
        return content[: chance.randrange(len(content))]
    if kind == 1:
        return content  # only the name is wrong
    changed = bytearray(content)
    for _ in range(chance.choice((1, 4, 32, 256))):
        place = chance.randrange(len(changed) if kind == 2 else min(512, len(changed)))
        changed[place] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _opened_alone(path: Path) -> tuple[int, int] | None:
    photo_input: PhotoInput = encoder_card().photo_input
    try:
        opened = open_photo(str(path), photo_input)
    except PhotoError:
        return None
    return opened.width, opened.height


if __name__ == "__main__":
    sys.exit(main())

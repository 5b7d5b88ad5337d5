"""Read what a CLIP or SigLIP model of sentence-transformers says about itself; standard library only, loads nothing.

A model is a folder: one of sentence-transformers, with `modules.json`, or a plain one of transformers, with
`config.json`. A name such as clip-ViT-B-32 stands for the folder that the hub's local cache has for it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from index_store.encoders.cards import SENTENCE_CLIP, EncoderCard
from index_store.errors import EncoderError, WeightsError
from index_store.records import PhotoInput

HUB_NAMES = (
    "clip-ViT-B-32",
    "clip-ViT-B-16",
    "clip-ViT-L-14",
    "openai/clip-vit-base-patch32",
    "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
    "google/siglip-base-patch16-224",
)
"""Well-known models, by the names that sentence-transformers and transformers know them by."""

_TEXT_TOWERS = ("all-MiniLM-", "all-mpnet-", "all-distilroberta-", "multi-qa-", "paraphrase-", "bert-", "roberta-")
"""How the names of towers for texts begin that people may take for encoders."""

_MODULES_FILE = "modules.json"
_CONFIG_FILE = "config.json"
_PHOTO_TEXT_MODULES = frozenset({"CLIPModel", "Transformer"})
_FINGERPRINTED = re.compile(r"(.+)-[0-9a-f]{8}")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_BLOCKS = 32
_BLOCK_BYTES = 1 << 14
"""A weight file is known by its size and 32 blocks of 16 KiB spread over it: training changes all of it, and to read
600 MB at each query would take longer than the query."""

_REPAIR = "fetch the model again, or name another folder with --encoder; nothing was changed"


@dataclass(frozen=True, slots=True)
class _Family:
    """What a config leaves out because it is the default of its kind of model."""

    dimension: int
    side: int
    max_tokens: int


_FAMILIES = {"clip": _Family(512, 224, 77), "siglip": _Family(768, 224, 64)}


def is_sentence_folder(folder: Path) -> bool:
    """Return whether a folder looks like a model of sentence-transformers or transformers."""
    return (folder / _MODULES_FILE).is_file() or (folder / _CONFIG_FILE).is_file()


def looks_like_hub_name(name: str) -> bool:
    """Return whether a name is that of a model on the hub: organisation/model, or a CLIP of sentence-transformers."""
    return bool(_HUB_NAME.fullmatch(name)) and ("/" in name or name.startswith(("clip-", "siglip")))


def text_base(name: str) -> str:
    """Return the short name of a well-known tower for texts alone, which --encoder cannot take; "" for all else."""
    short = name.rpartition("/")[2]
    return short if short.startswith(_TEXT_TOWERS) and looks_like_hub_name(f"x/{short}") else ""


def hub_name(name: str) -> str:
    """Return the name on the hub of an encoder that a store names, "" where it cannot have one."""
    matched = _FINGERPRINTED.fullmatch(name)
    return matched[1] if matched and looks_like_hub_name(matched[1]) else ""


def read_sentence_card(folder: Path, family: str | None = None) -> EncoderCard:
    """Return the card of the model in `folder`; its name is `family`, by default the folder's, and a fingerprint.

    Raises:
        EncoderError: the folder holds another kind of model.
        WeightsError: a file is missing or damaged.
    """
    modules = _modules(folder)
    transformer = folder / str(modules[0].get("path", ""))
    config = _json(transformer / _CONFIG_FILE)
    kind = _FAMILIES.get(str(config.get("model_type")))
    if kind is None:
        raise EncoderError(
            f"{transformer / _CONFIG_FILE}: the model is {config.get('model_type')!r}, not clip or siglip, "
            "so it has no photo half; name another with --encoder; nothing was changed"
        )
    try:
        dimension = _dimension(config, kind)
        photo_input, preparation = _preparation(transformer, config, kind)
        max_tokens = int((config.get("text_config") or {}).get("max_position_embeddings", kind.max_tokens))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"{transformer}: is damaged ({type(error).__name__}: {error}); {_REPAIR}") from error
    digest = hashlib.sha256(json.dumps([modules, config, preparation], sort_keys=True).encode())
    weights = list(_weights(transformer))
    for module in modules[1:]:
        dimension = _after(folder / str(module["path"]), str(module["type"]), dimension, weights, digest)
    for file in weights:
        digest.update(sample(file))
    fingerprint = digest.hexdigest()
    return EncoderCard(
        name=f"{family or folder.resolve().name}-{fingerprint[:8]}",
        fingerprint=fingerprint,
        dimension=dimension,
        photo_input=photo_input,
        max_tokens=max_tokens,
        folder=folder,
        file_bytes={str(file.relative_to(folder)): file.stat().st_size for file in weights},
        kind=SENTENCE_CLIP,
    )


def find_hub_card(name: str) -> EncoderCard | None:
    """Return the card of a model in the hub's local cache, by its name with or without its fingerprint; None elsewhere.

    Raises:
        EncoderError, WeightsError: the cache has it, and it cannot be used.
    """
    short = name.removeprefix("sentence-transformers/")
    folder = _cached(short)
    if folder is not None:
        return read_sentence_card(folder, short)
    matched = _FINGERPRINTED.fullmatch(short)
    folder = _cached(matched[1]) if matched else None
    if matched is None or folder is None:
        return None
    card = read_sentence_card(folder, matched[1])
    return card if card.name == short else None


def cached_hub_names() -> list[str]:
    """Return the names of the CLIP and SigLIP models in the hub's local cache, sorted."""
    found: set[str] = set()
    for cache in hub_caches():
        for folder in cache.glob("models--*"):
            name = folder.name.removeprefix("models--").replace("--", "/").removeprefix("sentence-transformers/")
            try:
                found.update({name} if find_hub_card(name) else ())
            except (EncoderError, WeightsError):
                continue  # most models in a cache are of another kind
    return sorted(found)


def hub_caches() -> list[Path]:
    """Return the folders where the hub's libraries keep what they fetched; the first is where they would put more."""
    home = os.environ.get("HF_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "huggingface"
    )
    hub = os.environ.get("HF_HUB_CACHE") or os.path.join(home, "hub")
    return [Path(place).expanduser() for place in (os.environ.get("SENTENCE_TRANSFORMERS_HOME"), hub) if place]


def hub_repository(name: str) -> str:
    """Return the organisation/model that a name stands for; a bare one belongs to sentence-transformers."""
    return name if "/" in name else f"sentence-transformers/{name}"


def absent(name: str) -> EncoderError:
    """Return the error for a model of the hub that is not on this machine."""
    return EncoderError(
        f"{name} is not on this machine: fetch it with `imgsearch encoders --fetch {name}`, or put its files into a "
        "folder and name that with --encoder; nothing was changed"
    )


def _cached(name: str) -> Path | None:
    return cached_folder(hub_repository(name)) if _HUB_NAME.fullmatch(name) else None


def cached_folder(repository: str) -> Path | None:
    """Return the folder that the hub's local cache has for a repository, whatever kind of model it holds."""
    for cache in hub_caches():
        kept = cache / f"models--{repository.replace('/', '--')}"
        try:
            revision = (kept / "refs" / "main").read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            continue
        folder = kept / "snapshots" / revision
        if is_sentence_folder(folder):
            return folder
    return None


def _modules(folder: Path) -> list[dict[str, Any]]:
    if not (folder / _MODULES_FILE).is_file():
        return [{"path": "", "type": "Transformer"}]
    path = folder / _MODULES_FILE
    modules = _json(path, list)
    types = [str(module.get("type", "")) if isinstance(module, dict) else "" for module in modules]
    if not types or types[0].rpartition(".")[2] not in _PHOTO_TEXT_MODULES:
        raise EncoderError(
            f"{path}: begins with {types[0] if types else 'nothing'}, not with a CLIP or SigLIP model, so it has no "
            "photo half; name another with --encoder; nothing was changed"
        )
    return [dict(module) for module in modules]


def _dimension(config: Mapping[str, Any], kind: _Family) -> int:
    if config["model_type"] == "clip":
        return int(config.get("projection_dim", kind.dimension))
    return int((config.get("vision_config") or {}).get("hidden_size", kind.dimension))


def _after(folder: Path, kind: str, dimension: int, weights: list[Path], digest: hashlib._Hash) -> int:
    """Return the dimension behind one more module, and add what it holds to `weights` and `digest`."""
    name = kind.rpartition(".")[2]
    if name == "Normalize":
        return dimension
    if name != "Dense":
        raise EncoderError(f"{folder}: {kind} is no module of an encoder for photos; name another with --encoder")
    config = _json(folder / _CONFIG_FILE)
    digest.update(json.dumps(config, sort_keys=True).encode())
    weights += _weights(folder)
    return int(config.get("out_features", dimension))


def _preparation(folder: Path, config: Mapping[str, Any], kind: _Family) -> tuple[PhotoInput, dict[str, Any]]:
    """Return how photos are prepared, and all that the processor's file says about it."""
    path = folder / "processor_config.json"
    content = _json(path).get("image_processor") if path.is_file() else None
    if content is None:
        content = _json(folder / "preprocessor_config.json")
    side = int((config.get("vision_config") or {}).get("image_size", kind.side))
    size = content.get("size", side)
    if isinstance(size, dict) and "height" in size:
        return PhotoInput(int(size["height"]), squash=True), content
    # CLIP resizes the shorter side and cuts out the middle; old files name that side by a bare number
    shorter = size["shortest_edge"] if isinstance(size, dict) else size
    return PhotoInput(int(shorter), squash=False), content


def _weights(folder: Path) -> Iterator[Path]:
    """Yield the weight files that will be loaded, once each is known to be there and whole."""
    for whole, shards in (
        ("model.safetensors", "model.safetensors.index.json"),
        ("pytorch_model.bin", "pytorch_model.bin.index.json"),
    ):
        if (folder / whole).is_file():
            yield _whole(folder / whole)
            return
        if (folder / shards).is_file():
            names = _json(folder / shards).get("weight_map", {})
            yield from (_whole(folder / name) for name in sorted(set(names.values())))
            return
    raise WeightsError(f"{folder}: has no model.safetensors or pytorch_model.bin; {_REPAIR}")


def _whole(path: Path) -> Path:
    """Return a weight file whose size is what its own header says."""
    try:
        size = path.stat().st_size
        if path.suffix == ".safetensors":
            # eight bytes of length, that many bytes of JSON, then the tensors: the last one ends where the file does
            with path.open("rb") as file:
                (length,) = struct.unpack("<Q", file.read(8))
                header = json.loads(file.read(min(length, size)))
            header.pop("__metadata__", None)
            end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
            if 8 + length + end != size:
                raise WeightsError(f"{path}: has {size:,} bytes, its header says {8 + length + end:,}; {_REPAIR}")
    except OSError as error:
        raise WeightsError(f"{path}: is missing; {_REPAIR}") from error
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path}: is damaged ({type(error).__name__}); {_REPAIR}") from error
    return path


def sample(path: Path) -> bytes:
    """Return the hash of a file's size and of blocks spread over it."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    last = max(0, size - _BLOCK_BYTES)
    with path.open("rb") as file:
        for block in range(_BLOCKS):
            file.seek(last * block // (_BLOCKS - 1))
            digest.update(file.read(_BLOCK_BYTES))
    return digest.digest()


def _json(path: Path, kind: type = dict) -> Any:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsError(f"{path}: is missing; {_REPAIR}") from error
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: is damaged ({error}); {_REPAIR}") from error
    if not isinstance(content, kind):
        raise WeightsError(f"{path}: is damaged (no JSON {kind.__name__}); {_REPAIR}")
    return content

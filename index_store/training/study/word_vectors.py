"""Word vectors of a spaCy pipeline as a text trunk: a table, and a tokenizer that needs no spaCy when it is used."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import spacy
import torch
from spacy.vocab import Vocab
from torch import Tensor, nn

from index_store.errors import WeightsError, first_line

PAD, UNKNOWN, BEGIN = 0, 1, 2
"""The first tokens; all three have vectors of zeros."""
_MARKS = ("[PAD]", "[UNK]", "[BEGIN]")
VOCABULARY_FOLDER = "vocab"
META_FILE = "meta.json"


class States(NamedTuple):
    """What a trunk answers with: the vectors of the tokens, shape (n, tokens, features)."""

    last_hidden_state: Tensor


class WordVectors(nn.Module):
    """A frozen table of vectors, one for each word: the tower's mean over them is spaCy's vector of a text."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.embeddings = nn.Embedding.from_pretrained(table, freeze=True)  # type: ignore[no-untyped-call]

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> States:
        """Look the words up, whatever the mask says."""
        return States(self.embeddings(input_ids))


def find_pipeline(packages: Sequence[str], folder: Path | None = None) -> Any | None:
    """Return the first pipeline among `packages` that is installed and has vectors, else the one in `folder`.

    Raises:
        WeightsError: a package or the folder is damaged.
    """
    for package in packages:
        try:
            module: Any = importlib.import_module(package)
        except ImportError:
            continue
        pipeline = _opened(package, module)
        if pipeline is not None and pipeline.vocab.vectors_length:
            return pipeline
    return None if folder is None or not folder.is_dir() else _read(folder)


def _opened(package: str, module: Any) -> Any | None:
    """Open the pipeline of a package: spaCy's own packages have `load`, others say where it lies."""
    try:
        if hasattr(module, "load"):
            return module.load()
        return _read(Path(module.model_path())) if hasattr(module, "model_path") else None
    except WeightsError:
        raise
    except Exception as error:  # packages of others, and spaCy's readers, raise nearly anything
        raise WeightsError(
            f"{package}: its pipeline cannot be opened ({first_line(error)}); install it again; nothing was changed"
        ) from error


def _read(folder: Path) -> Any:
    """Open the pipeline in a folder without its components: the tokenizer and the vectors are all that is used."""
    try:
        components = json.loads((folder / META_FILE).read_text(encoding="utf-8")).get("components", [])
        return spacy.load(folder, exclude=components)
    except Exception as error:  # its readers raise nearly anything
        raise WeightsError(
            f"{folder}: the pipeline cannot be opened ({first_line(error)}); put a spaCy pipeline with word vectors "
            "there; nothing was changed"
        ) from error


def open_vocabulary(folder: Path) -> Any:
    """Return the vocabulary of a pipeline that was written to `folder`.

    Raises:
        WeightsError: the folder holds no vocabulary with vectors.
    """
    try:
        vocabulary = Vocab().from_disk(folder / VOCABULARY_FOLDER)
    except Exception as error:  # its readers raise nearly anything
        raise WeightsError(
            f"{folder}: the vocabulary cannot be opened ({type(error).__name__}); put a spaCy pipeline with word "
            "vectors there; nothing was changed"
        ) from error
    if not vocabulary.vectors_length:
        raise WeightsError(f"{folder}: the pipeline has no word vectors; name another; nothing was changed")
    return vocabulary


def make_trunk(vocabulary: Any, tokenizer: Path, source: str) -> WordVectors:
    """Return the trunk of a vocabulary's vectors, and write its tokenizer; `source` names it in errors.

    Words are compared in lower case. An unknown word counts as a vector of zeros, as in spaCy, and so does a mark
    before every text, so that a text without words is one too.

    Raises:
        WeightsError: the vectors do not belong to words.
    """
    rows = _rows(vocabulary)
    if not rows:
        raise WeightsError(f"{source}: has no vectors that belong to words; name another; nothing was changed")
    used, places = np.unique(list(rows.values()), return_inverse=True)
    words = dict(zip(rows, (places + len(_MARKS)).tolist(), strict=True))
    vectors = np.asarray(vocabulary.vectors.data, dtype=np.float32)[used]
    table = np.concatenate([np.zeros((len(_MARKS), vectors.shape[1]), dtype=np.float32), vectors])
    tokenizer.write_text(json.dumps(_tokenizer(words), ensure_ascii=False), encoding="utf-8")
    return WordVectors(torch.from_numpy(table))


def _rows(vocabulary: Any) -> dict[str, int]:
    """Return the row of each word in lower case: of the word that is written so, else of another spelling."""
    spelt = dict(_words(vocabulary))
    rows = {word: row for word, row in spelt.items() if word == word.lower()}
    for word, row in sorted(spelt.items()):
        rows.setdefault(word.lower(), row)
    return rows


def _words(vocabulary: Any) -> Iterator[tuple[str, int]]:
    for key, row in vocabulary.vectors.key2row.items():
        word = vocabulary.strings[key] if key in vocabulary.strings else ""  # noqa: SIM401  # it has no get
        # the tokenizer parts words at signs, so that no other word would ever be asked for
        if row >= 0 and (word.isalnum() or len(word) == 1) and not word.isspace():
            yield word, int(row)


def _tokenizer(words: dict[str, int]) -> dict[str, Any]:
    """Return what `tokenizer.json` holds; words may share a row, which the tokenizers library itself cannot write."""
    marks = [
        {"id": place, "content": mark, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
        for place, mark in enumerate(_MARKS)
    ]
    begin, text = {"SpecialToken": {"id": _MARKS[BEGIN], "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{**mark, "special": True} for mark in marks],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [begin, text],
            "pair": [begin, text, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {_MARKS[BEGIN]: {"id": _MARKS[BEGIN], "ids": [BEGIN], "tokens": [_MARKS[BEGIN]]}},
        },
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {**{mark: place for place, mark in enumerate(_MARKS)}, **words},
            "unk_token": _MARKS[UNKNOWN],
        },
    }

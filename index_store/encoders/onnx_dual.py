"""The dual encoder in ONNX: a text tower and a photo tower that share one space, each opened on its own.

The only importer of ONNX Runtime for encoders, and of tokenizers.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from index_store.encoders.cards import PHOTO_FILE, TEXT_FILE, TOKENIZER_FILE, CardHolder, EncoderCard, weight_file
from index_store.encoders.plain_wording import plain_wording
from index_store.errors import WeightsError, first_line
from index_store.machine import usable_cores

if TYPE_CHECKING:
    from index_store.encoders.protocols import Embeddings, Pixels

TEXT_BATCH = 64
LEAST_TEXTS = 4
"""Fewer texts in one run of the tower take twice as long, each."""
PHOTO_BATCH = 4
"""Photos in one run of the tower, of which each core makes its own: on two cores a tenth to a fifth faster than one run
of 16 that both share, and smaller in memory."""


class OnnxTextEncoder(CardHolder):
    """The text half: tokenizer and text tower."""

    def __init__(self, card: EncoderCard, *, threads: int | None = None) -> None:
        """Open tokenizer and tower.

        Raises:
            WeightsError: a file is missing or damaged.
        """
        super().__init__(card)
        self._tokenizer = _open_tokenizer(weight_file(card, TOKENIZER_FILE), card.max_tokens)
        self._session = _open_session(weight_file(card, TEXT_FILE))
        self._at_once = threads or usable_cores()
        self._threads = ThreadPoolExecutor(self._at_once, thread_name_prefix="texts")

    def encode_texts(self, texts: Sequence[str]) -> Embeddings:
        """Return one unit row for each text, in order; what is longer than the model's maximum is cut.

        A short text is encoded without what does not change its meaning ("a photo of a dog" as "dog").
        """
        rows = np.empty((len(texts), self.dimension), dtype=np.float32)
        plain = [plain_wording(text) for text in texts]
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(plain)]
        # texts of like length share a batch, because a batch is as wide as its longest text
        order = sorted(range(len(texts)), key=lambda index: len(tokens[index]))
        size = min(TEXT_BATCH, max(LEAST_TEXTS, -(-len(texts) // self._at_once)))
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        encoded = self._threads.map(self._encode_tokens, ([tokens[index] for index in batch] for batch in batches))
        for batch, part in zip(batches, encoded, strict=True):
            rows[batch] = part
        return rows

    def _encode_tokens(self, tokens: Sequence[Sequence[int]]) -> Embeddings:
        width = max(len(ids) for ids in tokens)
        input_ids = np.zeros((len(tokens), width), dtype=np.int64)
        attention_mask = np.zeros_like(input_ids)
        for row, ids in enumerate(tokens):
            input_ids[row, : len(ids)] = ids
            attention_mask[row, : len(ids)] = 1
        return _run(self._session, {"input_ids": input_ids, "attention_mask": attention_mask})


class OnnxPhotoEncoder(CardHolder):
    """The photo half: the photo tower, which normalises pixels itself."""

    def __init__(self, card: EncoderCard, *, threads: int | None = None) -> None:
        """Open the tower; `threads` batches run side by side, by default one for each core.

        Raises:
            WeightsError: its file is missing or damaged.
        """
        super().__init__(card)
        self._session = _open_session(weight_file(card, PHOTO_FILE))
        self._threads = ThreadPoolExecutor(threads or usable_cores(), thread_name_prefix="tower")

    def encode_photos(self, photos: Sequence[Pixels]) -> Embeddings:
        """Return one unit row for each photo, in order.

        Raises:
            EncoderError: a photo does not have the shape and type that `photo_input` asks for.
        """
        self.check_photos(photos)
        batches = [photos[start : start + PHOTO_BATCH] for start in range(0, len(photos), PHOTO_BATCH)]
        none = np.empty((0, self.dimension), dtype=np.float32)
        return np.concatenate([none, *self._threads.map(self._encode_batch, batches)])

    def _encode_batch(self, photos: Sequence[Pixels]) -> Embeddings:
        return _run(self._session, {"pixels": np.stack(photos)})


def _open_tokenizer(path: Path, max_tokens: int) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception for anything wrong with a file
        raise WeightsError(f"{path}: is no tokenizer ({first_line(error)})") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def _open_session(path: Path) -> onnxruntime.InferenceSession:
    """Open a session whose runs have a thread each: a second one makes a text no faster, and photos slower together."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # warnings of the runtime mean nothing to people who search photos
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's exceptions share no base below Exception
        raise WeightsError(f"{path}: cannot be opened ({first_line(error)})") from error


def _run(session: onnxruntime.InferenceSession, inputs: dict[str, np.ndarray]) -> Embeddings:
    outputs: list[Embeddings] = session.run(None, inputs)
    return outputs[0]

"""The embedding by the tower that ships, kept with photos of other encoders: pack it, and read it back.

384 numbers in half precision are 768 bytes, 1,024 characters in base 64, and the tower's name stands before them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from index_store.compliance.decisions import packed, unpacked

if TYPE_CHECKING:
    from index_store.records import Embedding


def pack_shipped(encoder: str, embedding: Embedding) -> str:
    """Return a text of the embedding and of the name of the encoder that made it."""
    return f"{encoder} {packed(embedding)}"


def unpack_shipped(text: str, encoder: str, dimension: int) -> Embedding | None:
    """Undo `pack_shipped`; None for what another encoder made, and for what is no embedding of this length."""
    made_by, _, vector = text.partition(" ")
    found = unpacked(vector) if made_by == encoder else None
    return found if found is not None and len(found) == dimension else None

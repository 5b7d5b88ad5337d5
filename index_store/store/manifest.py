"""What a collection was built with, which is stored with the vectors and checked each time a store is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from index_store.errors import StoreError

SCHEMA = 3
"""The version of the layout of a store; raised when a program of another version could misread it.

1 and 2 had a row for each file, by its path; they were never released. 3 has a row for each content.
"""

KEYS = 1
"""The version of the keys that filters ask for; a store of schema 3 without them gets them by the next `index` run."""

_PREFIX = "imgsearch:"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The facts that vectors of one collection share.

    `used` is the time, in ISO 8601, when this encoder was last chosen among several of the store.
    """

    encoder: str
    dimension: int
    schema: int = SCHEMA
    used: str = ""
    keys: int = KEYS

    def to_metadata(self) -> dict[str, str | int]:
        """Return the flat form that a Chroma collection can carry."""
        return {
            f"{_PREFIX}schema": self.schema,
            f"{_PREFIX}encoder": self.encoder,
            f"{_PREFIX}dimension": self.dimension,
            f"{_PREFIX}keys": self.keys,
            **({f"{_PREFIX}used": self.used} if self.used else {}),
        }

    @staticmethod
    def is_in(metadata: Mapping[str, object] | None) -> bool:
        """Return whether a collection with this metadata was written by this program."""
        return metadata is not None and f"{_PREFIX}schema" in metadata

    @staticmethod
    def from_metadata(metadata: Mapping[str, object], where: str) -> Manifest:
        """Read the flat form back; `where` names the store in errors.

        Raises:
            StoreError: a fact is missing or of the wrong kind, or a newer program wrote it.
        """
        schema, encoder, dimension = (metadata.get(_PREFIX + key) for key in ("schema", "encoder", "dimension"))
        if isinstance(schema, int) and schema > SCHEMA:
            raise StoreError(
                f"{where}: written by a newer imgsearch (schema {schema}, this one knows {SCHEMA}); "
                "upgrade with 'pip install --upgrade imgsearch-cli'"
            )
        if isinstance(schema, int) and schema < SCHEMA:
            raise StoreError(
                f"{where}: was written by an earlier imgsearch (schema {schema}, this one writes {SCHEMA}); its photos "
                "have to be embedded again: delete the folder, or name another store, and run 'imgsearch index FOLDER'"
            )
        if not isinstance(schema, int) or not isinstance(encoder, str) or not isinstance(dimension, int):
            raise StoreError(f"{where}: its manifest is damaged; build the store again with 'imgsearch index'")
        used, keys = metadata.get(f"{_PREFIX}used", ""), metadata.get(f"{_PREFIX}keys", 0)
        return Manifest(
            encoder,
            dimension,
            schema,
            used=used if isinstance(used, str) else "",
            keys=keys if isinstance(keys, int) else 0,
        )

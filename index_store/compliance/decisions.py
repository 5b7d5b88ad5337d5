"""Decisions by hand about single photos: they win over the rule for photos, and follow a photo's content.

A photo that a person withheld stays withheld in another form too: one whose embedding is nearly equal (a byte appended,
saved again at another quality, a little smaller) is withheld with it, unless a person allowed that one.
"""

from __future__ import annotations

import base64
import binascii
import getpass
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from index_store.records import BY_HAND, Verdict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from index_store.records import Embedding

NEARLY_EQUAL = 0.95
"""The cosine from which on two photos are taken for the same picture: docs/compliance.md has what it finds. Of 1,000
different photos no two are as near as .93."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What somebody decided about a content: `time` is ISO 8601 in UTC, `path` where the photo lay then.

    `embeddings` has the photo's embedding for each encoder that it was stored with, and that of the tower that ships,
    as `packed` makes it.
    """

    content_hash: str
    withheld: bool
    reason: str
    path: str
    time: str
    user: str
    embeddings: Mapping[str, str] = field(default_factory=dict)


def decide(
    content_hash: str, path: str, *, withheld: bool, reason: str, embeddings: Mapping[str, str] | None = None
) -> Decision:
    """Return a decision of the user who runs this program, made now."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        user = "unknown"
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    return Decision(content_hash, withheld, reason, path, now, user, embeddings or {})


def packed(embedding: Embedding) -> str:
    """Return an embedding as text: half precision, which moves no cosine by more than 0.001, in base 64."""
    return base64.b64encode(embedding.astype("<f2").tobytes()).decode()


def overrule(verdict: Verdict, decision: Decision | None) -> Verdict:
    """Return the verdict that holds: the decision's where there is one. The model's probability is kept with it."""
    if decision is None:
        return verdict
    what = "withheld" if decision.withheld else "allowed"
    reason = f"{what} by {decision.user} on {decision.time[:10]}" + (f": {decision.reason}" if decision.reason else "")
    return Verdict(decision.withheld, verdict.probability, reason, BY_HAND, verdict.policy)


class HandDecisions:
    """The decisions that stand, for the photos of one encoder.

    Which photos look equal is seen in the embeddings by the tower that ships, whose cosines are known: another encoder
    may have .95 for any two photos of one place. Its rows keep these embeddings.
    """

    def __init__(self, decisions: Iterable[Decision] = (), encoder: str = "") -> None:
        """Take the log of a store in any order; the last decision about a content stands."""
        self.standing = {each.content_hash: each for each in sorted(decisions, key=lambda each: each.time)}
        self._encoder = encoder
        self._kept: dict[tuple[str, str], tuple[list[Decision], NDArray[np.float32]]] = {}

    def __len__(self) -> int:
        return len(self.standing)

    def apply(self, content_hash: str, embedding: Embedding, verdict: Verdict, shipped_vector: str = "") -> Verdict:
        """Return the verdict that holds for a content: that of the person, of the nearly equal photo, or `verdict`."""
        decision = self.standing.get(content_hash)
        if decision is not None:
            return overrule(verdict, decision)
        near = self.withheld_near(embedding, shipped_vector)
        if near is None:
            return _no_longer_near(verdict) if verdict.near else verdict
        return replace(verdict, near=near.content_hash, reason=f"looks equal to a photo {_said(near)}")

    def withheld_near(self, embedding: Embedding, shipped_vector: str = "") -> Decision | None:
        """Return the decision to withhold whose photo an embedding, a unit row, is nearly equal to.

        `shipped_vector` is what the row of another encoder keeps of the tower that ships; it counts wherever a decision
        has one, too.
        """
        shipped, _, vector = shipped_vector.partition(" ")
        seen = unpacked(vector)
        if seen is None:
            return self._nearest(embedding, self._encoder)
        return self._nearest(seen, shipped) or self._nearest(embedding, self._encoder, lacking=shipped)

    def _nearest(self, row: Embedding, encoder: str, lacking: str = "") -> Decision | None:
        decisions, vectors = self._withheld(encoder, lacking)
        if not decisions or vectors.shape[1:] != row.shape:
            return None
        cosines = vectors @ row
        nearest = int(cosines.argmax())
        return decisions[nearest] if float(cosines[nearest]) >= NEARLY_EQUAL else None

    def _withheld(self, encoder: str, lacking: str) -> tuple[list[Decision], NDArray[np.float32]]:
        """Return the decisions to withhold that have an embedding by one encoder and none by another, and these."""
        import numpy as np

        if (encoder, lacking) not in self._kept:
            withheld = [each for each in self.standing.values() if each.withheld and lacking not in each.embeddings]
            kept = [(each, unpacked(each.embeddings.get(encoder, ""))) for each in withheld]
            lengths = [len(vector) for _, vector in kept if vector is not None]
            usable = [(each, vector) for each, vector in kept if vector is not None and len(vector) == max(lengths)]
            rows = np.stack([vector for _, vector in usable]) if usable else np.zeros((0, 0), dtype=np.float32)
            self._kept[encoder, lacking] = [each for each, _ in usable], rows
        return self._kept[encoder, lacking]


def _no_longer_near(verdict: Verdict) -> Verdict:
    return replace(verdict, near="", reason=f"probability {verdict.probability:.2f} of a child by the rule for photos")


def _said(decision: Decision) -> str:
    return overrule(Verdict(True, 1.0, "", "", ""), decision).reason


def unpacked(text: str) -> NDArray[np.float32] | None:
    """Undo `packed`, with the length one; None for what is no embedding."""
    import numpy as np

    try:
        vector = np.frombuffer(base64.b64decode(text, validate=True), dtype="<f2").astype(np.float32)
    except (ValueError, binascii.Error):
        return None
    length = float(np.linalg.norm(vector)) if len(vector) else 0.0
    return vector / length if np.isfinite(length) and length > 0.0 else None

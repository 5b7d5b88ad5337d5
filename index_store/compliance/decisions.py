"""Decisions by hand about single photos: they win over the rule for photos, and follow a photo's content."""

from __future__ import annotations

import getpass
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from index_store.records import BY_HAND, Verdict


@dataclass(frozen=True, slots=True)
class Decision:
    """What somebody decided about a content: `time` is ISO 8601 in UTC, `path` where the photo lay then."""

    content_hash: str
    withheld: bool
    reason: str
    path: str
    time: str
    user: str


def decide(content_hash: str, path: str, *, withheld: bool, reason: str) -> Decision:
    """Return a decision of the user who runs this program, made now."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        user = "unknown"
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    return Decision(content_hash, withheld, reason, path, now, user)


def standing_decisions(decisions: Iterable[Decision]) -> dict[str, Decision]:
    """Return the last decision about each content."""
    return {decision.content_hash: decision for decision in sorted(decisions, key=lambda decision: decision.time)}


def overrule(verdict: Verdict, decision: Decision | None) -> Verdict:
    """Return the verdict that holds: the decision's where there is one. The model's probability is kept beside it."""
    if decision is None:
        return verdict
    what = "withheld" if decision.withheld else "allowed"
    reason = f"{what} by {decision.user} on {decision.time[:10]}" + (f": {decision.reason}" if decision.reason else "")
    return Verdict(decision.withheld, verdict.probability, reason, BY_HAND, verdict.policy)

"""Embed blocks of photos in a process that was started for it, on this machine or another; knows nothing of Ray."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from index_store import __version__
from index_store.compliance.choose_photo_rule import choose_photo_rules
from index_store.compliance.decisions import HandDecisions
from index_store.compliance.machine_policy import MACHINE_POLICY, machine_policy
from index_store.compliance.policy import Policy, load_policy
from index_store.encoders.registry import EncoderCard, encoder_card, shipped_before, stored_card
from index_store.errors import ClusterError, EncoderError, PolicyError, StoreError, WeightsError
from index_store.indexing.embed import Embedded, embed_photos
from index_store.indexing.write import index_models
from index_store.machine import share_cores
from index_store.photos import file_system
from index_store.photos.decoder_workers import Decoders
from index_store.records import EncodingJob
from index_store.store.image_store import ImageStore, open_store

if TYPE_CHECKING:
    from index_store.indexing.write import IndexModels

MOST_IN_A_BLOCK = 256
LEAST_IN_A_BLOCK = 32
BLOCKS_FOR_EACH = 4
"""Blocks for each actor where there are few photos, so that the slowest one does not keep the others waiting long."""

STORE_TRIES = 3
STORE_SECONDS = 120.0
"""How often a block is embedded where the store fails, and how long to wait for a server that is gone."""

_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class RunSpec:
    """What all processes of a run have to agree on.

    `place` is the store's address and `names` are the names of its roots on the machine that planned the run. `encoder`
    is a name with a fingerprint, `named` how the user named it; `rules` is the version of the rules for photos. `roots`
    are the folders that have to be there, `addresses` those in object storage that may be read. A process uses `cores`
    and the `device`, `cpu` or `cuda`.
    """

    place: str
    names: Mapping[str, str]
    roots: tuple[str, ...]
    encoder: str
    named: str | None
    rules: str
    policy: Policy
    device: str
    addresses: tuple[str, ...] = ()
    cores: int = 1
    version: str = __version__


def blocks_of(jobs: Sequence[EncodingJob], actors: int) -> Iterator[Sequence[EncodingJob]]:
    """Yield the jobs in blocks for so many actors, in order."""
    size = min(MOST_IN_A_BLOCK, max(LEAST_IN_A_BLOCK, -(-len(jobs) // (BLOCKS_FOR_EACH * max(1, actors)))))
    for start in range(0, len(jobs), size):
        yield jobs[start : start + size]


class BlockEmbedder:
    """Holds the models and the open store; what an actor is made of.

    What loads is not in the constructor: an actor whose constructor fails tells less about the reason.
    """

    def __init__(self, spec: RunSpec) -> None:
        """Keep what the run agreed on; nothing is opened yet."""
        self._spec = spec
        self._opened: tuple[ImageStore, IndexModels, Decoders] | None = None

    def prepare(self) -> None:
        """Open the store and check that the models, the policy and the photos are those of the run.

        Raises:
            ImgsearchError: something is missing here, or is another; the message names this machine.
        """
        self._ready()

    def embed(self, jobs: Sequence[EncodingJob]) -> Embedded:
        """Write a row for each photo of a block; what was written before is written once more.

        A server that is gone is waited for, and the block begins again.

        Raises:
            StoreError: the store failed several times, or did not come back.
        """
        for left in reversed(range(STORE_TRIES)):
            try:
                store, models, decoders = self._ready()  # inside: an actor may be started again without a server
                return embed_photos(jobs, store, models, decoders, lambda done, total: None)
            except StoreError:
                if not left:
                    raise
                self._wait_for_store()
        raise AssertionError("the last try raises")

    def _ready(self) -> tuple[ImageStore, IndexModels, Decoders]:
        """Open what is needed, once; a process that was started in place of a dead one begins here too."""
        if self._opened is None:
            spec = self._spec
            share_cores(spec.cores)
            if spec.version != __version__:
                raise ClusterError(
                    f"{socket.gethostname()} has imgsearch {__version__}, the run {spec.version}: install the same "
                    "version on every machine"
                )
            _refuse_missing_roots(spec.roots)
            file_system.allow(spec.addresses)
            _refuse_other_policy(spec.policy)
            card = _card(spec)
            rules = choose_photo_rules(card, spec.policy, named=spec.named)
            if rules.version != spec.rules:
                raise WeightsError(
                    f"{socket.gethostname()} has other rules for photos ({rules.version}) than the run ({spec.rules}): "
                    "install the same version of imgsearch and of the encoder's folder on every machine"
                )
            store = self._open_store()
            decisions = HandDecisions(store.decisions(), card.name)
            models = index_models(card, rules, decisions, spec.policy.photo_threshold, spec.device)
            self._opened = store, models, Decoders(spec.cores)
        return self._opened

    def _open_store(self) -> ImageStore:
        try:
            store = open_store(self._spec.place, self._spec.encoder)
        except StoreError as error:
            raise StoreError(f"{error} (asked from {socket.gethostname()})") from error
        store.name_roots(self._spec.names)
        return store

    def _wait_for_store(self) -> None:
        until = time.monotonic() + STORE_SECONDS
        while True:
            try:
                store = self._open_store()
                break
            except StoreError:
                if time.monotonic() > until:
                    raise
                time.sleep(_POLL_SECONDS)
        if self._opened is not None:
            self._opened = store, *self._opened[1:]


def _refuse_missing_roots(roots: Sequence[str]) -> None:
    if missing := [root for root in roots if not os.path.lexists(root)]:
        raise ClusterError(
            f"{', '.join(missing)}: not there on {socket.gethostname()}; every machine of the cluster needs the photos "
            "at the same path, or they lie in a bucket"
        )


def _refuse_other_policy(policy: Policy) -> None:
    if machine_policy() is not None and load_policy().digest != policy.digest:
        raise PolicyError(
            f"{MACHINE_POLICY}: is mandatory on {socket.gethostname()} and is not the policy of this run; give every "
            "machine of the cluster the same one"
        )


def _card(spec: RunSpec) -> EncoderCard:
    """Return the card of the run's encoder on this machine."""
    ships = encoder_card()
    if spec.encoder == ships.name:
        return ships
    if not spec.named and shipped_before(spec.encoder):
        raise EncoderError(
            f"{socket.gethostname()} has the encoder {ships.name}, the run {spec.encoder}: install the same version of "
            "imgsearch on every machine"
        )
    card = encoder_card(spec.named) if spec.named else stored_card(spec.encoder)
    if card.name != spec.encoder:
        raise EncoderError(
            f"{spec.named}: holds {card.name} on {socket.gethostname()}, the run has {spec.encoder}: copy the same "
            "folder to every machine"
        )
    return card

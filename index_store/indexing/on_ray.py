"""Embed photos on Ray: give blocks to actors, on a cluster or on a local Ray that lasts for one run.

Actors come and go with the machines of the cluster; Ray starts one again that died, and repeats what it was given. The
rows go from the actors to the store; what comes back says only what became of the photos.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from index_store.errors import ClusterError, ImgsearchError, first_line
from index_store.indexing.blocks import BlockEmbedder, RunSpec, blocks_of
from index_store.indexing.cluster import RayOptions
from index_store.indexing.embed import Embedded, Progress, all_of
from index_store.indexing.ray_connection import connected
from index_store.records import EncodingJob

_LOG = logging.getLogger(__name__)

RETRIES = 10
"""How often Ray repeats a block whose actor died, on the same machine or another."""

GIVEN_AHEAD = 2
"""Blocks that an actor has in hand, so that it need not wait for the next one."""

ACTOR_BYTES = 600_000_000
"""Memory that Ray sets aside for an actor and its decoder."""

STARTING_ACTORS = "starting actors"

_POLL_SECONDS = 2.0
_ROUNDS_BEFORE_NEWS = 15


def embed_on_ray(
    jobs: Sequence[EncodingJob], spec: RunSpec, options: RayOptions, most: int | None, progress: Progress
) -> Embedded:
    """Embed and write the photos of all jobs with actors on Ray, at most `most` of them.

    Raises:
        ClusterError: Ray cannot be started or reached, has too few free resources for an actor, or gave up a block.
        ImgsearchError: what an actor could not do, in its own words.
    """
    progress(0, len(jobs), "starting Ray")
    with connected(options.address, most):
        return _Run(_with_cores(spec), most, progress).embed(jobs)


@dataclass(eq=False, slots=True)
class _Actor:
    handle: Any
    ready: bool = False
    given: int = 0


class _Run:
    """The actors of one run, and what they were given."""

    def __init__(self, spec: RunSpec, most: int | None, progress: Progress) -> None:
        self._spec = spec
        self._most = most
        self._progress = progress
        self._actors: list[_Actor] = []
        self._running: dict[Any, tuple[_Actor, int]] = {}  # a reference of Ray -> who is at it, and for how many photos

    def embed(self, jobs: Sequence[EncodingJob]) -> Embedded:
        free = self._free_actors()
        if not free:
            wanted = "a GPU" if self._spec.device == "cuda" else f"a core and {ACTOR_BYTES / 1e6:.0f} MB"
            raise ClusterError(f"the Ray cluster has no node with {wanted} for an actor; what was written is kept")
        blocks = deque(blocks_of(jobs, free))
        all_blocks, parts, photos, rounds = len(blocks), list[Embedded](), 0, 0
        while blocks or any(actor.given for actor in self._actors):
            self._start_actors(len(blocks))
            self._give(blocks)
            if not blocks:
                self._let_idle_go()
            for count, part in self._finished():
                parts.append(part)
                photos += count
            nodes = sum(_holds(resources, self._spec) > 0 for resources in _nodes())
            note = f"block {len(parts)} of {all_blocks}, nodes: {nodes}"
            self._progress(photos, len(jobs), note if any(actor.ready for actor in self._actors) else STARTING_ACTORS)
            rounds += 1
            if rounds == _ROUNDS_BEFORE_NEWS and not any(actor.ready for actor in self._actors):
                _LOG.warning(
                    "the Ray cluster has no free resources for an actor yet; waiting for other work on it to end"
                )
        return all_of(parts)

    def _free_actors(self) -> int:
        """Return how many actors the cluster can hold now, while no other work runs; none while all nodes are away."""
        free = sum(_holds(resources, self._spec) for resources in _nodes())
        return min(free, self._most or free)

    def _start_actors(self, blocks: int) -> None:
        """Start as many actors as there are blocks, and as the cluster holds; machines may have joined."""
        if len(self._actors) >= (wanted := min(blocks, self._most or blocks)):
            return
        wanted = min(wanted, self._free_actors())
        while len(self._actors) < wanted:
            gpus = 1 if self._spec.device == "cuda" else 0
            embedder = ray.remote(BlockEmbedder).options(
                num_cpus=self._spec.cores,
                num_gpus=gpus,
                memory=ACTOR_BYTES,
                max_restarts=-1,
                max_task_retries=RETRIES,
            )
            actor = _Actor(embedder.remote(self._spec))
            self._actors.append(actor)
            self._running[actor.handle.prepare.remote()] = actor, 0

    def _give(self, blocks: deque[Sequence[EncodingJob]]) -> None:
        """Give blocks to the actors that are ready, one to each before a second one to any."""
        for in_hand in range(GIVEN_AHEAD):
            for actor in self._actors:
                if blocks and actor.ready and actor.given == in_hand:
                    block = blocks.popleft()
                    actor.given += 1
                    self._running[actor.handle.embed.remote(block)] = actor, len(block)

    def _let_idle_go(self) -> None:
        """End the actors that have nothing to do, so that one which a lost machine took along can start again."""
        for actor in [actor for actor in self._actors if not actor.given]:
            self._actors.remove(actor)
            self._running = {ref: held for ref, held in self._running.items() if held[0] is not actor}
            ray.kill(actor.handle)

    def _finished(self) -> Iterator[tuple[int, Embedded]]:
        """Wait a moment, and yield the photos of each block that is finished and what became of them."""
        for ref in ray.wait(list(self._running), num_returns=1, timeout=_POLL_SECONDS)[0]:
            actor, photos = self._running.pop(ref)
            answer = _answer(ref)
            if isinstance(answer, Embedded):
                actor.given -= 1
                yield photos, answer
            else:
                actor.ready = True


def _answer(ref: Any) -> Embedded | None:
    try:
        answer: Embedded | None = ray.get(ref)
    except RayTaskError as error:
        if isinstance(error.cause, ImgsearchError | OSError | MemoryError):
            raise error.cause from error
        raise ClusterError(f"an actor on Ray failed ({first_line(error.cause)}); {_KEPT}") from error
    except RayActorError as error:
        raise ClusterError(
            f"actors on Ray died {RETRIES + 1} times at the same block, perhaps for want of memory; {_KEPT}"
        ) from error
    except RayError as error:
        raise ClusterError(f"Ray failed ({first_line(error)}); {_KEPT}") from error
    return answer


_KEPT = "what was written is kept; -v names Ray's logs"


def _nodes() -> list[dict[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _holds(resources: dict[str, float], spec: RunSpec) -> int:
    """Return how many actors a machine with these resources can hold."""
    free = min(resources.get("CPU", 0) // spec.cores, resources.get("memory", 0) // ACTOR_BYTES)
    return int(min(free, resources.get("GPU", 0)) if spec.device == "cuda" else free)


def _with_cores(spec: RunSpec) -> RunSpec:
    """Give each actor a core; one with a GPU, which decoders have to keep busy, its share of its machine's."""
    if spec.device != "cuda":
        return spec
    shares = [each["CPU"] // each["GPU"] for each in _nodes() if each.get("GPU") and each.get("CPU")]
    return replace(spec, cores=max(1, int(min(shares, default=1))))

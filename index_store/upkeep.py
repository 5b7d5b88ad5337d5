"""Keep a store with the models that ship: index folders, refresh and forget them, tell what there is."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from index_store.checking import Finding, check_files, check_store, repair_files, repair_store
from index_store.chroma_client import shown, store_exists
from index_store.compliance.decisions import Decision, decide, overrule, standing_decisions
from index_store.compliance.policy import load_policy
from index_store.compliance.unjudged import photo_judge
from index_store.encoders import encoder_card, load_photo_encoder, shipped_before
from index_store.encoders.companions import RERANKER, find_companion
from index_store.errors import UsageError
from index_store.indexing import IndexOptions, Place, Progress, index_photos, plan_run, rejudge
from index_store.locking import writing
from index_store.manifest import Manifest
from index_store.places import default_store, is_url
from index_store.planning import IndexPlan, lies_below
from index_store.records import IndexReport, Skipped, StoredPhoto, StoreStatus
from index_store.row_writer import IndexModels
from index_store.store import ImageStore, create_store, open_store


@dataclass(frozen=True, slots=True)
class Library:
    """A store with the encoder and the policy that it is kept with; None means what ships, or the user's own store.

    `wait` makes a writer wait for another one instead of failing. `unjudged` lets `index` store photos, withheld, that
    no rule can judge, because none belongs to the encoder. `device` is what photos are encoded on: `cpu`, `cuda` or
    `auto`.
    """

    store: str | None = None
    encoder: str | None = None
    policy_file: Path | None = None
    wait: bool = False
    unjudged: bool = False
    device: str | None = None

    @property
    def place(self) -> str:
        """The store's folder."""
        return self.store or default_store()

    def index(
        self,
        places: Sequence[Place] = (),
        options: IndexOptions | None = None,
        progress: Progress = lambda done, total: None,
    ) -> IndexReport:
        """Index the photos below `places`, or refresh all that was indexed before; the same as `imgsearch index`.

        A root that is missing at a refresh is reported as skipped, and what is stored of it stays.

        Raises:
            PolicyError, EncoderError, WeightsError: what is needed is missing or broken; nothing was changed.
            UsageError, StoreError: see `index_store.indexing.index_photos`.
        """
        policy = load_policy(self.policy_file)
        known = None if places else self._open()
        named = self.encoder
        if named is None and known is not None and not self._is_superseded(known):
            named = known.manifest.encoder  # a refresh goes on with the encoder that the store was built with
        card = encoder_card(named)
        rule, load_judge = photo_judge(card, policy, named=named, unjudged=self.unjudged)
        with self._writing(make=True):
            store = known if known is not None and known.manifest.encoder == card.name else self._create()
            hidden = {photo.image_id for photo in store.withheld(policy.photo_threshold)}
            chosen, missing = _present(places, known or store)
            store.name_roots({place.name: place.path for place in chosen if place.name})
            decisions = standing_decisions(store.decisions())
            load_encoder = partial(load_photo_encoder, named, device=self.device)
            models = IndexModels(card.photo_input, load_encoder, load_judge, decisions)
            report = index_photos(chosen, store, models, options, progress) if chosen else IndexReport()
            rejudge(store, rule, policy.digest, models)
            if report.encoded:
                store.tune()
        withheld = {photo.image_id for photo in store.withheld(policy.photo_threshold)}
        skipped = _without_names((*missing, *report.skipped), hidden | withheld)
        return replace(report, withheld=len(withheld), skipped=skipped)

    def plan(
        self, places: Sequence[Place] = (), options: IndexOptions | None = None
    ) -> tuple[IndexPlan, frozenset[str]]:
        """Return what `index` would do, and the paths in it that may not be shown; nothing is written or made.

        Raises:
            UsageError, StoreError: as `index` does.
        """
        store = self._open(read_only=True) if store_exists(self.place) or not places else None
        chosen, missing = _present(places, store)
        stored = () if store is None or self._is_superseded(store) else store.photos()
        _, plan = plan_run(chosen, stored, options or IndexOptions())
        threshold = load_policy(self.policy_file).photo_threshold
        withheld = {photo.image_id for photo in store.withheld(threshold)} if store else set()
        hidden = frozenset(withheld | plan.successors(withheld))
        return replace(plan, skipped=_without_names((*missing, *plan.skipped), hidden)), hidden

    def forget(self, paths: Sequence[str]) -> int:
        """Drop the photos at or below absolute `paths`, and the roots there; return how many photos were dropped.

        Raises:
            UsageError: nothing is indexed at or below one of the paths; nothing was changed.
        """
        store = self._open()
        with self._writing():
            stored = [photo.image_id for photo in store.photos()]
            roots = store.roots()
            known = [*stored, *(root.path for root in roots)]
            unknown = [path for path in paths if not any(lies_below(each, path) for each in known)]
            if unknown:
                raise UsageError(f"{', '.join(unknown)}: nothing is indexed there; nothing was changed")
            doomed = [image_id for image_id in stored if any(lies_below(image_id, path) for path in paths)]
            store.delete(doomed)
            for root in roots:
                if any(lies_below(root.path, path) for path in paths):
                    store.drop_root(root)
        return len(doomed)

    def roots_above(self, paths: Sequence[str]) -> list[tuple[str, str]]:
        """Return each absolute path with each indexed root that holds it, itself not counted: a refresh looks there."""
        roots = [root.path for root in self._open(read_only=True).roots()]
        return [(path, root) for path in paths for root in roots if root != path and lies_below(path, root)]

    def check(self, *, repair: bool = False) -> tuple[list[Finding], int]:
        """Return what is wrong with the store, and how many rows were dropped to mend it.

        Raises:
            StoreError: there is no such store, or it cannot be read at all.
        """
        files = [] if is_url(self.place) or not store_exists(self.place) else check_files(self.place)
        if not repair:
            return (files, 0) if files else (check_store(self._open(read_only=True)), 0)
        with self._writing():
            dropped = 0 if is_url(self.place) else repair_files(self.place)
            store = self._open()
            findings = check_store(store)
            return [*files, *findings], dropped + repair_store(store, findings)

    def withheld(self) -> list[StoredPhoto]:
        """Return the photos that the policy withholds, sorted by path.

        Raises:
            StoreError, PolicyError: the store or the policy cannot be read.
        """
        return self._open(read_only=True).withheld(load_policy(self.policy_file).photo_threshold)

    def decide(self, paths: Sequence[str], *, withhold: bool, reason: str) -> int:
        """Withhold or allow by hand the photos at or below absolute `paths`, and all copies of them; return how many.

        Raises:
            UsageError: nothing is indexed at or below one of the paths; nothing was changed.
        """
        store = self._open()
        with self._writing():
            stored = list(store.photos())
            unknown = [path for path in paths if not any(lies_below(photo.image_id, path) for photo in stored)]
            if unknown:
                raise UsageError(f"{', '.join(unknown)}: no photo is indexed there; nothing was changed")
            made = {
                photo.file.content_hash: decide(
                    photo.file.content_hash or "", photo.image_id, withheld=withhold, reason=reason
                )
                for photo in stored
                if any(lies_below(photo.image_id, path) for path in paths)
            }
            store.add_decisions(list(made.values()))
            touched = [photo for photo in stored if photo.file.content_hash in made]
            store.update(
                [replace(photo, verdict=overrule(photo.verdict, made[photo.file.content_hash])) for photo in touched]
            )
        return len(touched)

    def decisions(self) -> list[Decision]:
        """Return all decisions by hand, the oldest first."""
        return self._open(read_only=True).decisions()

    def status(self) -> StoreStatus:
        """Tell what the store holds and which models it is used with.

        Raises:
            StoreError: there is no such store, or it cannot be read.
        """
        from index_store.relevance.cosine import load_scorer

        policy = load_policy(self.policy_file)
        store = self._open(read_only=True)
        roots = store.roots()
        name = store.manifest.encoder
        return StoreStatus(
            store=shown(self.place),
            schema=store.manifest.schema,
            photos=store.count(),
            withheld=len(store.withheld(policy.photo_threshold)),
            decided_by_hand=len(standing_decisions(store.decisions())),
            encoder=store.manifest.encoder,
            dimension=store.manifest.dimension,
            reranker=load_scorer(name, find_companion(RERANKER, name, self.encoder)).version,
            policy=policy.digest,
            bytes_on_disk=store.bytes_on_disk(),
            indexed_at=max((root.indexed_at for root in roots), default=None),
            roots=tuple(root.path for root in roots),
        )

    def _is_superseded(self, store: ImageStore) -> bool:
        """Whether a store's photos have to be embedded anew: its encoder came with another version."""
        return self.encoder is None and shipped_before(store.manifest.encoder)

    def _writing(self, *, make: bool = False) -> AbstractContextManager[None]:
        # a server orders its writers itself, row by row
        return nullcontext() if is_url(self.place) else writing(self.place, wait=self.wait, make=make)

    def _open(self, *, read_only: bool = False) -> ImageStore:
        named = self.encoder and encoder_card(self.encoder).name
        return open_store(self.place, named, preferred=encoder_card().name, read_only=read_only)

    def _create(self) -> ImageStore:
        card = encoder_card(self.encoder)
        return create_store(self.place, Manifest(card.name, card.dimension))


def _without_names(skipped: Sequence[Skipped], hidden: Collection[str]) -> tuple[Skipped, ...]:
    return tuple(replace(skip, path=None) if skip.path in hidden else skip for skip in skipped)


def _present(places: Sequence[Place], store: ImageStore | None) -> tuple[list[Place], list[Skipped]]:
    """Return the named places as they are, or the known roots that are there now and those that are missing."""
    if places or store is None:
        return [replace(place, path=os.path.abspath(place.path)) for place in places], []
    roots = store.roots()
    if not roots:
        raise UsageError(f"{store.place}: no folder was indexed yet; name one: imgsearch index FOLDER")
    missing = [
        Skipped(
            root.path,
            f"is not there, its {root.photos} photos are kept; mount it, or drop it with 'imgsearch forget'",
        )
        for root in roots
        if not os.path.exists(root.path)
    ]
    gone = {skip.path for skip in missing}
    return [Place(root.path, root.find, root.name) for root in roots if root.path not in gone], missing

"""`Library`, the one object to hold: index photos, search them, forget them, decide about them, check the store."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from index_store.compliance.choose_photo_rule import PhotoRules, choose_photo_rules
from index_store.compliance.decisions import Decision, HandDecisions
from index_store.compliance.policy import Policy, load_policy
from index_store.encoders.registry import encoder_card, load_photo_encoder, shipped_before, stored_card
from index_store.errors import StoreError, UsageError
from index_store.indexing.blocks import RunSpec
from index_store.indexing.choices import drop_superseded, encoder_to_write, places_to_index
from index_store.indexing.cluster import RayOptions, keep_to_ourselves, refuse_unusable
from index_store.indexing.embed import Embedded, Progress
from index_store.indexing.hand_decisions import decide_paths
from index_store.indexing.plan import IndexPlan
from index_store.indexing.run import (
    Embedder,
    IndexOptions,
    index_photos,
    judge_again,
    plan_run,
)
from index_store.indexing.stored_paths import all_paths, follow_move, forget_paths
from index_store.indexing.write import IndexModels, index_models
from index_store.machine import wanted_device
from index_store.once import once
from index_store.paths import is_address, is_url, lies_below, named_store
from index_store.photos import file_system
from index_store.photos.places import Place
from index_store.queries.ask import DEFAULT_K, DEFAULT_POOL, Searcher
from index_store.queries.status import store_status
from index_store.question import Filters, Question
from index_store.records import (
    Answer,
    EncodingJob,
    IndexedRoot,
    IndexReport,
    Skipped,
    StoredPhoto,
    StoreStatus,
)
from index_store.store.check import Finding, check_files, check_store, give_space_back, repair_files, repair_store
from index_store.store.client import close_folder, store_exists
from index_store.store.image_store import ImageStore, create_store, open_store
from index_store.store.lock import writing
from index_store.store.manifest import Manifest

if TYPE_CHECKING:
    from index_store.encoders.protocols import Embeddings, PhotoEncoder
    from index_store.photos.pictures import Given

    PlaceName = str | os.PathLike[str] | Place
    PlaceNames = PlaceName | Sequence[PlaceName]


@dataclass(frozen=True)
class Library:
    """A store with the encoder and the policy that it is used with; None means what ships, or the user's own store.

    >>> from index_store import Library
    >>> library = Library("photos.store")
    >>> library.index("photos").skipped
    ()
    >>> for match in library.search("a cat", k=2, min_score=0):
    ...     assert match.score >= 0 and match.path

    `wait` makes a writer wait for another one instead of failing, as a number at most so many seconds. `device` is what
    photos are encoded on: `cpu`, `cuda` or `auto`. `language` is that of texts to search by: `auto` (None), `en`,
    `other`, or a code such as `de`.
    """

    store: str | os.PathLike[str] | None = None
    encoder: str | None = None
    policy_file: Path | None = None
    wait: bool | float = False
    device: str | None = None
    language: str | None = None

    @property
    def place(self) -> str:
        """The store's folder, or its address.

        >>> Library("photos.store").place
        'photos.store'
        """
        return named_store(self.store)

    def index(
        self,
        places: PlaceNames = (),
        options: IndexOptions | None = None,
        progress: Progress = lambda done, total: None,
    ) -> IndexReport:
        """Index the photos below `places`, or refresh all that was indexed before; the same as `imgsearch index`.

        `places` are names of folders and files, `~` being the home folder, or `Place`s, one or several.

        >>> library.index("photos").unchanged == library.index(["photos"]).unchanged > 0
        True

        A root that is missing at a refresh is reported as skipped, and what is stored of it stays. When all roots are
        embedded with the encoder that ships, the photos of an earlier one are dropped.

        Raises:
            PolicyError, EncoderError, WeightsError: what is needed is missing or broken; nothing was changed.
            UsageError, StoreError: see `index_store.indexing.run.index_photos`.
            ClusterError, MissingExtraError: the work cannot be done on Ray.
        """
        places = _as_places(places)
        options = options or IndexOptions()
        if options.ray:
            refuse_unusable(self.place, options.ray)
        policy = load_policy(self.policy_file)
        card = encoder_to_write(self.place, self.encoder, places)
        rules = choose_photo_rules(card, policy, named=self.encoder)
        with self._writing(make=True):
            store = create_store(self.place, Manifest(card.name, card.dimension))
            store.add_keys()
            hidden = set(all_paths(store.withheld(policy.photo_threshold)))
            chosen, foreign = places_to_index(places, store.roots(), self.place)
            store.name_roots({place.name: place.path for place in chosen if place.name})
            decisions = HandDecisions(store.decisions(), card.name)
            models = index_models(card, rules, decisions, policy.photo_threshold, self.device)
            embed = self._on_ray(options.ray, chosen, store, rules, policy) if options.ray else None
            report = index_photos(chosen, store, models, options, progress, embed)
            judge_again(store, rules, policy.digest, decisions)
            if report.encoded:
                store.tune()
            store.choose()
            if not places and not foreign and all(file_system.exists(place.path) for place in chosen):
                drop_superseded(store)
        withheld = set(all_paths(store.withheld(policy.photo_threshold)))
        skipped = _without_names((*foreign, *report.skipped), hidden | withheld)
        notes = _without_names(report.notes, hidden | withheld)
        return replace(report, withheld=len(withheld), skipped=skipped, notes=notes)

    def plan(self, places: PlaceNames = (), options: IndexOptions | None = None) -> tuple[IndexPlan, frozenset[str]]:
        """Return what `index` would do, and the paths in it that may not be shown; nothing is written or made.

        >>> plan, withheld = library.plan("photos")
        >>> len(plan.added)
        0

        Raises:
            UsageError, StoreError: as `index` does.
        """
        places = _as_places(places)
        store = self._open(read_only=True) if store_exists(self.place) or not places else None
        roots = store.roots() if store else []
        chosen, foreign = places_to_index(places, roots, self.place)
        stored = () if store is None or self._is_superseded(store) else store.photos()
        _, plan = plan_run(chosen, [root for root in roots if root.trusted], stored, options or IndexOptions())
        withheld = store.withheld(load_policy(self.policy_file).photo_threshold) if store else []
        arriving = (file.image_id for photo in withheld for file in plan.gains.get(photo.content_hash, ()))
        hidden = frozenset((*all_paths(withheld), *arriving))
        return replace(plan, skipped=_without_names((*foreign, *plan.skipped), hidden)), hidden

    def search(
        self,
        query: str = "",
        *,
        like: Given | Sequence[Given] = (),
        away: str | Sequence[str] = (),
        filters: Filters | None = None,
        k: int = DEFAULT_K,
        pool: int = DEFAULT_POOL,
        min_score: float | None = None,
        language: str | None = None,
    ) -> Answer:
        """Return the best matches of a description, of photos, or of both; the same as `imgsearch query`.

        `like` is a photo, or several: the name of a file, its content, or a picture of Pillow. `away` is a text to keep
        away from, or several; `language` is that of the texts, by default the library's. Models are loaded once; new
        photos of another process are found by a new `Library`.

        >>> from PIL import Image
        >>> with Image.open("photos/coffee.png") as picture:
        ...     [match.path.split("/")[-1] for match in library.search(like=picture, k=1)]
        ['coffee.png']
        >>> len(library.search("a cup", like="photos/coffee.png", away="tea", k=2))
        2

        Raises:
            UsageError, StoreError, PolicyError: see `index_store.queries.ask.Searcher.ask`.
        """
        from index_store.photos.pictures import given_photo  # late: Pillow

        given = tuple(map(given_photo, _several(like)))
        texts = (away,) if isinstance(away, str) else tuple(away)
        return self._searcher.ask(Question(query, given, texts, filters or Filters(), k, pool, min_score, language))

    def encode_texts(self, texts: Sequence[str]) -> Embeddings:
        """Return the embeddings of texts by the store's encoder: unit rows, float32, shape (len(texts), dimension).

        >>> library.encode_texts(["a cat", "a cup"]).shape == (2, library.status().dimension)
        True

        Raises:
            StoreError, EncoderError, WeightsError: there is no store or no encoder, or its files are damaged.
        """
        encoder = self._searcher.encoder
        return encoder.encode_texts(list(texts)) if len(texts) else _no_rows(encoder.dimension)

    def encode_photos(self, photos: Sequence[Given]) -> Embeddings:
        """Return the embeddings of photos by the store's encoder: unit rows, float32, shape (len(photos), dimension).

        A photo is the name of a file, its content, or a picture of Pillow.

        >>> rows = library.encode_photos(["photos/coffee.png", "photos/rocket.jpg"])
        >>> len(rows), rows.dtype.name
        (2, 'float32')

        Raises:
            UsageError: a photo cannot be decoded.
            StoreError, EncoderError, WeightsError: there is no store or no encoder, or its files are damaged.
        """
        from index_store.photos.pictures import given_pixels

        encoder = self._photo_encoder
        pixels = given_pixels(photos, encoder.photo_input)
        return encoder.encode_photos(pixels) if pixels else _no_rows(encoder.dimension)

    @once
    def _photo_encoder(self) -> PhotoEncoder:
        name = self._searcher.store.manifest.encoder
        card = encoder_card(self.encoder) if self.encoder else stored_card(name)
        return load_photo_encoder(card, device=self.device)

    @once
    def _searcher(self) -> Searcher:
        return Searcher(self.store, encoder=self.encoder, policy_file=self.policy_file, language=self.language)

    def forget(self, paths: Sequence[str]) -> int:
        """Drop the photos at or below absolute `paths`, whatever encoder they were embedded with, and the roots there.

        >>> library.forget([os.path.abspath("photos/rocket.jpg")])
        1
        >>> library.index("photos").added
        1

        Returns:
            How many photos were dropped.

        Raises:
            UsageError: nothing is indexed at or below one of the paths; nothing was changed.
        """
        with self._writing():
            return forget_paths(self._open(), paths)

    def move(self, old: str, new: str) -> int:
        """Note that what lay at or below the absolute path `old` lies at `new` now; return how many files that are.

        >>> os.rename("photos", "moved")
        >>> library.move(os.path.abspath("photos"), os.path.abspath("moved")) > 0
        True
        >>> os.rename("moved", "photos")
        >>> library.move(os.path.abspath("moved"), os.path.abspath("photos")) > 0
        True

        It holds for every encoder, and for the roots there. No photo is read: the next `index` looks at them.

        Raises:
            UsageError: nothing is at `new`, or nothing is indexed at or below `old`; nothing was changed.
        """
        file_system.allow([new])
        if not file_system.exists(new):
            raise UsageError(f"{new}: is not there; move the folder first; nothing was changed")
        with self._writing():
            return follow_move(self._open(), old, new)

    def roots_above(self, paths: Sequence[str]) -> list[tuple[str, str]]:
        """Return each absolute path with each indexed root that holds it, itself not counted: a refresh looks there.

        >>> [(path, root)] = library.roots_above([os.path.abspath("photos/rocket.jpg")])
        >>> os.path.basename(root)
        'photos'
        """
        roots = [root.path for root in self._open(read_only=True).roots()]
        return [(path, root) for path in paths for root in roots if root != path and lies_below(path, root)]

    def check(self, *, repair: bool = False, deep: bool = False) -> tuple[list[Finding], int]:
        """Return what is wrong with the store, and how many problems were repaired; `deep` reads every photo's file.

        >>> library.check()
        ([], 0)

        Raises:
            StoreError: there is no such store, or it cannot be read at all.
        """
        threshold = load_policy(self.policy_file).photo_threshold
        files = [] if is_url(self.place) or not store_exists(self.place) else check_files(self.place)
        if not repair:
            return (files, 0) if files else (check_store(self._open(read_only=True), threshold, deep=deep), 0)
        with self._writing():
            dropped = 0 if is_url(self.place) else repair_files(self.place)
            store = self._open()
            findings = check_store(store, threshold, deep=deep)
            return [*files, *findings], dropped + repair_store(store, findings)

    def roots(self) -> list[IndexedRoot]:
        """Return the folders and files that were given to `index`, by path; a withheld photo among them is left out.

        >>> [os.path.basename(root.path) for root in library.roots()]
        ['photos']

        Raises:
            StoreError: there is no such store, or it cannot be read.
        """
        store = self._open(read_only=True)
        withheld = set(all_paths(store.withheld(load_policy(self.policy_file).photo_threshold)))
        return [root for root in store.roots() if root.path not in withheld]

    def close(self) -> None:
        """Give back what this process has opened of the store; what is asked next opens it again as it is then.

        For a process that lives long while others write to the store; nothing else of it may be in use here.

        >>> library.close()
        >>> library.status().photos
        12
        """
        self._let_go()
        if not is_url(self.place):
            close_folder(self.place)

    def give_space_back(self) -> None:
        """Give the space of deleted photos back to the disk where it is much.

        >>> library.give_space_back()

        What this process has opened of the store does not notice it: call it last, before the process ends. Where that
        cannot be done now, because another process writes, a later run does it: the store is only larger than it needs.
        """
        if not is_url(self.place):
            with suppress(StoreError), self._writing():
                give_space_back(self.place)

    def withheld(self) -> list[StoredPhoto]:
        """Return the photos that the policy withholds, sorted by path.

        >>> [photo.image_id for photo in library.withheld()]
        []

        Raises:
            StoreError, PolicyError: the store or the policy cannot be read.
        """
        return self._open(read_only=True).withheld(load_policy(self.policy_file).photo_threshold)

    def decide(self, paths: Sequence[str], *, withhold: bool, reason: str) -> int:
        """Withhold or allow by hand the photos at or below absolute `paths`, and all copies of them; return how many.

        >>> library.decide([os.path.abspath("photos/rocket.jpg")], withhold=True, reason="private")
        1
        >>> library.decide([os.path.abspath("photos/rocket.jpg")], withhold=False, reason="")
        1

        A decision is about the file that is there now, so each file is read; a photo that is not there can only be
        withheld. It holds for every encoder of the store.

        Raises:
            UsageError: nothing is indexed at or below one of the paths, or a file there is not the one that was
                indexed; nothing was changed.
        """
        with self._writing():
            return decide_paths(self._open(), paths, withhold=withhold, reason=reason)

    def decisions(self) -> list[Decision]:
        """Return all decisions by hand, the oldest first.

        >>> library.decide([os.path.abspath("photos/coffee.png")], withhold=False, reason="a cup")
        1
        >>> library.decisions()[-1].reason
        'a cup'
        """
        return self._open(read_only=True).decisions()

    def status(self) -> StoreStatus:
        """Return what the store holds and which models it is used with.

        >>> status = library.status()
        >>> status.photos, status.withheld
        (12, 0)

        Raises:
            StoreError: there is no such store, or it cannot be read.
        """
        policy = load_policy(self.policy_file)
        store = self._open(read_only=True)
        return store_status(store, policy, self.encoder)

    def _on_ray(
        self, ray: RayOptions, chosen: Sequence[Place], store: ImageStore, rules: PhotoRules, policy: Policy
    ) -> Embedder:
        """Return what embeds the photos of these places on Ray."""
        there = [place.path for place in chosen if not is_address(place.path) and file_system.exists(place.path)]
        names = {root.name: root.path for root in store.roots() if root.name}
        folder = self.encoder and os.path.abspath(self.encoder)
        spec = RunSpec(
            place=self.place,
            names=names | {place.name: place.path for place in chosen if place.name},
            roots=tuple(there),
            encoder=store.manifest.encoder,
            named=folder if folder and os.path.isdir(folder) else self.encoder,
            rules=rules.version,
            policy=policy,
            device="cuda" if wanted_device(self.device) == "cuda" else "cpu",
            addresses=tuple(place.path for place in chosen if is_address(place.path)),
        )

        def embed(
            jobs: Sequence[EncodingJob], _: ImageStore, __: IndexModels, options: IndexOptions, progress: Progress
        ) -> Embedded:
            keep_to_ourselves(ray)
            from index_store.indexing.on_ray import embed_on_ray  # late: Ray takes a second

            return embed_on_ray(jobs, spec, ray, options.workers, progress)

        return embed

    def _is_superseded(self, store: ImageStore) -> bool:
        """Whether a store's photos have to be embedded again: its encoder came with another version."""
        return self.encoder is None and shipped_before(store.manifest.encoder)

    @contextmanager
    def _writing(self, *, make: bool = False) -> Iterator[None]:
        # a server orders its writers itself, row by row
        with nullcontext() if is_url(self.place) else writing(self.place, wait=self.wait, make=make):
            yield
        self._let_go()

    def _let_go(self) -> None:
        for opened in ("_searcher", "_photo_encoder"):  # the store may have another encoder now
            vars(self).pop(opened, None)

    def _open(self, *, read_only: bool = False) -> ImageStore:
        named = self.encoder and encoder_card(self.encoder).name
        return open_store(self.place, named, preferred=encoder_card().name, read_only=read_only)


def _as_places(places: PlaceNames) -> list[Place]:
    several = (places,) if isinstance(places, str | os.PathLike | Place) else places
    return [place if isinstance(place, Place) else Place(os.path.expanduser(os.fspath(place))) for place in several]


def _several(like: Given | Sequence[Given]) -> Sequence[Given]:
    # a picture of Pillow is no sequence
    return like if isinstance(like, list | tuple) else (like,)


def _no_rows(dimension: int) -> Embeddings:
    import numpy as np

    return np.empty((0, dimension), dtype=np.float32)


def _without_names(skipped: Sequence[Skipped], hidden: Collection[str]) -> tuple[Skipped, ...]:
    return tuple(replace(skip, path=None) if skip.path in hidden else skip for skip in skipped)

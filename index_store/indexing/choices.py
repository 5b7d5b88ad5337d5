"""Choose what a run indexes, named places or known roots, and the encoder that it embeds with."""

from __future__ import annotations

from collections.abc import Sequence

from index_store.encoders.known_folders import remember_folder
from index_store.encoders.registry import EncoderCard, encoder_card, named_folder, shipped_before, stored_card
from index_store.errors import StoreError, UsageError
from index_store.photos import file_system
from index_store.photos.places import Place, chosen_places
from index_store.records import IndexedRoot, Skipped
from index_store.store.encoder_collections import encoder_in_use
from index_store.store.image_store import ImageStore

_FOREIGN = (
    "was indexed by another user or on another machine, so a refresh does not read it; to refresh it here, name it: "
    "imgsearch index PATH"
)


def places_to_index(
    places: Sequence[Place], roots: Sequence[IndexedRoot], store: str
) -> tuple[list[Place], list[Skipped]]:
    """Return the places of a run, and the roots that are skipped since another user or machine indexed them.

    A root that a store merely names must not be read and sent to a server: only who indexed a root refreshes it.

    Raises:
        UsageError: no place is named and no root is known or one's own; `store` is for the message.
    """
    own = [root for root in roots if root.trusted]
    foreign = [] if places else [Skipped(root.path, _FOREIGN) for root in roots if not root.trusted]
    if foreign and not own:
        raise UsageError(f"{store}: {foreign[0].path} {_FOREIGN}; nothing was changed")
    file_system.allow_own(own)
    return chosen_places(places, own, store), foreign


def encoder_to_write(store: str, named: str | None, places: Sequence[Place]) -> EncoderCard:
    """Return the card of the encoder that a run embeds with: the `named` one, else the one the store is used with.

    The one that ships takes the place of an earlier release of it.

    Raises:
        StoreError: the photos would go into a second collection unnoticed.
    """
    shipped = encoder_card()
    if named is not None:
        card = encoder_card(named)
        if named_folder(named) is not None:
            remember_folder(card.name, card.folder)
        return card
    used = encoder_in_use(store, shipped.name)
    if used is None or used == shipped.name:
        return shipped
    earlier = shipped_before(used)
    if earlier and places:
        raise StoreError(
            f"{store}: was built with {used}, which came with another version of imgsearch: run "
            "'imgsearch index' without a PATH to embed its photos again, or name another store with --store; "
            "nothing was changed"
        )
    return shipped if earlier else stored_card(used)


def drop_superseded(store: ImageStore) -> None:
    """Delete what earlier releases of the shipped encoder embedded: all of it is embedded again."""
    for other in store.others():
        if shipped_before(other.manifest.encoder) and not shipped_before(store.manifest.encoder):
            other.drop()

"""`imgsearch encoders`: what --encoder takes here, and what is missing for the rest."""

from __future__ import annotations

import click

from imgsearch_cli.options import format_option
from imgsearch_cli.streams import say


@click.command()
@click.argument("folders", nargs=-1, type=click.Path(), metavar="[FOLDER]...")
@click.option("--fetch", metavar="NAME", help="First fetch a CLIP or SigLIP model from the hub.")
@format_option("table", "jsonl")
def encoders(folders: tuple[str, ...], fetch: str | None, output_format: str) -> None:
    """List the encoders that can be used here, what they cost and bring, and what is missing for the rest.

    Listed are the encoder that ships, those in FOLDER..., and CLIP and SigLIP models: the ones in the hub's local
    cache, and some that can be fetched; `imgsearch train encoder` makes others from the bases that its --help names.
    MB is the size of the weights; R@1 is published: how many of Flickr30k's texts find their photo at first place.
    Without a reranker of its own an encoder's scores come by reference to the store's photos. The rule for photos that
    ships judges the photos of all of them; where an encoder has one of its own, the stricter verdict holds.

    \b
    imgsearch encoders
    imgsearch encoders ./my-encoder --format jsonl
    imgsearch encoders --fetch clip-ViT-B-32
    """
    from imgsearch_cli.render_models import render_encoders
    from index_store.encoders.listing import list_encoders

    if fetch is not None:
        from index_store.encoders.hub import fetch as fetch_encoder

        say(f"fetched {fetch_encoder(fetch).name}")
    render_encoders(list_encoders(folders), output_format)

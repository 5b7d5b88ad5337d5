"""`imgsearch train encoder DATA`: train a dual encoder on captioned photos."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("data", type=click.Path(path_type=Path, file_okay=False))
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="The encoder's folder.")
@click.option("--photo-base", metavar="NAME", help="The photo tower that training starts from.")
@click.option("--text-base", metavar="NAME", help="The text tower that training starts from.")
@click.option(
    "--start",
    type=click.Path(path_type=Path, file_okay=False),
    help="Go on from an encoder that this command made.",
)
@click.option("--epochs", type=click.IntRange(1, 1000), help="Passes over the photos.")
@click.option("--heads", type=click.IntRange(1, 16), help="Pairs of heads that learn side by side.")
@click.option("--captions-per-photo", type=click.IntRange(1, 5), help="Captions of a photo in one pass.")
@click.option("--rate-heads", type=click.FloatRange(0.0, 1.0), help="The heads' learning rate.")
@click.option("--seed", type=click.IntRange(0), help="The seed of everything random.")
@click.option(
    "--validation-share",
    type=click.FloatRange(0.0, 1.0, max_open=True),
    help="The share of photos held out to measure recall; 0 trains on all.",
)
@click.pass_context
def encoder(
    context: click.Context,
    data: Path,
    output: Path,
    photo_base: str | None,
    text_base: str | None,
    start: Path | None,
    epochs: int | None,
    heads: int | None,
    captions_per_photo: int | None,
    rate_heads: float | None,
    seed: int | None,
    validation_share: float | None,
) -> None:
    """Train a dual encoder on DATA, a folder with captions.tsv and images/.

    captions.tsv has the columns image, caption_id and caption. The output can be named with --encoder everywhere. Needs
    the extra `train`; what is not given is as for the encoder that ships (index_store/weights/encoder/card.json).

    \b
    imgsearch train encoder ./flickr8k_pretrain --output ./my-encoder
    """
    from imgsearch_cli.progress import progress_bar
    from imgsearch_cli.render import render_encoder_report
    from index_store.neural.dual_training import EncoderTraining, train_encoder

    chosen: dict[str, Any] = {
        "photo_base": photo_base,
        "text_base": text_base,
        "epochs": epochs,
        "heads": heads,
        "captions_per_photo": captions_per_photo,
        "seed": seed,
        "validation_share": validation_share,
    }
    config = replace(EncoderTraining(), **{name: value for name, value in chosen.items() if value is not None})
    if rate_heads is not None:
        config = replace(config, rates=replace(config.rates, heads=rate_heads))
    with progress_bar("training", "steps", quiet=context.obj["quiet"]) as advance:
        report = train_encoder(data, output, config, advance, start)
    render_encoder_report(report)

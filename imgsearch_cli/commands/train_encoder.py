"""`imgsearch train encoder DATA`: train a dual encoder on captioned photos."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("data", type=click.Path(path_type=Path, file_okay=False))
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="The encoder's folder.")
@click.option(
    "--photo-base",
    metavar="NAME|FOLDER",
    help="The photo tower that training starts from: efficientnet-lite2 (the default), resnet18, or an image model of "
    "transformers in a folder.",
)
@click.option(
    "--text-base",
    metavar="NAME|FOLDER",
    help="The text tower that training starts from: all-MiniLM-L6-v2 (the default), all-mpnet-base-v2, "
    "bert-base-uncased, en_core_web_md, or a text encoder of transformers in a folder.",
)
@click.option(
    "--start",
    metavar="shipped|bases|DIR",
    help="Go on from the encoder that ships (the default) or one in DIR, or begin at the pretrained bases.",
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
@click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep here what the frozen layers make of the photos, for the next run.",
)
@click.pass_context
def encoder(
    context: click.Context,
    data: Path,
    output: Path,
    photo_base: str | None,
    text_base: str | None,
    start: str | None,
    epochs: int | None,
    heads: int | None,
    captions_per_photo: int | None,
    rate_heads: float | None,
    seed: int | None,
    validation_share: float | None,
    cache: Path | None,
) -> None:
    """Train a dual encoder on DATA, a folder with captions.tsv and images/.

    captions.tsv has the columns image and caption, separated by a tab, one row a caption. Training goes on from the
    encoder that ships, half of which is kept, so that a few hundred photos of one's own do not make it forget the
    rest; a photo or text base by name, or --start bases, begins anew and needs thousands. The epoch that finds most of
    the held-out photos is kept, and an encoder in --output that finds more is not replaced. The output can be named
    with --encoder everywhere. Needs the extra `train`.

    \b
    imgsearch train encoder ./my-photos --output ./my-encoder
    imgsearch train encoder ./flickr8k_pretrain --start bases --output ./encoder
    imgsearch train encoder ./flickr8k_pretrain --photo-base resnet18 --text-base bert-base-uncased --output ./other
    """
    from imgsearch_cli.progress import progress_bar
    from imgsearch_cli.render_models import render_encoder_report
    from index_store.neural.dual_starting import choose_start
    from index_store.neural.dual_training import train_encoder

    chosen: dict[str, Any] = {
        "photo_base": photo_base,
        "text_base": text_base,
        "epochs": epochs,
        "heads": heads,
        "captions_per_photo": captions_per_photo,
        "seed": seed,
        "validation_share": validation_share,
    }
    named = photo_base is not None or text_base is not None
    folder, config = choose_start(start or ("bases" if named else "shipped"))
    config = replace(config, **{name: value for name, value in chosen.items() if value is not None})
    if rate_heads is not None:
        config = replace(config, rates=replace(config.rates, heads=rate_heads))
    with progress_bar("training", "steps", quiet=context.obj["quiet"]) as advance:
        report = train_encoder(data, output, config, advance, folder, cache=cache)
    render_encoder_report(report)

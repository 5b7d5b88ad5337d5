"""`imgsearch train text-tower DATA...`: train an encoder's text tower alone, with a larger model as its teacher."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from imgsearch_cli.commands.train_encoder import FOLDER, set_options
from imgsearch_cli.completing import complete_folders
from imgsearch_cli.options import no_policy_option, policy_option


@click.command("text-tower")
@click.argument("data", nargs=-1, required=True, metavar="DATA[:WEIGHT[:HELD_OUT]]...", shell_complete=complete_folders)
@click.option("--output", type=FOLDER, required=True, help="The encoder's folder.")
@click.option(
    "--teacher",
    metavar="NAME|FOLDER",
    shell_complete=complete_folders,
    help="A large text encoder, such as all-mpnet-base-v2; else photos alone teach.",
)
@click.option(
    "--start",
    default="shipped",
    show_default=True,
    metavar="shipped|DIR",
    shell_complete=complete_folders,
    help="The encoder whose photo tower stays.",
)
@click.option("--family", metavar="NAME", help="The first part of the encoder's name.  [default: own-lite2-minilm]")
@click.option("--epochs", type=click.IntRange(1, 1000), help="Passes over the photos.")
@click.option("--most-captions", type=click.IntRange(1, 100), help="Captions of a photo that are used.")
@click.option("--contrast", type=click.FloatRange(0.0, 100.0), help="The weight of the photos against the teacher.")
@click.option("--batch", type=click.IntRange(2, 10000), help="Photos in a batch.")
@click.option("--seed", type=click.IntRange(0), help="The seed of everything random.")
@set_options
@policy_option
@no_policy_option
@click.pass_context
def text_tower(
    context: click.Context,
    /,
    data: tuple[str, ...],
    output: Path,
    teacher: str | None,
    start: str,
    family: str | None,
    validation: tuple[Path, ...],
    leave_out: tuple[Path, ...],
    without_names: tuple[str, ...],
    cache: Path | None,
    checkpoints: Path | None,
    policy_file: Path | None,
    no_policy: bool,
    **chosen: Any,
) -> None:
    """Train the text tower of an encoder alone, on DATA as for `train encoder`; its photo tower stays as it is.

    The teacher is a text encoder that is too large to ship: a few heads on it, and on the own text tower, learn which
    photo a text is about, and the text tower learns from them on whole captions and on pieces of one to five words.
    What looks at texts (the reranker, the rule for texts) has to be trained again for the new encoder.

    \b
    imgsearch train text-tower ./flickr8k_pretrain ./mixed_pretrain:1:0.1 --teacher ./mpnet --output ./encoder
    """
    from index_store.training.data.captions import parse_data
    from index_store.training.encoder.prepare_captions import caption_rules

    folders = [parse_data(text) for text in data]
    rules = caption_rules(policy_file, no_policy, leave_out, without_names)
    if no_policy:
        click.echo("imgsearch: the compliance policy is off: nothing is left out of training", err=True)

    from imgsearch_cli.render_models import render_encoder_report
    from imgsearch_cli.training_log import watched
    from index_store.training.encoder.distillation import TextTraining
    from index_store.training.encoder.initialise import choose_start
    from index_store.training.encoder.text_bases import load_text_base
    from index_store.training.encoder.text_tower import train_texts
    from index_store.training.encoder.train import OWN_FAMILY, Places

    folder, made = choose_start(start)
    if folder is None:
        raise click.UsageError("--start bases has no photo tower that could stay: name an encoder")
    config = replace(TextTraining(), **{name: value for name, value in chosen.items() if value is not None})
    places = Places(folder, validation, cache, checkpoints)
    with watched("photos", lines=checkpoints is not None, quiet=context.obj["quiet"]) as advance:
        base = load_text_base(teacher) if teacher else None
        report = train_texts(
            folders, output, (folder, made), base, config, advance, places, rules, family or OWN_FAMILY
        )
    render_encoder_report(report)

"""`imgsearch train encoder DATA...`: train a dual encoder on captioned photos."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from imgsearch_cli.completing import complete_folders
from imgsearch_cli.options import Command, no_policy_option, policy_option

FOLDER = click.Path(path_type=Path, file_okay=False)


def set_options(command: Command) -> Command:
    """Add the options on sets of photos that the trainings of encoders share."""
    for option in reversed(_SET_OPTIONS):
        command = option(command)
    return command


_SET_OPTIONS = (
    click.option("--validation", type=FOLDER, multiple=True, help="A folder to measure on and never train on."),
    click.option(
        "--leave-out",
        type=click.Path(path_type=Path, dir_okay=False),
        multiple=True,
        metavar="TABLE",
        help="A table of labels (columns image, under16): photos that it calls yes are not trained on.",
    ),
    click.option(
        "--without-names",
        metavar="SOURCE",
        multiple=True,
        help="Replace names of persons in captions from this source.",
    ),
    click.option("--cache", type=FOLDER, help="Keep here what is made of photos and captions, for the next run."),
    click.option("--checkpoints", type=FOLDER, help="Keep here what is reached; a killed run goes on from it."),
)


@click.command()
@click.argument("data", nargs=-1, required=True, metavar="DATA[:WEIGHT[:HELD_OUT]]...", shell_complete=complete_folders)
@click.option("--output", type=FOLDER, required=True, help="The encoder's folder.")
@click.option(
    "--photo-base",
    metavar="NAME|FOLDER",
    shell_complete=complete_folders,
    help="The photo tower that training starts from: efficientnet-lite2 (the default), resnet18, or an image model of "
    "transformers in a folder.",
)
@click.option(
    "--text-base",
    metavar="NAME|FOLDER",
    shell_complete=complete_folders,
    help="The text tower that training starts from: all-MiniLM-L6-v2 (the default), all-mpnet-base-v2, "
    "bert-base-uncased, en_core_web_md, or a text encoder of transformers in a folder.",
)
@click.option(
    "--start",
    metavar="shipped|bases|DIR",
    shell_complete=complete_folders,
    help="Go on from the encoder that ships (the default) or one in DIR, or begin at the pretrained bases.",
)
@click.option("--release", is_flag=True, help="Train at the rates and as long as for what ships, whatever the start.")
@click.option(
    "--family",
    metavar="NAME",
    help="The first part of the encoder's name.  [default: the bases, and own where what ships has the same]",
)
@click.option("--epochs", type=click.IntRange(1, 1000), help="Passes over the photos.")
@click.option("--views", type=click.IntRange(1, 32), help="Views of a photo: plain, mirrored, random ones.")
@click.option("--heads", type=click.IntRange(1, 16), help="Pairs of heads that learn side by side.")
@click.option("--captions-per-photo", type=click.IntRange(1, 5), help="Captions of a photo in one pass.")
@click.option("--rate-heads", type=click.FloatRange(0.0, 1.0), help="The heads' learning rate.")
@click.option("--seed", type=click.IntRange(0), help="The seed of everything random.")
@click.option(
    "--validation-share",
    type=click.FloatRange(0.0, 1.0, max_open=True),
    help="The share of photos held out to measure recall, where DATA does not say; 0 trains on all.",
)
@set_options
@policy_option
@no_policy_option
@click.pass_context
def encoder(
    context: click.Context,
    /,
    data: tuple[str, ...],
    output: Path,
    start: str | None,
    release: bool,
    family: str | None,
    rate_heads: float | None,
    validation: tuple[Path, ...],
    leave_out: tuple[Path, ...],
    without_names: tuple[str, ...],
    cache: Path | None,
    checkpoints: Path | None,
    policy_file: Path | None,
    no_policy: bool,
    **chosen: Any,
) -> None:
    """Train a dual encoder on DATA, folders with captions.tsv and images/.

    captions.tsv has the columns image and caption, separated by a tab, one row a caption, and perhaps source. Several
    folders stand in each batch by their WEIGHT, and HELD_OUT is the share of one that is measured on. Captions
    that the policy withholds are left out, and photos that they are about.

    Training goes on from the encoder that ships, half of which is kept, so that a few hundred photos of one's own do
    not make it forget the rest; a photo or text base by name, or --start bases, starts afresh and needs thousands. The
    epoch that finds most of the held-out photos is kept, and an encoder in --output that finds more is not replaced.
    The output can be named with --encoder everywhere. With --checkpoints, the same command goes on after a stop.
    Needs the extra `train`.

    \b
    imgsearch train encoder ./my-photos --output ./my-encoder
    imgsearch train encoder ./flickr8k_pretrain --start bases --output ./encoder
    imgsearch train encoder ./flickr8k_pretrain:2:0.05 ./mixed_pretrain:2:0.1 ./classes_pretrain:1:0 \\
        --validation ./coco_val --start bases --output ./encoder --cache ./cache --checkpoints ./checkpoints
    imgsearch train encoder ./flickr8k_pretrain --photo-base resnet18 --text-base bert-base-uncased --output ./other
    """
    from index_store.training.data.captions import parse_data
    from index_store.training.encoder.prepare_captions import caption_rules

    folders = [parse_data(text) for text in data]
    rules = caption_rules(policy_file, no_policy, leave_out, without_names)
    if no_policy:
        click.echo("imgsearch: the compliance policy is off: nothing is left out of training", err=True)

    from imgsearch_cli.render_models import render_encoder_report
    from imgsearch_cli.training_log import watched
    from index_store.training.encoder.initialise import choose_start
    from index_store.training.encoder.train import Places, train_encoder

    named = chosen["photo_base"] is not None or chosen["text_base"] is not None
    folder, config = choose_start(start or ("bases" if named else "shipped"), release)
    config = replace(config, **{name: value for name, value in chosen.items() if value is not None})
    config = replace(config, alike=len(folders) > 1)
    if rate_heads is not None:
        config = replace(config, rates=replace(config.rates, heads=rate_heads))
    places = Places(folder, validation, cache, checkpoints)
    with watched("photos", lines=checkpoints is not None, quiet=context.obj["quiet"]) as advance:
        report = train_encoder(folders, output, config, advance, places, rules, family=family)
    render_encoder_report(report)

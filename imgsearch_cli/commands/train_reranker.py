"""`imgsearch train reranker DATA`: train the regressor that scores a photo for a text."""

from __future__ import annotations

from pathlib import Path

import click

from imgsearch_cli.completing import complete_folders
from imgsearch_cli.options import encoder_option, no_policy_option, policy_option
from imgsearch_cli.streams import say

_TARGETS = ("mean", "median", "majority", "majority-or-mean", "crowd", "blend", "both", "mean+crowd")
_MODELS = ("auto", "constant", "isotonic", "linear", "ridge", "mapped", "notebook")


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The folder to write the reranker to.",
)
@click.option(
    "--target",
    type=click.Choice(_TARGETS),
    default="mean",
    show_default=True,
    help="How several judgements of a pair become one relevance.",
)
@click.option(
    "--expert-weight",
    type=click.FloatRange(0, 1),
    default=0.7,
    show_default=True,
    help="The experts' share in the targets blend and both.",
)
@encoder_option
@click.option(
    "--model",
    type=click.Choice(_MODELS),
    default="auto",
    show_default=True,
    help="What is trained; auto is what ships.",
)
@click.option("--split-seed", type=int, default=0, show_default=True, help="Decides which photos are held out.")
@click.option(
    "--valid-fraction",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.3,
    show_default=True,
    help="The share of photos that is held out.",
)
@click.option(
    "--short",
    "short",
    metavar="FOLDER[:WEIGHT[:HELD_OUT]]",
    shell_complete=complete_folders,
    multiple=True,
    help="Captioned photos to learn short queries from; HELD_OUT: the share that the encoder held out.  [default: 1]",
)
@click.option(
    "--measure",
    "measured",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Captioned photos to measure short queries on, and nothing else.",
)
@click.option("--report", type=click.Path(path_type=Path, file_okay=False), help="A folder for an HTML page and JSON.")
@policy_option
@no_policy_option
@click.pass_context
def reranker(
    context: click.Context,
    data: Path,
    output: Path,
    target: str,
    expert_weight: float,
    encoder: str | None,
    model: str,
    split_seed: int,
    valid_fraction: float,
    short: tuple[str, ...],
    measured: tuple[Path, ...],
    report: Path | None,
    policy_file: Path | None,
    no_policy: bool,
) -> None:
    """Train the reranker on human judgements.

    DATA is a folder in the layout of with_sense: ExpertAnnotations.tsv, CrowdAnnotations.tsv, train_dataset.csv and
    train_images/. The figures are measured on photos that were held out; the weights are then fitted on all of them.

    \b
    imgsearch train reranker ../shared/data/with_sense --output ./reranker
    imgsearch train reranker ../shared/data/with_sense --output ./ridge --model ridge --target majority
    imgsearch train reranker ../shared/data/with_sense --output ./both --short ../shared/data/flickr8k_pretrain:1:0.05
    """
    from imgsearch_cli.progress import progress_bar
    from imgsearch_cli.render_models import render_training
    from index_store.training.data.captions import parse_data
    from index_store.training.reranker.train import TrainingOptions, train_reranker

    if no_policy:
        say("imgsearch: the compliance policy is off: nothing is left out of training")
    folders = tuple(map(parse_data, short))
    options = TrainingOptions(
        target, expert_weight, encoder, model, split_seed, valid_fraction, not no_policy, policy_file, folders, measured
    )
    with progress_bar("photos", "photos", quiet=context.obj["quiet"]) as advance:
        found = train_reranker(data, output, options, progress=advance)
    render_training(found, quiet=context.obj["quiet"])
    if report is not None:
        from index_store.training.evaluate.report import write_training_report

        say(f"report: {write_training_report(report, found)}")

"""`imgsearch train minors`: train the rule that judges photos."""

from __future__ import annotations

from pathlib import Path

import click

from imgsearch_cli.options import encoder_option

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.argument("data", type=_FOLDER)
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="The folder to write the rule to."
)
@click.option("--evaluate", type=_FOLDER, help="Photos with texts in the layout of with_sense, to report on.")
@click.option(
    "--unseen-share",
    type=click.FloatRange(0, 1),
    help="The part of DATA that the encoder was not trained on.  [default: what the encoder's card says]",
)
@click.option(
    "--twin",
    metavar="DIR",
    help="An encoder trained likewise, but with a part of DATA held out: study and calibrate on its unseen photos.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Decides folds and the start of the networks.")
@encoder_option
@click.pass_context
def minors(
    context: click.Context,
    data: Path,
    output: Path,
    evaluate: Path | None,
    unseen_share: float | None,
    twin: str | None,
    seed: int,
    encoder: str | None,
) -> None:
    """Train the rule that judges whether a photo shows a child.

    DATA is a folder with captions.tsv and images/. Several models are compared on photos left out of their training;
    the best one is calibrated and written to the output folder with its figures.

    \b
    imgsearch train minors ../shared/data/flickr8k_pretrain --output index_store/weights/minors \
        --evaluate ../shared/data/with_sense
    """
    from imgsearch_cli.progress import progress_bar
    from imgsearch_cli.render_models import render_photo_rule
    from index_store.training.photo_rule.data import gather, gather_judged
    from index_store.training.photo_rule.train import PhotoRuleTraining, train_photo_rule

    quiet = context.obj["quiet"]
    with progress_bar("photos", "photos", quiet=quiet) as advance:
        learning = gather(data, encoder, None if twin else unseen_share, advance)
        studied = gather(data, twin, unseen_share, advance) if twin else None
        judged = gather_judged(evaluate, encoder, advance) if evaluate else {}
    with progress_bar("models", "fits", quiet=quiet) as advance:
        report = train_photo_rule(learning, output, judged, PhotoRuleTraining(seed=seed), advance, studied)
    render_photo_rule(report)

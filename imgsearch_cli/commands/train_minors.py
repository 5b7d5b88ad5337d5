"""`imgsearch train minors`: train the rule that judges photos."""

from __future__ import annotations

from pathlib import Path

import click

from imgsearch_cli.completing import complete_folders
from imgsearch_cli.options import encoder_option

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.argument("data", nargs=-1, required=True, metavar="DATA[:WEIGHT[:HELD_OUT]]...", shell_complete=complete_folders)
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="The folder to write the rule to."
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    metavar="TABLE",
    help="Labels made by looking (columns image, under16, person); they win over captions.",
)
@click.option(
    "--validation",
    type=click.Path(path_type=Path, file_okay=False),
    multiple=True,
    help="Photos that are in --labels, to report on alone.",
)
@click.option("--evaluate", type=_FOLDER, help="Photos with texts in the layout of with_sense, to report on.")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides folds and the start of the networks.")
@encoder_option
@click.pass_context
def minors(
    context: click.Context,
    data: tuple[str, ...],
    output: Path,
    labels: tuple[Path, ...],
    validation: tuple[Path, ...],
    evaluate: Path | None,
    seed: int,
    encoder: str | None,
) -> None:
    """Train the rule that judges whether a photo shows a child.

    DATA are folders with captions.tsv and images/; HELD_OUT of a folder is measured on only, by default the share that
    the encoder did not see. Several models are compared on photos left out of their training; the simplest that is as
    good as any is calibrated and written to the output folder with its figures and the threshold that they advise.

    \b
    imgsearch train minors ../shared/data/flickr8k_pretrain:3:0.05 ../shared/data/mixed_pretrain:1:0.1 \
        ../shared/data/classes_pretrain:1:0 --labels ../shared/data/by_eye/labels.tsv \
        --validation ../shared/data/coco_val --output index_store/weights/minors
    """
    from imgsearch_cli.progress import progress_bar
    from imgsearch_cli.render_models import render_photo_rule
    from index_store.training.data.captions import parse_data
    from index_store.training.photo_rule.data import gather, gather_copies, gather_judged
    from index_store.training.photo_rule.labels import label_photos
    from index_store.training.photo_rule.train import PhotoRuleTraining, train_photo_rule
    from index_store.training.photo_rule.trials import MeasuredSet

    quiet, config = context.obj["quiet"], PhotoRuleTraining(seed=seed)
    with progress_bar("photos", "photos", quiet=quiet) as advance:
        learning = gather([parse_data(each) for each in data], encoder, advance)
        known = label_photos(learning.photos, labels, config.positive_share, config.trust)
        learning = gather_copies(learning, known, encoder, advance)
        measured = []
        for folder in validation:
            found = gather([parse_data(str(folder))], encoder, advance)
            seen = label_photos(found.photos, labels, config.positive_share, config.trust).seen
            measured.append(MeasuredSet(folder.name, found.embeddings, seen))
        judged = gather_judged(evaluate, encoder, advance) if evaluate else {}
    with progress_bar("models", "fits", quiet=quiet) as advance:
        report = train_photo_rule(learning, known, output, measured, judged, config, advance)
    render_photo_rule(report)

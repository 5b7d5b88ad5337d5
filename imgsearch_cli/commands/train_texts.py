"""`imgsearch train texts`: train the look at a text's embedding."""

from __future__ import annotations

from pathlib import Path

import click

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.argument("data", type=_FOLDER, nargs=-1, required=True)
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="The folder to write the look to."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Decides the start of the network.")
@click.pass_context
def texts(context: click.Context, data: tuple[Path, ...], output: Path, seed: int) -> None:
    """Train the look that judges texts in which no word of the policy stands.

    DATA are folders with captions.tsv and images/. Their captions are labelled by the policy's words; example texts
    that ship with the program are added. The look belongs to the text tower that ships.

    \b
    imgsearch train texts ../shared/data/flickr8k_pretrain ../shared/data/mixed_pretrain \
        --output index_store/weights/texts
    """
    from imgsearch_cli.progress import progress_bar
    from imgsearch_cli.render_models import render_text_look
    from index_store.training.text_look.train import TextTraining, train_text_look

    with progress_bar("captions", "photos", quiet=context.obj["quiet"]) as advance:
        report = train_text_look(data, output, TextTraining(seed=seed), advance)
    render_text_look(report)

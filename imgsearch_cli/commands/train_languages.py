"""`imgsearch train languages`: train what queries in other languages need."""

from __future__ import annotations

from pathlib import Path

import click

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.argument("data", type=_FOLDER, nargs=-1, required=True)
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="The folder to write to."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Decides the start of the networks.")
def languages(data: tuple[Path, ...], output: Path, seed: int) -> None:
    """Train the head that answers queries in other languages, and the look that judges them.

    DATA are folders with captions.tsv and images/; their English captions alone are read. Head and look belong to the
    encoder that ships. A language is searched only where texts about children are refused often enough; the table says
    which. Needs the extras train and languages.

    \b
    imgsearch train languages ../shared/data/flickr8k_pretrain ../shared/data/mixed_pretrain \\
        ../shared/data/classes_pretrain --output index_store/weights/languages
    """
    from imgsearch_cli.render_models import render_languages
    from index_store.training.languages.train import LanguageTraining, train_languages

    render_languages(train_languages(data, output, LanguageTraining(seed=seed)))

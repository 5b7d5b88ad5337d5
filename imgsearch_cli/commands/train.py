"""The group `imgsearch train`: one subcommand for each kind of model."""

from __future__ import annotations

import click

from imgsearch_cli.commands.train_encoder import encoder
from imgsearch_cli.commands.train_minors import minors
from imgsearch_cli.commands.train_reranker import reranker
from imgsearch_cli.commands.train_texts import texts


@click.group()
def train() -> None:
    """Train the models: encoder, its text tower alone, reranker, and the rule for photos.

    \b
    imgsearch train reranker ./with_sense --output ./my-reranker
    """


for command in (encoder, texts, reranker, minors):
    train.add_command(command)

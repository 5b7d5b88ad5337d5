"""The group `imgsearch train`: one subcommand for each kind of model."""

from __future__ import annotations

import click

from imgsearch_cli.commands.train_encoder import encoder
from imgsearch_cli.commands.train_languages import languages
from imgsearch_cli.commands.train_minors import minors
from imgsearch_cli.commands.train_reranker import reranker
from imgsearch_cli.commands.train_text_tower import text_tower
from imgsearch_cli.commands.train_texts import texts
from imgsearch_cli.group import TopicGroup


@click.group(cls=TopicGroup)
def train() -> None:
    """Train the models: encoder, its text tower alone, reranker, the rules for photos and texts, other languages.

    \b
    imgsearch train reranker ./with_sense --output ./my-reranker
    """


for command in (encoder, text_tower, reranker, minors, texts, languages):
    train.add_command(command)

"""A large text trunk learns the same from less memory, and the bar of a training says what is under way."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from index_store.training.encoder import steps  # noqa: E402
from index_store.training.encoder.checkpoint import Checkpoints  # noqa: E402
from index_store.training.encoder.config import HeadShape  # noqa: E402
from index_store.training.encoder.model import DualModel, Heads, TextTower  # noqa: E402
from index_store.training.encoder.photo_views import Tokens  # noqa: E402
from index_store.training.encoder.train import run_training  # noqa: E402


class Trunk(nn.Module):
    """Two layers with dropout; counts how often it is run."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.layer = nn.Embedding(20, 8), nn.Linear(8, 8)
        self.runs = 0

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        self.runs += 1
        return SimpleNamespace(last_hidden_state=functional.dropout(self.layer(self.words(input_ids)), 0.5))


def test_a_large_trunk_computes_again_what_it_did_not_keep_and_learns_the_same(monkeypatch):
    tokens = Tokens(torch.arange(130 * 6).view(130, 6) % 20, torch.ones(130, 6, dtype=torch.long))
    gradients = []
    monkeypatch.setattr(steps, "_SPARING_GROUP", 64)  # else dropout would draw in another order
    for most, runs in ((10**9, 2), (0, 4)):
        monkeypatch.setattr(steps, "_LARGE_TRUNK", most)
        torch.manual_seed(0)
        trunk = Trunk()
        model = DualModel(None, TextTower(trunk, Heads(8, 1, HeadShape(8, 8))))
        pooled = steps.pool_texts(model, tokens)
        pooled.square().sum().backward()
        assert trunk.runs == runs
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in trunk.parameters()]))
    assert torch.equal(*gradients)
    assert gradients[0].abs().sum() > 0
    with torch.no_grad():
        steps.pool_texts(model, tokens)
    assert trunk.runs == 6


def test_the_bar_of_what_came_before_does_not_stay_full_while_the_first_step_is_taken():
    training = SimpleNamespace(steps=2, done=0, averaged=None, state=dict)
    training.step = lambda: setattr(training, "done", training.done + 1)
    keeper = SimpleNamespace(offer=lambda model, epoch: f"epoch {epoch}", state=dict)
    shown = []
    run_training(training, keeper, (1, 10), Checkpoints(None, {}), lambda *told: shown.append(told))
    assert shown == [
        (0, 20, "photos learned from"),
        (10, 20, "photos learned from"),
        (20, 20, "held-out photos are measured"),
        (20, 20, "epoch 1"),
    ]

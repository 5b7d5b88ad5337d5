"""Batches hold each set by its weight, and captions that say the same are no negatives of each other."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from index_store.training.encoder.batches import MixedBatches, equal_captions, key_table, shares  # noqa: E402
from index_store.training.encoder.steps import contrastive_loss  # noqa: E402


@pytest.mark.parametrize(
    ("weights", "batch", "counts"),
    [([1], 7, [7]), ([2, 2, 1], 256, [102, 103, 51]), ([1000, 1], 10, [9, 1]), ([1, 1, 1], 4, [2, 1, 1])],
)
def test_a_batch_is_shared_by_weight(weights, batch, counts):
    assert sorted(shares(weights, batch)) == sorted(counts)
    assert sum(shares(weights, batch)) == batch


def test_each_batch_has_as_many_of_a_set_whatever_its_size():
    batches = MixedBatches([1000, 10], [1, 1], 8, torch.Generator().manual_seed(0))
    drawn = [batches.draw() for _ in range(5)]
    assert [int((rows >= 1000).sum()) for rows in drawn] == [4] * 5
    small = torch.cat(drawn)[torch.cat(drawn) >= 1000]
    assert sorted(small[:10].tolist()) == list(range(1000, 1010))  # each once before any comes again


def test_batches_go_on_where_others_were():
    generator = torch.Generator().manual_seed(3)
    batches = MixedBatches([11, 5], [2, 1], 4, generator)
    batches.draw()
    state, random_state = batches.state(), generator.get_state()
    wanted = [batches.draw() for _ in range(9)]
    generator.set_state(random_state)
    others = MixedBatches([11, 5], [2, 1], 4, generator)
    others.restore(state)
    assert all(torch.equal(others.draw(), rows) for rows in wanted)


def test_photos_that_say_the_same_are_marked_but_not_the_own_one():
    table = key_table([0, 1, 0, 2], torch.tensor([0, 2, 3, 4]))  # photo 0: keys 0 and 1; photo 1: 0; photo 2: 2
    assert table.tolist() == [[0, 1], [0, -1], [2, -1]]
    same = equal_captions(torch.tensor([1, 0, 2]), table, torch.tensor([0, 1, 2]))
    assert same.tolist() == [[False, False, False], [True, False, False], [False, False, False]]


def test_a_pair_that_is_ignored_is_as_if_it_were_not_there():
    torch.manual_seed(0)
    photos, texts = (torch.nn.functional.normalize(torch.randn(3, 5), dim=1) for _ in range(2))
    owner, scale = torch.arange(3), torch.tensor(4.0)
    ignored = torch.zeros(3, 3, dtype=torch.bool)
    ignored[0, 2] = True
    found = contrastive_loss(photos, texts, owner, scale, 0.0, ignored)
    logits = scale * texts @ photos.T
    rows = [logits[0, :2], logits[1], logits[2]]
    columns = [logits[:, 0], logits[:, 1], logits[1:, 2]]
    by_hand = sum(torch.logsumexp(row, 0) - logits[place, place] for place, row in enumerate(rows)) / 3
    by_hand += sum(torch.logsumexp(column, 0) - logits[place, place] for place, column in enumerate(columns)) / 3
    assert float(found) == pytest.approx(float(by_hand), abs=1e-5)


def test_smoothing_spreads_over_what_is_there_alone_and_gradients_are_finite():
    photos, texts = torch.eye(3), torch.eye(3).requires_grad_()
    ignored = torch.zeros(3, 3, dtype=torch.bool)
    ignored[0, 1] = ignored[1, 0] = True
    loss = contrastive_loss(photos, texts, torch.arange(3), torch.tensor(2.0), 0.1, ignored)
    loss.backward()
    first = -(
        0.95 * torch.log_softmax(torch.tensor([2.0, 0.0]), 0)[0]
        + 0.05 * torch.log_softmax(torch.tensor([2.0, 0.0]), 0)[1]
    )
    third = torch.log_softmax(torch.tensor([2.0, 0.0, 0.0]), 0)
    third = -((0.9 + 0.1 / 3) * third[0] + 2 * 0.1 / 3 * third[1])
    assert float(loss.detach()) == pytest.approx(2 * float(2 * first + third) / 3, abs=1e-5)
    assert torch.isfinite(texts.grad).all()

from __future__ import annotations

import numpy as np
import torch

from index_store.training.reranker.neural_regressor import DROPOUT, HIDDEN_UNITS, LEARNING_RATE, fit_hidden_layer

CHANCE = np.random.default_rng(0)
FEATURES = CHANCE.normal(size=(300, 3)).astype(np.float32)
RELEVANCE = 1 / (1 + np.exp(-2 * FEATURES[:, 0]))


def test_the_network_is_the_notebooks():
    assert (DROPOUT, LEARNING_RATE) == (0.4, 0.001)
    network = fit_hidden_layer(FEATURES, RELEVANCE, np.ones(300), seed=0, epochs=1)
    assert network.network[0].weight.shape == (HIDDEN_UNITS, 3)


def test_it_learns_and_repeats_itself_without_touching_torchs_own_chance():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second = (fit_hidden_layer(FEATURES, RELEVANCE, np.ones(300), seed=3, epochs=40) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(first.predict(FEATURES), second.predict(FEATURES))
    assert np.mean((first.predict(FEATURES) - RELEVANCE) ** 2) < 0.3 * RELEVANCE.var()


def test_pairs_without_weight_teach_nothing():
    weight = np.where(np.arange(300) < 150, 1.0, 0.0)
    wrong = np.where(weight > 0, RELEVANCE, 1 - RELEVANCE)
    network = fit_hidden_layer(FEATURES, wrong, weight, seed=0, epochs=40)
    assert np.corrcoef(network.predict(FEATURES), RELEVANCE)[0, 1] > 0.8

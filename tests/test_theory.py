"""The theorem's term: equal to autograd's and a loop's, near its formula over seeds, and turned by its controls."""

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from relusparsity import theory
from relusparsity.errors import UserError
from relusparsity.theory import TwoLayers

TINY = TwoLayers(units=7, classes=5, inputs=3, samples=6, std=0.8, mean=0.3)
ARMS = {
    "cross-entropy": TINY,
    "own labels": replace(TINY, labels="own"),
    "squared": replace(TINY, loss="squared", target_mean=2.0),
}
SMALL = TwoLayers(units=512, samples=1024)
SEEDS = range(24)


@pytest.mark.parametrize("network", ARMS.values(), ids=ARMS)
def test_gradients_equal_those_of_autograd(network: TwoLayers) -> None:
    drawn = theory.draw(network, 3)
    p = drawn.p.clone().requires_grad_()
    f = p.relu() @ drawn.v.T
    if network.loss == "squared":
        loss = F.mse_loss(f, drawn.targets, reduction="sum") / 2
    else:
        loss = F.cross_entropy(f, drawn.targets.argmax(1), reduction="sum")
    (theirs,) = torch.autograd.grad(loss, p)
    ours = theory.gradient(network, drawn)
    assert theirs.abs().max() > 0.1 and (theirs == 0).any()
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("network", ARMS.values(), ids=ARMS)
def test_what_is_measured_equals_a_loop(network: TwoLayers) -> None:
    found, pull = [], theory.measure(network, [3, 9])
    for seed in (3, 9):
        drawn = theory.draw(network, seed)
        p, v, targets = (part.tolist() for part in (drawn.p, drawn.v, drawn.targets))
        gradients, theorem = [], []
        for row, target in zip(p, targets, strict=True):
            a = [max(each, 0.0) for each in row]
            f = [sum(w * each for w, each in zip(weights, a, strict=True)) for weights in v]
            share = [math.exp(each) / sum(map(math.exp, f)) for each in f]
            for unit in range(7):
                if row[unit] > 0:
                    guess = f if network.loss == "squared" else share
                    gradients.append(sum((guess[k] - target[k]) * v[k][unit] for k in range(5)))
                    own = a[unit] * 0.8**2
                    other = 0.3 * (0.3 * sum(a) - 2.0)
                    theorem.append(5 * (own + other) if network.loss == "squared" else own * (1 - 1 / 5))
        found.append((np.mean(gradients), np.mean(theorem), np.std(gradients)))
    np.testing.assert_allclose(np.transpose(found), pull, rtol=1e-12)


def test_labels_are_what_they_are_said_to_be() -> None:
    own = theory.draw(ARMS["own labels"], 1)
    p, v, targets = own.p, own.v, own.targets
    assert targets.argmax(1).tolist() == [int(np.argmax(v.numpy() @ np.maximum(row, 0))) for row in p.numpy()]
    drawn = theory.draw(replace(SMALL, samples=20_000, units=4), 1)
    assert torch.equal(drawn.targets.sum(1), torch.ones(20_000, dtype=torch.float64))
    counts = drawn.targets.sum(0)
    assert float(((counts - 200) ** 2 / 200).sum()) < 149  # χ² of 99 degrees: once in a thousand
    squared = theory.draw(replace(SMALL, loss="squared", target_mean=10.0, mean=0.05), 1)
    assert float(squared.targets.mean()) == pytest.approx(10, abs=0.02)
    assert float(squared.targets.std()) == pytest.approx(1, rel=0.02)
    assert float(squared.v.mean()) == pytest.approx(0.05, abs=5e-4)
    assert float(squared.v.std()) == pytest.approx(0.02, rel=0.02)
    assert float(squared.p.std()) == pytest.approx(1, rel=0.05)


def z(pull: theory.Pull, of: np.ndarray | None = None) -> float:
    """How many standard errors the mean over seeds is from 0."""
    each = pull.mean if of is None else of
    return float(each.mean() / (each.std(ddof=1) / len(each) ** 0.5))


@pytest.mark.parametrize("loss", ["cross_entropy", "squared"])
def test_the_mean_over_seeds_is_that_of_the_theorem(loss: Any) -> None:
    pull = theory.measure(replace(SMALL, loss=loss), SEEDS)
    assert pull.mean.mean() == pytest.approx(pull.theorem.mean(), rel=0.1) and z(pull) > 15
    assert abs(z(pull, pull.mean - pull.theorem)) < 3.5


def test_a_mean_that_v_shares_is_not_seen_by_cross_entropy() -> None:
    plain, shifted = (theory.measure(replace(SMALL, mean=mean), SEEDS[:3]) for mean in (0.0, 0.5))
    np.testing.assert_allclose(shifted.mean, plain.mean, rtol=1e-6)
    squared = theory.measure(replace(SMALL, mean=0.5, loss="squared"), SEEDS[:3])
    assert (squared.mean > 100 * plain.mean).all()


def test_the_networks_own_guess_as_label_turns_the_sign() -> None:
    own = theory.measure(replace(SMALL, labels="own"), SEEDS)
    assert (own.mean < 0).all() and z(own) < -30


def test_squared_error_turns_its_sign_with_the_means_of_v_and_of_the_targets_together() -> None:
    both = replace(SMALL, loss="squared", mean=0.05, target_mean=20.0)
    turned = theory.measure(both, SEEDS)
    assert (turned.mean < 0).all() and turned.mean.mean() == pytest.approx(turned.theorem.mean(), rel=0.1)
    alone = theory.measure(replace(both, target_mean=0.0), SEEDS)
    assert (alone.mean > 0).all()


def test_a_sure_network_is_asked_less_than_to_first_order() -> None:
    """By Stein's lemma the mean is a · Var(V) · (1 − Σ softmax²), whatever the scale of V."""
    network = replace(SMALL, std=0.15)
    pull, exact = theory.measure(network, SEEDS), []
    for seed in SEEDS:
        drawn = theory.draw(network, seed)
        p, v = drawn.p, drawn.v
        sure = (p.relu() @ v.T).softmax(1).square().sum(1, keepdim=True)
        exact.append(float((p.relu() * 0.15**2 * (1 - sure))[p > 0].mean()))
    assert pull.mean.mean() < 0.85 * pull.theorem.mean()
    assert pull.mean.mean() == pytest.approx(np.mean(exact), rel=0.06)


def test_the_seed_alone_decides() -> None:
    torch.manual_seed(1)
    first = theory.measure(TINY, [4, 5])
    torch.manual_seed(2)
    assert np.array_equal(theory.measure(TINY, [4, 5]), first) and first.mean[0] != first.mean[1]
    assert [len(part) for part in theory.measure(TINY, [])] == [0, 0, 0]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"target_mean": 1.0}, "TwoLayers.target_mean = 1.0 is not read by loss = cross_entropy; leave it out."),
    ({"loss": "squared", "labels": "own"}, "TwoLayers.labels = 'own' is not read by loss = squared; leave it out."),
    ({"classes": 1}, "TwoLayers.classes = 1: expected 2 or more"),
    ({"std": 0.0}, "TwoLayers.std = 0.0: expected a number from 1e-06"),
    ({"mean": math.nan}, "TwoLayers.mean = nan: expected a finite number"),
]


@pytest.mark.parametrize(("fields", "says"), REFUSED)
def test_a_network_that_is_none_is_refused_in_a_sentence(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)) as refused:
        TwoLayers(**fields)
    assert "\n" not in str(refused.value)


def test_where_nothing_fires_there_is_no_mean() -> None:
    silent = next(seed for seed in range(99) if not (theory.draw(TwoLayers(units=1, samples=1), seed).p > 0).any())
    with pytest.raises(UserError, match=f"no unit of seed {silent} fires at any of 1 samples; give more of either"):
        theory.measure(TwoLayers(units=1, samples=1), [silent])

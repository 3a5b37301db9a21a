"""Calibration against torchmetrics and loops, and what must hold of any classifier."""

from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassCalibrationError

from relusparsity.classifiers import calibration
from relusparsity.classifiers.calibration import Predictions
from relusparsity.errors import UserError


def drawn(seed: int = 0, examples: int = 997, classes: int = 10, scale: float = 2.0) -> Predictions:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, examples)
    logits = scale * rng.normal(size=(examples, classes))
    logits[np.arange(examples), labels] += 1.5
    return Predictions(logits, labels)


@pytest.mark.parametrize("bins", [1, 5, 15])
@pytest.mark.parametrize("seed", range(3))
def test_the_error_is_that_of_torchmetrics(seed: int, bins: int) -> None:
    of = drawn(seed)
    theirs = MulticlassCalibrationError(num_classes=10, n_bins=bins, norm="l1")
    expected = theirs(torch.from_numpy(np.exp(of.log_probabilities)), torch.from_numpy(of.labels)).item()
    assert calibration.calibration_error(of, bins) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("bins", [1, 7, 15, 997])
def test_adaptive_bins_are_equally_full_and_their_error_that_of_a_loop(bins: int) -> None:
    of = drawn(4)
    order = sorted(range(997), key=lambda example: (of.confidence[example], example))
    expected, sizes = 0.0, []
    for number in range(bins):
        some = [example for place, example in enumerate(order) if place * bins // 997 == number]
        sizes.append(len(some))
        expected += abs(sum(of.correct[example] - of.confidence[example] for example in some)) / 997
    assert calibration.calibration_error(of, bins, adaptive=True) == pytest.approx(expected, abs=1e-12)
    diagram = calibration.reliability(of, bins, adaptive=True)
    assert diagram["examples"].values.tolist() == sizes and max(sizes) - min(sizes) <= 1
    assert (np.diff(diagram["confidence"].values) >= 0).all()


def test_a_bin_has_its_upper_edge_and_an_empty_one_no_mean() -> None:
    of = Predictions(np.log([[0.5, 0.5], [0.5, 0.5], [0.75, 0.25], [0.9, 0.1]]), np.array([0, 1, 0, 1]))
    diagram = calibration.reliability(of, bins=4)
    assert diagram["examples"].values.tolist() == [0, 2, 1, 1], "0.5 and 0.75 are upper edges"
    np.testing.assert_allclose(diagram["accuracy"], [np.nan, 0.5, 1, 0])
    np.testing.assert_allclose(diagram["confidence"], [np.nan, 0.5, 0.75, 0.9])
    assert calibration.calibration_error(of, 4) == pytest.approx((0 + 0.25 + 0.9) / 4)


def test_scores_are_those_of_loops() -> None:
    of = drawn(7, examples=50)
    squares, nats, right = 0.0, 0.0, 0
    for logits, label in zip(of.logits, of.labels, strict=True):
        p = np.exp(logits) / np.exp(logits).sum()
        squares += sum((p[k] - (k == label)) ** 2 for k in range(10))
        nats -= np.log(p[label])
        right += max(range(10), key=lambda k: p[k]) == label
    found = (calibration.brier(of), calibration.cross_entropy(of), calibration.accuracy(of))
    assert found == pytest.approx((squares / 50, nats / 50, right / 50))


def test_the_temperature_that_was_put_in_is_found_and_lowers_the_error() -> None:
    rng = np.random.default_rng(1)
    logits = 2 * rng.normal(size=(20_000, 10))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (p.cumsum(1) > rng.random((20_000, 1))).argmax(1)  # as likely as the model says: calibrated
    for put in (0.5, 1.0, 3.0):
        of = Predictions(logits / put, labels)
        found = calibration.temperature(of)
        assert found == pytest.approx(1 / put, rel=0.03)
        grid = [calibration.cross_entropy(of.at(found * by)) for by in (0.98, 1.0, 1.02)]
        assert grid[1] == min(grid)
    sharp = Predictions(3 * logits, labels)
    assert calibration.calibration_error(sharp.at(calibration.temperature(sharp))) < 0.02
    assert calibration.calibration_error(sharp) > 0.1
    assert (sharp.at(3.0).correct == sharp.correct).all(), "a temperature changes no prediction"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((np.zeros((2, 3)), np.array([0, 3])), "labels such as .*3.*from 0 to 2"),
        ((np.zeros((2, 3)), np.array([-1, 0])), r"labels such as -1 \(int64\): expected whole numbers from 0 to 2"),
        ((np.zeros((2, 3)), np.array([0.0, 1.0])), r"labels such as 1.0 \(float64\): expected whole numbers"),
        ((np.full((1, 3), np.nan), np.array([0])), "not finite"),
        ((np.zeros((2, 3)), np.array([0])), r"logits \(2, 3\) and labels \(1,\)"),
        ((np.zeros((0, 3)), np.zeros(0, int)), "one example at least"),
    ],
)
def test_predictions_that_are_none_are_refused(given: Any, says: str) -> None:
    with pytest.raises(UserError, match=says):
        Predictions(*given)


def test_bins_and_temperatures_that_are_none_are_refused() -> None:
    of = drawn(examples=20)
    for bins, adaptive, says in ((0, False, "bins = 0: expected 1 or more"), (21, True, "expected 1 to 20")):
        with pytest.raises(UserError, match=says):
            calibration.reliability(of, bins, adaptive)
    with pytest.raises(UserError, match="temperature = 0: expected a number above 0"):
        of.at(0)

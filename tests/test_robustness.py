"""Corrupted and attacked pictures: what a strength is, how far a pixel moves, and what it does to a loss."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest, poisson
from torch import Tensor
from torch.nn import functional as F

from relusparsity.classifiers import attacks
from relusparsity.classifiers.corruptions import STRENGTHS, corrupted, uniform
from relusparsity.errors import UserError


def test_uniform_numbers_are_even_and_never_an_end() -> None:
    drawn = uniform(3, 100, 1000)
    assert kstest(drawn.ravel(), "uniform").pvalue > 0.01 and drawn.min() > 0 and drawn.max() < 1
    assert uniform(3, 5).tolist() == drawn.ravel()[:5].tolist() and uniform(4, 5).tolist() != uniform(3, 5).tolist()


@pytest.mark.parametrize("strength", range(1, 6))
def test_noise_has_the_size_of_its_strength(strength: int) -> None:
    grey = np.full((200, 28, 28), 0.5)
    by = {kind: values[strength - 1] for kind, values in STRENGTHS.items()}
    gaussian = (np.random.default_rng(0).normal(0.5, by["gaussian"], 10**6)).clip(0, 1)
    found = corrupted(grey, "gaussian", strength)
    assert found.std() == pytest.approx(gaussian.std(), rel=0.01) and found.dtype == np.float32
    shot = corrupted(grey, "shot", strength).astype(float) * by["shot"]
    np.testing.assert_allclose(shot, shot.round(), atol=1e-5)  # photons are whole
    expected = np.random.default_rng(0).poisson(0.5 * by["shot"], 10**6).clip(max=by["shot"])
    assert (shot.mean(), shot.std()) == pytest.approx((expected.mean(), expected.std()), rel=0.01)
    impulse = corrupted(grey, "impulse", strength)
    assert [(impulse == end).mean() for end in (0, 1)] == pytest.approx([by["impulse"] / 2] * 2, rel=0.05)
    assert ((impulse == 0.5) | (impulse == 0) | (impulse == 1)).all()


@pytest.mark.parametrize("strength", [1, 5])
def test_photons_are_those_of_scipys_inverse(strength: int) -> None:
    by = STRENGTHS["shot"][strength - 1]
    pictures = np.random.default_rng(2).integers(0, 256, (20, 14, 14)) / 255
    expected = poisson.ppf(uniform(7, *pictures.shape), pictures * by) / by
    np.testing.assert_array_equal(corrupted(pictures, "shot", strength, 7), expected.clip(0, 1).astype(np.float32))


def test_black_stays_black_under_shot_noise_and_a_seed_is_a_picture() -> None:
    black = np.zeros((2, 4, 4))
    assert not corrupted(black, "shot", 5).any()
    one, other = (corrupted(black, "gaussian", 3, seed) for seed in (0, 1))
    assert (one == corrupted(black, "gaussian", 3, 0)).all() and (one != other).any()


def linear(pictures: Tensor, weight: Tensor) -> Tensor:
    """The cross-entropy of each picture, of a classifier whose scores are ± weight · picture, against class 0."""
    score = (pictures.flatten(1) * weight.flatten()).sum(1)
    return F.cross_entropy(
        torch.stack((score, -score), 1), torch.zeros(len(pictures), dtype=torch.long), reduction="none"
    )


def test_of_a_linear_classifier_both_attacks_find_the_corner() -> None:
    torch.manual_seed(0)
    pictures, weight = 0.2 + 0.6 * torch.rand(8, 5, 5), torch.randn(5, 5).requires_grad_()
    corner = (pictures - 0.1 * weight.detach().sign()).clamp(0, 1)

    def loss(given: Tensor) -> Tensor:
        return linear(given, weight)

    torch.testing.assert_close(attacks.fgsm(loss, pictures, 0.1), corner)
    torch.testing.assert_close(attacks.pgd(loss, pictures, 0.1), corner)
    assert weight.grad is None and not pictures.requires_grad
    assert not attacks.pgd(loss, pictures, 0.1).requires_grad
    torch.testing.assert_close(attacks.pgd(loss, pictures, 0.0), pictures)


def test_more_steps_find_a_worse_picture_and_never_leave_the_box() -> None:
    torch.manual_seed(1)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(25, 64), torch.nn.ReLU(), torch.nn.Linear(64, 4))
    pictures, labels = torch.rand(256, 5, 5), torch.arange(256) % 4

    def loss(given: Tensor) -> Tensor:
        return F.cross_entropy(net(given), labels, reduction="none")

    reached = []
    for moved in (pictures, attacks.fgsm(loss, pictures, 0.3), attacks.pgd(loss, pictures, 0.3)):
        assert (moved - pictures).abs().max() <= 0.3 + 1e-6 and moved.min() >= 0 and moved.max() <= 1
        reached.append(loss(moved).mean().item())
    assert reached[0] < reached[1] < reached[2]
    assert (attacks.pgd(loss, pictures, 0.3, seed=1) != attacks.pgd(loss, pictures, 0.3, seed=2)).any()


def test_what_makes_no_sense_is_refused() -> None:
    grey = np.full((1, 2, 2), 0.5)
    for given, says in (
        ((grey, "fog", 1), "kind = 'fog': expected one of gaussian, shot, impulse"),
        ((grey, "shot", 6), "strength = 6: expected a whole number from 1 to 5"),
        ((255 * grey, "shot", 1), "outside 0 to 1"),
        ((np.full((1, 2, 2), np.nan), "shot", 1), "outside 0 to 1"),
    ):
        with pytest.raises(UserError, match=says):
            corrupted(*given)
    for epsilon in (-0.1, 1.5, float("nan")):
        with pytest.raises(UserError, match=r"ε = .*expected the largest change of a pixel, from 0 to 1"):
            attacks.fgsm(lambda pictures: pictures.sum((1, 2)), torch.rand(1, 2, 2), epsilon)
    for misread in (
        torch.full((1, 2, 2), -0.5),
        torch.full((1, 2, 2), torch.nan),
        torch.ones(1, 2, 2, dtype=torch.uint8),
    ):
        for attack in (attacks.fgsm, attacks.pgd):
            with pytest.raises(UserError, match=r"have values that are no real numbers from 0 to 1; divide"):
                attack(lambda pictures: pictures.sum((1, 2)), misread, 0.1)
    with pytest.raises(UserError, match="steps = 0: expected 1 or more"):
        attacks.pgd(lambda pictures: pictures.sum((1, 2)), torch.rand(1, 2, 2), 0.1, steps=0)

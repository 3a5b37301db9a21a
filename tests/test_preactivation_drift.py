"""Whole runs of two layers: against PyTorch's optimisers, a loop in NumPy, and each way the forecasts come out."""

import math
import re
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn
from torch.nn import functional as F

import pictures_made
from pictures_made import own_runs  # noqa: F401 - a fixture
from relusparsity import theory
from relusparsity.errors import UserError
from relusparsity.experiments import preactivation_drift, two_layer_runs
from relusparsity.experiments.preactivation_drift import (
    ANEW,
    ARMS,
    CHANCES,
    COMMON,
    DIGITS,
    EXPECTED,
    OPTIMIZERS,
    OWN,
    OWN_ANEW,
    OWN_FROZEN,
    RANDOM,
    SHIFTED,
    SQUARED,
)
from relusparsity.experiments.two_layer_runs import MEASURED, RATES, Arm, train
from relusparsity.store import results
from relusparsity.theory import TwoLayers

SIZE: dict[str, Any] = {"classes": 10, "units": 7, "samples": 11, "std": 0.4, "inputs": 64}
STEPS = [0, 1, 2, 6]
RUNS: dict[str, tuple[TwoLayers, Arm]] = {
    "random": (TwoLayers(**SIZE), Arm()),
    "own": (TwoLayers(**SIZE, labels="own"), Arm()),
    "own, anew": (TwoLayers(**{**SIZE, "std": 0.02}, labels="own"), Arm(anew=True)),
    "frozen": (TwoLayers(**SIZE, mean=0.3), Arm(frozen=True)),
    "squared": (TwoLayers(**SIZE, loss="squared", mean=0.3, target_mean=2.0), Arm()),
}
NAMES = list(MEASURED)


def found(name: str, optimizer: str, seed: int = 3) -> dict[str, np.ndarray]:
    """What a run of one seed among two tells, by step."""
    network, arm = RUNS[name]
    return dict(zip(NAMES, train(network, arm, optimizer, (8, seed), STEPS)[:, 1], strict=True))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_that_of_pytorch(name: str, optimizer: str) -> None:
    (network, arm), told = RUNS[name], found(name, optimizer)
    drawn = theory.draw(network, 3)
    first, last = nn.Linear(64, 7).double(), nn.Linear(7, 10, bias=False).double()
    first.weight.data, last.weight.data = drawn.w.clone(), drawn.v.clone()
    first.bias.data.zero_()
    trained = [*first.parameters(), *(() if arm.frozen else last.parameters())]
    rate = RATES[optimizer, network.loss]
    steps = torch.optim.SGD(trained, rate) if optimizer == "SGD" else torch.optim.Adam(trained, rate)
    begun, labels, changed = drawn.x @ drawn.w.T, drawn.targets, 0
    for step in range(STEPS[-1] + 1):
        p = first(drawn.x)
        p.retain_grad()
        f = last(p.relu())
        if arm.anew:
            labels = F.one_hot(f.argmax(1), 10).double()
            changed += int((labels != drawn.targets).any())
        if network.loss == "squared":
            loss = (f - labels).square().sum(1).mean() / 2
        else:
            loss = F.cross_entropy(f, labels.argmax(1))
        steps.zero_grad()
        loss.backward()
        if step in STEPS:
            at = STEPS.index(step)
            assert p.grad is not None
            assert told["positive"][at] == pytest.approx(float((p > 0).double().mean()), abs=1e-6)
            assert told["loss"][at] == pytest.approx(float(loss.detach()), rel=1e-4)
            assert told["gradient"][at] == pytest.approx(11 * float(p.grad[p > 0].mean()), rel=1e-3, abs=1e-6)
            assert told["moved"][at] == pytest.approx(float((p.detach() - begun).mean()), rel=1e-3, abs=1e-6)
            assert told["moved_by_bias"][at] == pytest.approx(float(first.bias.detach().mean()), rel=1e-3, abs=1e-6)
            by_weights = float((drawn.x @ (first.weight.detach() - drawn.w).T).mean())
            assert told["moved_by_weights"][at] == pytest.approx(by_weights, rel=1e-3, abs=1e-6)
        steps.step()
    assert abs(told["moved"][-1]) > 1e-4
    assert changed > 1 or (name, optimizer) != ("own, anew", "SGD"), "the network's guesses have changed"
    np.testing.assert_allclose(told["moved"], told["moved_by_bias"] + told["moved_by_weights"], atol=1e-6)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", ["random", "squared"])
def test_the_theorems_part_is_that_of_a_loop_in_numpy(name: str, optimizer: str) -> None:
    (network, _), told = RUNS[name], found(name, optimizer)
    drawn = theory.draw(network, 3)
    x, w, v, targets = (each.numpy() for each in (drawn.x, drawn.w, drawn.v, drawn.targets))
    x, w = np.hstack((x, np.ones((11, 1)))), np.hstack((w, np.zeros((7, 1))))
    rate = RATES[optimizer, network.loss]
    sums = {of: [0.0, 0.0] for of in ("w", "theirs", "v")}
    moved = 0.0
    for step in range(STEPS[-1] + 1):
        p = x @ w.T
        a = np.maximum(p, 0)
        f = a @ v.T
        if name == "squared":
            error, pairs = f - targets, [(k, i) for k in range(10) for i in range(7)]
            mean = sum(v[pair] for pair in pairs) / 70
            variance = sum((v[pair] - mean) ** 2 for pair in pairs) / 69
            by_theorem = 10 * (a * variance + mean * (mean * a.sum(1, keepdims=True) - 2.0)) * (p > 0)
        else:
            error = np.exp(f) / np.exp(f).sum(1, keepdims=True) - targets
            by_theorem = a * np.mean([np.var(v[:, unit], ddof=1) for unit in range(7)]) * (1 - 1 / 10)
        if step in STEPS:
            at = STEPS.index(step)
            assert told["theorem"][at] == pytest.approx(by_theorem[p > 0].mean(), rel=1e-3)
            assert told["theorem_moved"][at] == pytest.approx(moved, rel=5e-3, abs=1e-7)
        gradients = {"w": ((error @ v) * (p > 0)).T @ x / 11, "theirs": by_theorem.T @ x / 11, "v": error.T @ a / 11}
        steps = {}
        for of, each in gradients.items():
            if optimizer == "SGD":
                steps[of] = -rate * each
                continue
            first, second = sums[of]
            sums[of] = [0.9 * first + 0.1 * each, 0.999 * second + 0.001 * each**2]
            below = np.sqrt(sums["w" if of == "theirs" else of][1] / (1 - 0.999 ** (step + 1))) + 1e-8
            steps[of] = -rate * sums[of][0] / (1 - 0.9 ** (step + 1)) / below
        moved += float((x @ steps["theirs"].T).mean())
        w, v = w + steps["w"], v + steps["v"]
    assert abs(moved) > 1e-4


def test_a_mean_that_v_shares_changes_no_run() -> None:
    size = {**SIZE, "units": 32, "samples": 64, "std": 0.02}
    plain, shifted = (train(TwoLayers(**size, mean=mean), Arm(), "SGD", (0, 1), [0, 20]) for mean in (0.0, 0.05))
    np.testing.assert_allclose(shifted, plain, rtol=2e-3, atol=2e-5)


def test_labels_that_are_drawn_anew_cannot_be_learned() -> None:
    size = {**SIZE, "units": 32, "samples": 64, "std": 0.02}
    losses = [train(TwoLayers(**size), Arm(anew=anew), "Adam", (0, 1, 2), [0, 150])[1] for anew in (False, True)]
    assert (losses[0][:, 1] < 0.5 * math.log(10)).all() and (losses[1][:, 1] > 0.98 * math.log(10)).all()
    draws = [torch.Generator().manual_seed(-1), torch.Generator().manual_seed(-2)]
    network = TwoLayers(**{**SIZE, "samples": 5000})
    one, other = (two_layer_runs._labels(network, draws) for _ in range(2))
    assert one.shape == (2, 5000, 10) and torch.equal(one.sum(2), torch.ones(2, 5000))
    for a, b in ((one[0], one[1]), (one[0], other[0])):
        assert float((a * b).sum()) == pytest.approx(500, abs=90), "independent"
    assert float(((one.sum(1) - 500) ** 2 / 500).sum(1).max()) < 33  # χ² of 9 degrees: once in 8,000


def test_digits_are_mean_pixels_with_the_labels_that_an_arm_asks_for(own_runs: Any) -> None:  # noqa: F811
    pictures_made.digits()
    network = TwoLayers(**{**SIZE, "samples": 40})
    real, shuffled = (two_layer_runs.start(network, Arm(digits=True, shuffled=each), 2) for each in (False, True))
    own = two_layer_runs.start(TwoLayers(**{**SIZE, "samples": 40}, labels="own"), Arm(digits=True), 2)
    assert real.x.shape == (40, 65) and torch.equal(real.x, shuffled.x) and torch.equal(real.x[:, 64], torch.ones(40))
    # a picture's bar lies in rows 2 × label + 4 and + 5 behind two of padding, so in squares of four rows
    rows = real.x[:, :64].reshape(40, 8, 8).mean(2)
    bright = [{(2 * label + 6) // 4, (2 * label + 7) // 4} for label in real.targets.argmax(1).tolist()]
    assert all(int(row.argmax()) in some for row, some in zip(rows, bright, strict=True))
    assert -1 <= float(real.x.min()) < -0.9
    assert 0 < int((real.targets.argmax(1) == shuffled.targets.argmax(1)).sum()) < 15
    f = np.maximum(own.x.numpy() @ own.w.numpy().T, 0) @ own.v.numpy().T
    assert own.targets.argmax(1).tolist() == f.argmax(1).tolist()


@pytest.fixture
def measured(own_runs: Any) -> xr.Dataset:  # noqa: F811
    pictures_made.digits()
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        made = preactivation_drift.measure((0, 5), steps=12, units=8, samples=16)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    return made


def test_a_dataset_has_every_arm_and_step(measured: xr.Dataset, tmp_path: Any) -> None:
    results.save(measured, tmp_path / "drift.nc")
    xr.testing.assert_identical(results.load(tmp_path / "drift.nc"), measured)
    assert measured["step"].values.tolist() == [*range(11), 12] and set(ARMS) == set(EXPECTED)
    assert {arm: like for arm, (like, _) in ARMS.items() if like not in (RANDOM, OWN)} == {
        each: each for each in (COMMON, SQUARED, SHIFTED)
    }
    network = TwoLayers(classes=10, units=8, samples=16, inputs=64, labels="own")
    for optimizer in OPTIMIZERS:
        alone = train(network, Arm(frozen=True), optimizer, (0, 5), [0, 12])
        of = measured.sel(arm=OWN_FROZEN, optimizer=optimizer, step=[0, 12])
        np.testing.assert_allclose(np.stack([of[name].values for name in NAMES]), alone, rtol=1e-5, atol=1e-9)
    table = preactivation_drift.ends(measured)
    last = measured.sel(arm=DIGITS, optimizer="Adam").isel(step=-1).mean("seed")
    row = table.loc[(DIGITS, "Adam")]
    assert row["end"] == pytest.approx(100 * float(last["positive"])) and len(table) == 24
    assert row["by weights"] + row["by bias"] == pytest.approx(row["moved"], rel=1e-3)


def made(points: dict[str, Any] | None = None, **values: Any) -> xr.Dataset:
    """Twenty seeds in which the share moves by so many points: as foreseen, or as given; other numbers likewise."""
    size = (len(ARMS), 2, 20, 3)
    data = {name: np.zeros(size) for name in NAMES}
    data["positive"] += 0.5
    for at, intervals in enumerate(EXPECTED.values()):
        data["positive"][at, :, :, -1] += np.array([sum(each) / 200 for each in intervals])[:, None]
    dataset = xr.Dataset(
        {name: (("arm", "optimizer", "seed", "step"), each) for name, each in data.items()},
        {"arm": list(ARMS), "optimizer": list(OPTIMIZERS), "seed": range(20), "step": [0, 10, 300]},
    )
    for arm, by in (points or {}).items():
        dataset["positive"].loc[{"arm": arm, "step": 300}] = 0.5 + np.broadcast_to(by, (2, 20)) / 100
    for name, (arm, step, value) in values.items():
        dataset[name].loc[{"arm": arm, "step": step}] = np.broadcast_to(np.reshape(value, (-1, 1)), (2, 20))
    return dataset


def test_forecasts_are_of_the_mean_of_the_seeds() -> None:
    assert preactivation_drift.predicted(made())["holds"].all()
    low, high = EXPECTED[OWN][0]
    around = np.linspace(-9, 9, 20)
    holds = [
        preactivation_drift.predicted(made({OWN: end + around}))["holds"].loc[2 * list(ARMS).index(OWN)]
        for end in (low - 0.01, low + 0.01, high - 0.01, high + 0.01)
    ]
    assert holds == [False, True, True, False]


UP, DOWN = np.ones((2, 20)), -np.ones((2, 20))
MOST, FEW = np.where(np.arange(20) < 18, 1.0, -1.0), np.where(np.arange(20) < 17, 1.0, -1.0)


@pytest.mark.parametrize(
    ("at", "given", "holds"),
    [
        (0, made({RANDOM: DOWN}), True),
        (0, made({RANDOM: np.stack((-MOST, DOWN[0]))}), True),
        (0, made({RANDOM: np.stack((-FEW, DOWN[0]))}), False),
        (1, made({ANEW: [[-1.0], [1.0]]}), False),
        (2, made({OWN: np.stack((UP[0], FEW))}), False),
        (3, made({OWN_ANEW: MOST}), True),
        (4, made({OWN_FROZEN: DOWN}), False),
        (5, made({SQUARED: DOWN}), True),
        (6, made({SHIFTED: DOWN}), False),
        (7, made({DIGITS: DOWN}), True),
        (8, made(gradient=(RANDOM, 10, [-1.0, -2.0])), True),
        (8, made(gradient=(RANDOM, 10, [-1.0, 2.0])), False),
        (9, made(moved=(RANDOM, 300, 1.0), theorem_moved=(RANDOM, 300, -2.0)), True),
        (9, made(moved=(RANDOM, 300, -1.0), theorem_moved=(RANDOM, 300, 2.0)), False),
        (9, made(moved=(RANDOM, 300, 1.0), theorem_moved=(RANDOM, 300, [-2.0, 2.0])), False),
        (10, made(moved=(ANEW, 300, -1.0), theorem_moved=(ANEW, 300, [-1.4, -0.6])), True),
        (10, made(moved=(ANEW, 300, -1.0), theorem_moved=(ANEW, 300, [-1.6, -1.0])), False),
    ],
)
def test_sentences_come_out_each_way(at: int, given: xr.Dataset, holds: bool) -> None:
    with np.errstate(all="ignore"):
        said = preactivation_drift.sentences(given)
    assert said["holds"].tolist()[at] is holds and said["written before"].tolist() == list(CHANCES)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"seeds": [1]}, "seeds = (1,): expected 2 whole numbers of 0 or more at the least, each once."),
        ({"steps": 9}, "steps = 9: expected a whole number from 10."),
        ({"steps": 20.0}, "steps = 20.0: expected a whole number from 10."),
        ({"classes": 5}, "classes = 5: expected the 10 of the digits, which some arms train on."),
        ({"samples": 0}, "TwoLayers.samples = 0: expected a number above 0"),
        ({"std": 1e5, "units": 8, "samples": 8}, "diverges with SGD at a learning rate of 0.1; give a smaller std."),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(given: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)) as refused:
        preactivation_drift.measure(**({"seeds": (0, 1)} | given))
    assert "\n" not in str(refused.value)


def test_without_digits_their_arms_say_what_fetches_them(own_runs: Any) -> None:  # noqa: F811
    with pytest.raises(UserError, match="digits"):
        two_layer_runs.start(TwoLayers(**SIZE), Arm(digits=True), 0)

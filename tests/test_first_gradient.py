"""The first step's gradients: arms against NumPy loops, signs over seeds, and each way row 24 comes out."""

import math
import re
from typing import Any

import numpy as np
import pytest
import xarray as xr

from relusparsity import claims, theory
from relusparsity.claims import Verdict
from relusparsity.errors import UserError
from relusparsity.experiments import first_gradient
from relusparsity.experiments.first_gradient import COMMON, HOLDS, OWN, RANDOM, SHIFTED, SQUARED, SQUARED_COMMON
from relusparsity.store import results
from relusparsity.theory import TwoLayers

SIZE: dict[str, Any] = {"classes": 4, "units": 6, "samples": 5, "std": 0.5}
TWICE = 2 * 0.05 * 6 * (2 * math.pi) ** -0.5
SHOWN = {
    RANDOM: TwoLayers(**SIZE),
    OWN: TwoLayers(**SIZE, labels="own"),
    COMMON: TwoLayers(**SIZE, mean=0.05),
    SQUARED: TwoLayers(**SIZE, loss="squared"),
    SQUARED_COMMON: TwoLayers(**SIZE, loss="squared", mean=0.05),
    SHIFTED: TwoLayers(**SIZE, loss="squared", mean=0.05, target_mean=TWICE),
}


@pytest.fixture(scope="module")
def small() -> xr.Dataset:
    """Of the sizes of a reader's own try."""
    return first_gradient.measure(range(20), classes=20, units=256, samples=256)


def test_every_arm_is_what_it_is_called_and_equals_a_softmax_by_hand() -> None:
    found = first_gradient.measure((0, 3), **SIZE)
    assert found["arm"].values.tolist() == list(SHOWN) and found["seed"].values.tolist() == [0, 3]
    for arm, network in SHOWN.items():
        for seed in (0, 3):
            p, v, targets = (getattr(theory.draw(network, seed), name).numpy() for name in ("p", "v", "targets"))
            f = np.maximum(p, 0) @ v.T
            guess = f if arm.startswith("squared") else np.exp(f) / np.exp(f).sum(1, keepdims=True)
            if arm == OWN:
                targets = np.eye(4)[f.argmax(1)]
            of = [sum((guess[s, k] - targets[s, k]) * v[k, i] for k in range(4)) for s, i in np.argwhere(p > 0)]
            values = found.sel(arm=arm, seed=seed)
            assert float(values["gradient"]) == pytest.approx(np.mean(of), rel=1e-5)
            assert float(values["spread"]) == pytest.approx(np.std(of), rel=1e-5)
            assert float(values["theorem"]) == pytest.approx(
                float(theory.measure(network, [seed]).theorem[0]), rel=1e-5
            )


def test_every_arm_has_the_sign_of_the_theorem_and_a_shared_mean_changes_nothing(small: xr.Dataset) -> None:
    table = first_gradient.table(small)
    assert {arm: np.sign(row["high" if HOLDS[arm] < 0 else "low"]) for arm, row in table.iterrows()} == HOLDS
    np.testing.assert_allclose(small["gradient"].sel(arm=COMMON), small["gradient"].sel(arm=RANDOM), rtol=1e-4)
    for arm in (RANDOM, SQUARED, SQUARED_COMMON, SHIFTED):
        assert table.loc[arm, "of the theorem"] == pytest.approx(100, abs=15)
    assert table.loc[OWN, "of the theorem"] < 0 and 0 < table.loc[RANDOM, "of one gradient"] < 10


def test_a_table_has_the_means_and_intervals_of_its_seeds() -> None:
    arrays = {"gradient": [1.0, 2.0, -0.5], "theorem": [1.0, 1.5, 0.5], "spread": [10.0, 20.0, 30.0]}
    made = xr.Dataset(
        {name: (("arm", "seed"), [of]) for name, of in arrays.items()}, {"arm": ["one"], "seed": [0, 1, 2]}
    )
    row = first_gradient.table(made).loc["one"]
    half = 4.302653 * np.std(arrays["gradient"], ddof=1) / 3**0.5  # Student's, two degrees
    assert row["low"] == pytest.approx(2.5 / 3 - half) and row["high"] == pytest.approx(2.5 / 3 + half)
    assert row["of the theorem"] == pytest.approx(100 * 2.5 / 3) and row["of one gradient"] == pytest.approx(100 / 24)
    assert row["seeds above 0"] == "2 of 3"


def made(random: float = 1.0, own: float = -3.0, seeds: int = 20) -> xr.Dataset:
    """Gradients of two layers with these means, that of the theorem being 1."""
    around = np.linspace(-0.2, 0.2, seeds)
    gradient = np.array([random + around, own + around])
    same = (("arm", "seed"), np.ones_like(gradient))
    return xr.Dataset(
        {"gradient": (("arm", "seed"), gradient), "theorem": same, "spread": same},
        {"arm": [RANDOM, OWN], "seed": range(seeds)},
    )


def by_layer(*means: float) -> xr.Dataset:
    """A model whose layers have these means; with other labels, and without the norm, all have the other sign."""
    seeds = np.linspace(0.9, 1.1, 5)
    sign = np.array([[1, -1, -1], [-1, -1, -1]])
    values = sign[None, :, None, :, None] * np.array(means) * seeds[None, None, :, None, None]
    dims = ("model", "norm", "seed", "labels", "layer")
    coordinates = {
        "model": ["one"],
        "norm": ["as it is", "without the final norm"],
        "seed": range(5),
        "labels": ["real", "random", "own"],
        "layer": range(len(means)),
    }
    wide = np.resize([100.0, -100.0, 0.0], 5).reshape(1, 1, 5, 1, 1)  # whose interval has 0 inside
    values = np.where(np.abs(values) < 0.01, np.where(values == 0, 0, wide), values)
    return xr.Dataset({"paired": (dims, values)}, coordinates)


@pytest.mark.parametrize(
    ("two", "layers", "holds", "verdict"),
    [
        (made(), (1.0, 2.0), [True, True, True, True], Verdict.REPRODUCED),
        (made(1.09), (1.0, 0.0), [True, True, True], Verdict.REPRODUCED),
        (made(1.11), (1.0, 2.0), [False, True, True, True], Verdict.NOT_REPRODUCED),
        (made(0.89), (1.0, 2.0), [False, True, True, True], Verdict.NOT_REPRODUCED),
        (made(own=0.3), (1.0, 2.0), [True, False, True, True], Verdict.NOT_REPRODUCED),
        (made(own=-0.01), (1.0, 2.0), [True, False, True, True], Verdict.NOT_REPRODUCED),
        (made(), (1.0, -2.0), [True, True, True, False], Verdict.INCONCLUSIVE),
        (made(), (1.0, 1e-9), [True, True, True, None], Verdict.INCONCLUSIVE),
        (made(), (-1.0, -2.0), [True, True, False, False], Verdict.NOT_REPRODUCED),
        (made(), (1e-9, 1e-9), [True, True, None, None], Verdict.INCONCLUSIVE),
        (made(seeds=19), (1.0, 2.0), [None, None, True, True], Verdict.NOT_YET_TESTED),
        (made(), (0.0,), [True, True], Verdict.NOT_TESTABLE),
    ],
)
def test_row_24_comes_out_each_way(
    two: xr.Dataset, layers: tuple[float, ...], holds: list[bool | None], verdict: Verdict
) -> None:
    row = first_gradient.row_24(two, by_layer(*layers))
    assert row["holds"].tolist() == holds and first_gradient.verdict(row) is verdict
    assert row["came"].iloc[0] == pytest.approx(100 * two["gradient"].sel(arm=RANDOM).mean().item())
    about = {"scale": "laptop", "provenance": '{"config": {}}'}
    given = {"first_gradient": two, "first_gradient_by_layer": by_layer(*layers)}
    datasets = {(name, "laptop"): of.assign_attrs(about) for name, of in given.items()}
    rows = tuple(each for each in claims.for_chapter(12) if each.number == "24")
    (outcome,) = claims.evaluate(datasets, rows=rows, rules=first_gradient.RULES)
    assert (outcome.scale, outcome.verdict) == ("any", verdict)
    assert bool(outcome.reason) == (verdict not in (Verdict.REPRODUCED, Verdict.NOT_REPRODUCED))
    alone = claims.evaluate({key: datasets[key] for key in list(datasets)[:1]}, rows=rows, rules=first_gradient.RULES)
    assert alone[0].verdict is Verdict.NOT_YET_TESTED, "it reads both"
    beside = claims.evaluate({}, datasets, rows=rows, rules=first_gradient.RULES)
    assert [(each.verdict, each.here) for each in beside] == [(Verdict.NOT_YET_TESTED, False), (None, True)]


def test_it_is_saved_with_what_it_was_made_with(small: xr.Dataset, tmp_path: Any) -> None:
    results.save(small, tmp_path / "first_gradient.nc")
    back = results.load(tmp_path / "first_gradient.nc")
    xr.testing.assert_identical(back, small)
    assert results.provenance(back)["config"][OWN]["labels"] == "own"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"seeds": [1]}, "seeds = (1,): expected 2 whole numbers of 0 or more at the least, each once."),
        ({"seeds": [1, 1, 2]}, "seeds = (1, 1, 2): expected 2 whole numbers"),
        ({"seeds": [0, -1]}, "seeds = (0, -1): expected 2 whole numbers of 0 or more"),
        ({"seeds": [0, 0.5]}, "seeds = (0, 0.5): expected 2 whole numbers"),
        ({"classes": 1}, "TwoLayers.classes = 1: expected 2 or more"),
        ({"std": -1.0}, "TwoLayers.std = -1.0: expected a number from 1e-06"),
        ({"units": 0}, "TwoLayers.units = 0: expected a number above 0"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(given: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)) as refused:
        first_gradient.measure(**given)
    assert "\n" not in str(refused.value)

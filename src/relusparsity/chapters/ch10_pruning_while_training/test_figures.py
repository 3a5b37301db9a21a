"""Figures of chapter 10 and what they read off arms, on made-up runs whose speeds and widths are known."""

import io
import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from relusparsity.config import RunConfig, to_dict
from relusparsity.errors import UserError
from relusparsity.models import training_flops

from . import bound, figures, stages

STEPS = np.arange(0, 101, 10)
WIDTHS = {"pruned": [1024] * 6 + [512] * 3 + [256] * 2, "narrow": [768] * 11}
"""Units of every layer at each measurement: 512 of them go after step 50, and 256 of the rest after step 80."""
PACE = {1024: 1.0, 512: 0.8, 256: 0.5, 768: 0.9}
"""Seconds of a step, by width."""


def made() -> xr.Dataset:
    """Two seeds of four arms, one of which was not run; pruned begins at step 50, and seed 1 is twice as slow."""
    arms, shape = ["dense", "pruned", "random", "narrow"], (4, 2, 11)
    width, seconds, loss = (np.full(shape, np.nan) for _ in range(3))
    for k, arm in enumerate(arms):
        of = np.array(WIDTHS.get(arm, [1024] * 11), float)
        pace = np.array([PACE[int(each)] for each in of])
        spent = np.concatenate([[0], np.cumsum(np.diff(STEPS) * pace[1:])])
        for seed in range(2 if arm != "random" else 0):
            width[k, seed], seconds[k, seed] = of, spent * (1 + seed)
            loss[k, seed] = 5 - 0.01 * STEPS + 0.1 * k * (STEPS > 50) + 0.01 * seed
    for values in (width, seconds, loss):
        values[1, :, :5] = np.nan
    dims = ("arm", "seed", "step")
    by_layer = np.repeat(width[..., None], 6, -1)
    by_layer[1, :, :, 0] = np.where(np.isfinite(width[1]), 1024, np.nan)  # the first layer of pruned loses nobody
    return xr.Dataset(
        {
            "heldout_loss": (dims, loss),
            "training_seconds": (dims, seconds, {"long_name": "spent in training"}),
            "width": ((*dims, "layer"), by_layer),
        },
        {"arm": arms, "seed": [0, 1], "step": STEPS, "tokens": ("step", STEPS * 1024), "layer": range(6)},
        {
            "scale": "laptop",
            "recipe": "default",
            "fork_tokens": 50 * 1024,
            "provenance": json.dumps({"config": to_dict(RunConfig()), "environment": {"commit": "c" * 40}}),
        },
    )


def test_a_stage_has_the_speed_of_its_steps_and_the_bound_of_its_widths() -> None:
    found = stages.of(made())
    assert dict(found.sizes) == {"arm": 4, "seed": 2, "stage": 2}
    pruned = found.sel(arm="pruned", seed=1)
    assert pruned["begins"].values.tolist() == [50 * 1024, 80 * 1024]
    assert pruned["ends"].values.tolist() == [80 * 1024, 100 * 1024]
    np.testing.assert_allclose(pruned["speed"], [1 / 0.8, 2.0])
    model = RunConfig().model
    for stage, few in enumerate((512, 256)):
        smaller = RunConfig().model.__class__(d_ff=(1024, *[few] * 5))
        assert float(pruned["bound"][stage]) == pytest.approx(training_flops(model) / training_flops(smaller))
        assert float(pruned["left"][stage]) == pytest.approx((1024 + 5 * few) / 6144)
    assert found.sel(arm="random").to_array().isnull().all(), "it was not run"
    for arm, speed in (("dense", 1.0), ("narrow", 1 / 0.9)):
        np.testing.assert_allclose(found["speed"].sel(arm=arm, seed=0), [speed, np.nan])
    assert found["ends"].sel(arm="narrow", seed=0).values[0] == 100 * 1024


def test_the_loss_is_shown_against_tokens_and_against_seconds() -> None:
    drawn = figures.loss(made())
    (panel,), control = drawn.chart["panels"], drawn.chart["control"]
    assert [mark["legend"] for mark in panel["marks"]] == ["dense", "pruned", "narrow"], "random was not run"
    assert control["kind"] == "choice" and [state["label"] for state in control["states"]] == ["tokens", "seconds"]
    by_tokens, by_seconds = ({m: new["x"] for _, m, new in state["marks"]} for state in control["states"])
    assert by_tokens[1] == panel["marks"][1]["x"] == [*range(50, 101, 10), None, *range(50, 101, 10)]
    # 50 steps as dense, 30 at 0.8 s, 20 at 0.5 s; the slow seed against its own dense run
    assert by_seconds[1][:6] == by_seconds[1][7:] == [50, 58, 66, 74, 79, 84] and by_seconds[2][5] == 90
    assert drawn.title == (
        "At the same tokens pruned ends +2.50 % from dense's loss, in 84 % of its seconds; narrow ends +7.49 % from "
        "dense's loss, in 90 % of its seconds"
    )
    assert "Spent in training. 2 seeds." in drawn.caption
    told = panel["marks"][1]["extra"]
    assert told[0] == ["51.2k"] and told[6] == [""] and len(told) == len(panel["marks"][1]["x"]) == 13
    table = pd.read_csv(io.StringIO(drawn.csv), comment="#")
    row = table[(table["arm"] == "pruned") & (table["step"] == 100) & (table["seed"] == 1)].iloc[0]
    assert (row["percent_of_tokens"], row["percent_of_seconds"]) == (100, 84)


def test_units_go_at_the_moment_of_a_removal() -> None:
    drawn = figures.units_left(made())
    (panel,) = drawn.chart["panels"]
    mean = next(mark for mark in panel["marks"] if mark.get("legend") == "3")
    steps = [
        (50, 100),
        (50, 50),
        (60, 50),
        (60, 50),
        (70, 50),
        (70, 50),
        (80, 50),
        (80, 25),
        (90, 25),
        (90, 25),
        (100, 25),
    ]
    assert list(zip(mean["x"], mean["y"], strict=True)) == [(1024 * step, left) for step, left in steps]
    assert drawn.title == "At the end 38 % of all units are left: 25 % in layer 1, 100 % in layer 0"


def test_points_lie_where_speed_and_bound_are() -> None:
    found = stages.of(made())
    drawn = figures.bound_and_speed(found)
    (panel,) = drawn.chart["panels"]
    line, pruned, narrow = panel["marks"]
    assert line["x"] == line["y"] and pruned["y"] == [1.25, 2, 1.25, 2] and narrow["y"] == [1.111, 1.111]
    np.testing.assert_allclose(pruned["x"], np.tile(found["bound"].sel(arm="pruned", seed=0), 2), rtol=1e-3)
    assert drawn.title.startswith("Pruned trains 2.00 times as fast as dense at the end, by operations 1.7")
    whole = found.assign(left=found["left"] * 0 + 1)
    with pytest.raises(UserError, match="compares arms that have fewer units than dense, and the dataset has none"):
        figures.bound_and_speed(whole)


def test_the_bounds_of_several_models_are_told_apart() -> None:
    given = bound.recorded()
    bounds = {name: bound.bound(given[name]) for name in ("Wide, nearest", "Wide, fan-in, decay 1", "Laptop, default")}
    drawn = figures.over_training(bounds)
    marks = drawn.chart["panels"][0]["marks"]
    named = {mark["legend"]: mark for mark in marks if "legend" in mark}
    assert list(named) == list(bounds) and len({(m["colour"], m.get("dash")) for m in named.values()}) == 3
    for name, mark in named.items():
        last = float(np.mean(bounds[name]["bound"].isel(step=-1)))
        assert mark["y"][-1] == pytest.approx(last, rel=1e-3) and mark["x"][-1] == 100
    assert (
        "By operations Wide, nearest would train at most 2.36 times" in drawn.title and "1 to 3 seeds" in drawn.caption
    )
    assert drawn.model == "Wide, nearest, 3 seeds; Wide, fan-in, decay 1, 1 seed; Laptop, default, 3 seeds"
    assert "86 % in Wide, 66 % in Laptop" in drawn.caption

"""Experiments of arms by seeds: which runs they list, what their forecasts come to, and each rule both ways."""

from typing import Any

import numpy as np
import pytest
import xarray as xr

from relusparsity import corpora, identity, scales
from relusparsity.book import recorded
from relusparsity.config import replace
from relusparsity.experiments import (
    arms,
    dissociation,
    embedding_scale,
    sign_like_steps,
    variants,
    width_or_rate,
)

EXPERIMENTS: dict[str, Any] = {
    "embedding_scale": (embedding_scale, embedding_scale.cells(), 8),
    "sign_like_steps": (sign_like_steps, sign_like_steps.ARMS, 6),
    "width_or_rate": (width_or_rate, width_or_rate.ARMS, 8),
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_runs_are_listed_seed_by_seed_each_another_and_each_with_its_forecast(name: str) -> None:
    module, table, count = EXPERIMENTS[name]
    runs = module.config("mid").runs
    assert len(table) == count and set(module.EXPECTED) == set(table)
    assert len({identity.run_id(run, "text") for run in runs}) == len(runs) == 3 * count
    assert [run.seed for run in runs] == [2] * count + [3] * count + [4] * count
    assert {(run.train.tokens, run.measure.final_sets) for run in runs} == {(49_152_000, 64)}
    for expected in module.EXPECTED.values():
        assert 0 < sum(expected.lowest.values()) <= 1 and all(0 < p < 1 for p in expected.lowest.values())
        assert all(low < high for low, high in expected.values.values())
    (there,) = (each for each in recorded.recorded_at("mid", "first") if each.name == name)
    assert there.ran == bool(module.RAN) == there.path.exists()


def test_what_the_scale_of_the_embeddings_is_taken_apart() -> None:
    run = scales.base("mid", 2, "first")
    for std, speed, scale in ((0.02, 0.03, 0.02), (1.0, 0.0006, 1.0), (1.0, 0.03, 0.02)):
        made = replace(run, **embedding_scale.changes("mid", std, speed, scale))
        assert made.train.lr * made.train.embedding_rate / made.model.embedding_std == pytest.approx(speed)
        assert made.model.position_std / made.model.embedding_std == pytest.approx(scale)
        assert made.train.lr * made.train.position_rate / made.model.position_std == pytest.approx(0.03)
        assert (made.model.logit_scale == 1) == (std == 0.02) and made.model.tied
    first = embedding_scale.config("mid").runs[0]
    assert first == dissociation.config("mid").runs[0], "its untreated twin"
    big = replace(run, **embedding_scale.changes("mid", 1.0, 0.0006, 0.02))
    assert (big.train.embedding_rate, big.train.position_rate, big.model.position_std) == (1, 1, 0.02), (
        "the factorial's"
    )


def test_what_each_arm_of_the_others_changes() -> None:
    for run in width_or_rate.config("mid").runs:
        assert run.train.fc_out_rate in (1.0, 2048 / run.model.d_ff) and run.model.mlp_std in (0.0, 0.02)
    for run in sign_like_steps.config("mid").runs:
        assert run.train.optimizer != "adamw" and run.train.lr * run.train.weight_decay == pytest.approx(6e-4)
        assert run.intervention.kind == "none" or run.intervention.layer == 1


def ends(names: Any, use: Any, gamma: Any = lambda arm, seed: 0.5, early: Any = lambda arm, seed: 0.0) -> xr.Dataset:
    """Made-up runs: each function gives one number, or six, of an arm and a seed; shares in percent."""
    seeds, shape = (2, 3, 4), (len(names), 3, 6)

    def filled(of: Any) -> np.ndarray:
        return np.array([[np.broadcast_to(of(arm, seed), 6) for seed in seeds] for arm in names], dtype=float)

    at = np.array([0, 3_000_000, 12_000_000])
    lost = np.stack([np.zeros(shape), filled(early), np.zeros(shape)], axis=2)
    return xr.Dataset(
        {
            "final_batch_use": (("recipe", "seed", "set", "layer"), filled(use)[:, :, None] / 100),
            "final_loss": (("recipe", "seed"), np.full(shape[:2], 4.5)),
            "gamma": (
                ("recipe", "seed", "step", "layer"),
                np.stack([np.zeros(shape), np.zeros(shape), filled(gamma)], 2),
            ),
            "batch_use": (("recipe", "seed", "step", "layer"), 1 - lost / 100),
        },
        {"recipe": list(names), "seed": list(seeds), "layer": range(6), "tokens": ("step", at)},
    )


def test_forecasts_are_judged_run_by_run() -> None:
    expected = {
        "a": arms.Expected({1: 0.6, 2: 0.3}, {"U_1": (10, 20), "γ": (0.4, 0.6)}),
        "b": arms.Expected({0: 0.9}, {}),
    }
    use = {("a", 2): [90, 15, 50, 60, 70, 80], ("a", 3): [90, 50, 21, 60, 70, 80], ("b", 2): [5, 90, 90, 90, 90, 1]}
    table = arms.predicted(ends("ab", lambda arm, seed: use.get((arm, seed), np.nan)), expected)
    assert len(table) == 2 * 3 + 2 * 3
    lowest = table[table["number"] == "lowest layer"].set_index(["arm", "seed"])
    assert lowest.loc[("a", 2), "holds"] is True and lowest.loc[("a", 2), "chance"] == 0.6
    assert lowest.loc[("a", 3), "holds"] is False and lowest.loc[("a", 3), "chance"] == 0.3
    assert lowest.loc[("b", 2), "chance"] == pytest.approx(0.02), "a fifth of what is left"
    assert lowest.loc[("a", 4), "holds"] is None and "1: 60%" in lowest.loc[("a", 4), "written before"]
    u1 = table[table["number"] == "U_1"].set_index("seed")
    assert u1["holds"].tolist() == [True, False, None] and u1.loc[2, "written before"] == "10–20"
    scored = arms.scored(table)
    assert scored[["intervals that hold", "intervals"]].tolist() == [3, 4]
    assert scored[["lowest layers that hold", "lowest layers"]].tolist() == [1, 3]
    assert scored["mean log chance"] == pytest.approx(np.log([0.6, 0.3, 0.02]).mean())


def gammas(std: float, speed: float, positions: float) -> Any:
    """γ_0 by arm: 0.3, and so much more for the first level of each factor."""

    def of(arm: str, seed: int) -> float:
        levels = zip((std, speed, positions), ("std 0.02", "speed 3 %", "positions 1"), strict=True)
        return 0.3 + sum(more for more, level in levels if f"{level}," in f"{arm},")

    return of


@pytest.mark.parametrize(
    ("gamma", "lowest", "holds"),
    [
        (gammas(0.05, 0.05, 0.3), 1, [True, True, True, True]),
        (gammas(0.4, 0.02, 0.05), 3, [False, False, False, True]),
        (gammas(0.0, 0.4, 0.2), 1, [True, True, True, False]),
        (gammas(0.0, 0.0, 0.2), None, [None] * 4),
    ],
)
def test_contrasts_come_out_each_way(gamma: Any, lowest: int | None, holds: list[bool | None]) -> None:
    """Layer 2 ends the lowest where positions are small, another where they are as large as the embeddings."""

    def use(arm: str, seed: int) -> Any:
        at = lowest if arm.endswith("positions 1") else 2
        return np.nan if at is None else np.where(np.arange(6) == at, 10, 90)

    table = embedding_scale.contrasts(ends(embedding_scale.cells(), use, gamma))
    assert table["holds"].tolist() == holds and table["chance"].between(0, 1).all()
    assert table["written before"].tolist() == list(embedding_scale.CONTRASTS)


@pytest.mark.parametrize(
    ("kept", "loss", "holds"),
    [
        ((95, 10), 4.5, True),
        ((89, 10), 4.5, False),
        ((95, 50), 4.5, False),
        ((95, 10), 6.1, None),
        ((95, np.nan), 4.5, None),
    ],
)
def test_whether_the_common_direction_decides_comes_out_each_way(kept: Any, loss: float, holds: bool | None) -> None:
    def use(arm: str, seed: int) -> float:
        return dict(zip(("centre", "add 2"), kept, strict=True)).get(arm.partition(", ")[2], 40)

    made = ends(sign_like_steps.ARMS, use)
    made["final_loss"] = made["final_loss"].where(made["final_batch_use"].notnull().all(["set", "layer"]))
    made["final_loss"].loc[{"recipe": "SGD, untreated", "seed": 3}] = loss
    table = sign_like_steps.judge(made)
    assert table["optimizer"].tolist() == ["Adafactor", "SGD"]
    assert table["holds"].tolist() == [holds if loss < 6 else True, holds]


@pytest.mark.parametrize(
    ("by_std", "by_rate", "last", "holds"),
    [
        (12, 3, 5, [True] * 5),
        (3, 6, 5, [True, True, True, False, False]),
        (12, 3, 4, [False, False, False, True, False]),
    ],
)
def test_the_early_wave_comes_out_each_way(by_std: float, by_rate: float, last: int, holds: list[bool]) -> None:
    """Of the 14 % that Xavier's widest has lost, so much is taken away by the other scale and the slower rate."""

    def early(arm: str, seed: int) -> Any:
        wide = 14.0 if arm.startswith("32,768") else 3.0
        taken = by_std * (", 0.02," in arm) + by_rate * arm.endswith("÷ width")
        return np.where(np.arange(6) == last, max(wide - taken, 1), 0.5)

    table = width_or_rate.early(ends(width_or_rate.ARMS, lambda arm, seed: 50, early=early))
    assert table["holds"].tolist() == holds and table["written before"].tolist() == list(width_or_rate.EARLY)
    missing = ends(width_or_rate.ARMS, lambda arm, seed: 50, early=lambda arm, seed: np.nan if seed == 4 else 1)
    assert width_or_rate.early(missing)["holds"].isna().all()


def test_what_was_run_is_one_dataset_with_the_rest_missing() -> None:
    config = embedding_scale.config("smoke")
    corpus = corpora.load(config.runs[0].corpus)
    made = {run: variants.measured(run, corpus) for run in config.runs[:2]}
    dataset = arms.assemble(config, [made.get(run) for run in config.runs], embedding_scale.cells("smoke"))
    assert dataset.sizes["recipe"] == 8 and dataset["seed"].values.tolist() == [config.runs[0].seed]
    for arm, run in zip(embedding_scale.cells(), made, strict=False):
        np.testing.assert_array_equal(
            dataset["final_batch_use"].isel(seed=0).sel(recipe=arm), made[run]["final_batch_use"]
        )
    table = embedding_scale.predicted(dataset)
    assert table["holds"].notna().sum() == 2 * 3 and len(table) == 8 * 3

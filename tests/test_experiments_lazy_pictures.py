"""Lazy neurons on pictures: shares, trends and rules against loops over made-up runs, and each way they come out."""

import json
from typing import Any

import numpy as np
import pytest
import scipy
import xarray as xr

from claims_made import told
from relusparsity import claims
from relusparsity.config import to_dict
from relusparsity.experiments import lazy_pictures, lazy_rows, written
from relusparsity.experiments.lazy_pictures import AS_IS, DEPTHS, NO_DATA, TIMES

CHANGES = lazy_pictures.changes("fashion")
WIDE, DEEP = list(TIMES.values()), list(DEPTHS.values())
STEPS = (0, 10, 20)


def made(end: Any, loss: Any = lambda arm, seed, step: 2.0 - step / 20, start: float = 0.5) -> xr.Dataset:
    """Runs that go from `start` to `end(arm, seed)` in proportion to the steps, in every layer that they have."""
    config = lazy_pictures.config("fashion")
    configs = {arm: to_dict(run) for arm, run in zip(CHANGES, config.runs, strict=False)}
    sizes = (len(CHANGES), 3, len(STEPS), 12)
    use, losses = np.full(sizes, np.nan), np.zeros(sizes[:3])
    for (a, arm), s, t in ((each, s, t) for each in enumerate(CHANGES) for s in range(3) for t in range(3)):
        layers = configs[arm]["model"]["n_layers"]
        use[a, s, t, :layers] = start + (end(arm, s) - start) * STEPS[t] / STEPS[-1]
        losses[a, s, t] = loss(arm, s, STEPS[t])
    dims = ("recipe", "seed", "step", "layer")
    dataset = xr.Dataset(
        {
            "token_use": (dims, use),
            "silent_units": (dims, np.where(np.isnan(use), np.nan, 64.0)),
            "heldout_loss": (dims[:3], losses),
            "final_token_use": (("recipe", "seed", "layer"), use[:, :, -1]),
            "final_accuracy": (("recipe", "seed"), np.where(np.isnan(losses[..., -1]), np.nan, 0.9)),
        },
        {"recipe": list(CHANGES), "seed": [0, 1, 2], "step": list(STEPS), "layer": range(12)},
        {"provenance": json.dumps({"configs": configs})},
    )
    return told(dataset, np.isnan([[end(arm, seed) for seed in range(3)] for arm in CHANGES]))


def by_size(arm: str, wider: float = -0.02, deeper: float = -0.05) -> float:
    """A share that changes by so much from each width, and each depth, to the next."""
    width = WIDE.index(arm) if arm in WIDE else 2
    depth = DEEP.index(arm) if arm in DEEP else 1
    return 0.25 + wider * (width - 2) + deeper * (depth - 1)


def test_arms_change_what_their_names_say() -> None:
    runs = dict(zip(CHANGES, lazy_pictures.config("fashion").runs, strict=False))
    base = runs[AS_IS].model
    assert [runs[name].model.d_ff / base.d_ff for name in WIDE] == list(TIMES)
    assert [runs[name].model.n_layers / base.n_layers for name in DEEP] == list(DEPTHS)
    assert runs["GELU"].model.activation == "gelu" and len(CHANGES) == 11
    assert {runs[name].corpus.labels for name in NO_DATA} == {"real", "random"}
    assert {runs[name].corpus.pixels for name in NO_DATA} == {"real", "random", "fresh"}
    assert len(lazy_pictures.config("fashion").runs) == 33


def test_ends_are_means_over_the_layers_that_an_arm_has() -> None:
    dataset = made(lambda arm, seed: by_size(arm) + 0.01 * seed)
    rng = np.random.default_rng(0)
    dataset["final_token_use"] = dataset["final_token_use"] * rng.uniform(0.5, 1.5, dataset["final_token_use"].shape)
    table, sizes = lazy_pictures.ends(dataset), lazy_pictures.numbers(dataset)
    for arm, layers in ((AS_IS, 6), ("2 × the layers", 12), ("half of the layers", 3)):
        assert sizes.loc[arm].tolist() == [layers, 768]
        for seed in range(3):
            of = 100 * dataset["final_token_use"].sel(recipe=arm, seed=seed).values[:layers]
            expected = {
                "start": 50,
                "end": of.mean(),
                "without last": of[:-1].mean(),
                "accuracy": 90,
            }
            assert table.loc[(arm, seed)].to_dict() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("wider", "deeper", "holds"),
    [(-0.02, -0.05, True), (0.02, -0.05, False), (-0.02, 0.05, False), (-0.09, -0.05, True)],
)
def test_row_22_asks_widths_and_depths(wider: float, deeper: float, holds: bool) -> None:
    table = lazy_pictures.trend(made(lambda arm, seed: by_size(arm, wider, deeper)))
    assert len(table) == 6 and table["holds"].tolist() == [holds] * 6
    of = table.loc[(1, "equal tokens")]
    shares = [by_size(arm, wider, deeper) for arm in WIDE]
    counts = [share * times for share, times in zip(shares, TIMES, strict=True)]
    assert of["τ of the share"] == pytest.approx(scipy.stats.kendalltau(range(5), shares).statistic)
    assert of["τ of the count"] == pytest.approx(scipy.stats.kendalltau(range(5), counts).statistic)
    assert of["shallow"] == pytest.approx(100 * by_size(DEEP[0], wider, deeper))


def test_a_count_that_does_not_rise_fails() -> None:
    less = {name: 0.4 / times / 4 for times, name in TIMES.items()}
    table = lazy_pictures.trend(made(lambda arm, seed: less.get(arm, by_size(arm)), start=0.5))
    assert not table["holds"].loc[:, "equal tokens"].any() and (table["τ of the share"] < -0.8).all()


def test_at_an_equal_loss_each_arm_is_read_where_it_crosses_it() -> None:
    fast = WIDE[-1]  # reaches 1.25, the others' best, halfway to its second measurement

    def loss(arm: str, seed: int, step: int) -> float:
        return {0: 2.0, 10: 0.5, 20: 0.4}[step] if arm == fast else 2.0 - 0.75 * step / 20

    dataset = made(lambda arm, seed: 0.1, loss)
    found = lazy_pictures.at_equal_loss(dataset, WIDE)
    assert found.dims == ("recipe", "seed")
    np.testing.assert_allclose(found.sel(recipe=WIDE[:-1]), 10)
    np.testing.assert_allclose(found.sel(recipe=fast), 50 - 40 * 0.25)


def test_a_run_that_is_missing_leaves_what_reads_it_open() -> None:
    def end(arm: str, seed: int) -> float:
        return np.nan if arm in (WIDE[0], "random labels") and seed == 2 else by_size(arm)

    dataset = made(end)
    dataset["heldout_loss"] = dataset["heldout_loss"].where(dataset["token_use"].notnull().any("layer"))
    holds = lazy_pictures.trend(dataset)["holds"]
    assert holds.loc[2].tolist() == [None, None] and all(holds.loc[[0, 1]])
    halved = lazy_pictures.halved(dataset)
    assert halved["random labels"].tolist()[2] is None and halved.notna().sum() == 8


def test_row_23_asks_for_half_of_the_start() -> None:
    ends = dict(zip(NO_DATA, (0.24, 0.25, 0.26), strict=True))
    halved = lazy_pictures.halved(made(lambda arm, seed: ends.get(arm, 0.1)))
    assert [halved[name].tolist() for name in NO_DATA] == [[True] * 3, [False] * 3, [False] * 3]


@pytest.mark.parametrize(
    ("numbers", "holds"),
    [
        ({AS_IS: 0.15}, [True, True, True, True, True, True, True]),
        ({AS_IS: 0.151}, [False, True, True, True, True, True, True]),
        ({"4 × the units": 0.3}, [False, False, False, True, True, True, True]),
        ({"4 × the units": 0.05}, [False, False, True, False, True, True, True]),
        ({"2 × the layers": 0.4}, [False, False, True, True, False, True, True]),
        ({"random pixels": 0.25}, [False, True, True, True, True, False, True]),
        ({"random pixels": np.nan}, [False, True, True, True, True, None, True]),
        ({AS_IS: np.nan}, [None, None, None, None, True, True, None]),
    ],
)
def test_sentences_come_out_each_way(numbers: dict[str, float], holds: list[bool | None]) -> None:
    fall = {name: 0.24 - 0.02 * k if AS_IS not in numbers else 0.154 - 0.002 * k for k, name in enumerate(WIDE)}
    ends = fall | {DEEP[0]: 0.3, DEEP[2]: 0.1} | dict.fromkeys(NO_DATA, 0.2) | {"GELU": 0.3} | numbers
    dataset = made(lambda arm, seed: ends[arm])
    dataset["heldout_loss"] = dataset["heldout_loss"].where(dataset["token_use"].notnull().any("layer"))
    end = dataset["final_token_use"]  # the last layer of the base the densest, its mean as it was
    end.loc[{"recipe": AS_IS, "layer": 5}] += 0.005
    end.loc[{"recipe": AS_IS, "layer": 0}] -= 0.005
    said = lazy_pictures.sentences(dataset)
    assert said["holds"].tolist() == holds and said["came"].isna().tolist() == [each is None for each in holds]


@pytest.mark.parametrize(("known", "came", "holds"), [(0.2, "20 to 20, 2 of 3 known", False), (0.1, None, None)])
def test_one_seed_refutes_what_is_said_of_every_seed(known: float, came: str | None, holds: bool | None) -> None:
    dataset = made(lambda arm, seed: np.nan if seed == 2 else known)
    dataset["heldout_loss"] = dataset["heldout_loss"].where(dataset["token_use"].notnull().any("layer"))
    said = lazy_pictures.sentences(dataset).iloc[0]
    assert said["holds"] is holds and (said["came"] == came or came is None)
    shown = written.said(lazy_pictures, dataset).iloc[0]
    assert shown[["came", "holds"]].tolist() == [came or "undecided", "–" if holds is None else "no"]


def test_forecasts_are_of_the_mean_of_all_seeds() -> None:
    inside = {arm: sum(ends) / 200 for arm, ends in lazy_pictures.EXPECTED.items()}
    assert set(inside) == set(CHANGES) and lazy_pictures.predicted(made(lambda arm, seed: inside[arm]))["holds"].all()
    low = lazy_pictures.predicted(
        made(lambda arm, seed: lazy_pictures.EXPECTED[arm][0] / 100 - 0.001 - 0.01 * (seed - 1))
    )
    assert not low["holds"].any() and low["holds"].notna().all()
    lacking = lazy_pictures.predicted(made(lambda arm, seed: np.nan if arm == AS_IS and seed == 1 else inside[arm]))
    assert lacking["holds"].isna().tolist() == [arm == AS_IS for arm in lazy_pictures.EXPECTED]


def word(number: str, dataset: xr.Dataset) -> tuple[str, str]:
    """Verdict and reason of a row, from runs that say that they are of Fashion."""
    facts = json.loads(dataset.attrs["provenance"])
    facts["config"] = facts["configs"][AS_IS]
    given = dataset.assign_attrs(scale="fashion", provenance=json.dumps(facts))
    rows = tuple(row for row in claims.for_chapter(12) if row.number == number)
    outcome = claims.evaluate({("lazy_pictures", "fashion"): given}, rows=rows, rules=lazy_rows.RULES)[0]
    repr(claims.table([outcome]))  # says every number, or why there is none
    assert (
        outcome.recipe.startswith("vision Transformer, patches of 4 × 4 pixels, adamw") and outcome.scale == "recorded"
    )
    return str(outcome.verdict), outcome.reason


def test_row_21_asks_for_few_positive_entries_at_an_accuracy() -> None:
    sparse, dense = made(lambda arm, seed: 0.15), made(lambda arm, seed: 0.15 + 0.01 * seed)
    assert word("21", sparse) == ("reproduced", "")
    assert word("21", dense) == ("inconclusive", "holds in 1 of 3 seeds")
    missing = made(lambda arm, seed: np.nan if seed == 2 else 0.1)
    missing["final_accuracy"][:, 2] = np.nan
    assert word("21", missing) == ("not yet tested", "1 of 3 runs is still to come")
    diverged = told(missing, np.zeros((len(CHANGES), 3), bool))
    assert word("21", diverged) == ("not testable here", "seed 2: a run has no end")
    sparse["final_accuracy"][0, 1] = 0.8
    assert word("21", sparse) == ("not testable here", "accuracy 80.0 %, below the rule's 85 %")


def test_row_22_is_open_where_equal_tokens_and_equal_loss_part() -> None:
    assert word("22", made(lambda arm, seed: by_size(arm)))[0] == "reproduced"
    assert word("22", made(lambda arm, seed: by_size(arm, 0.02)))[0] == "not reproduced"

    missing = made(lambda arm, seed: np.nan if (arm, seed) == (WIDE[0], 1) else by_size(arm))
    missing["heldout_loss"] = missing["heldout_loss"].where(missing["token_use"].notnull().any("layer"))
    assert word("22", missing) == ("not yet tested", "1 of 21 runs is still to come"), "five widths, three depths"

    def loss(arm: str, seed: int, step: int) -> float:  # the wide come to it early, while their share is high
        return 2.0 - step / 20 * (1 + (WIDE.index(arm) if arm in WIDE else 0))

    parted = made(lambda arm, seed: by_size(arm), loss)
    assert word("22", parted) == ("inconclusive", "equal tokens and equal loss say different things")


def test_row_23_asks_every_arm_of_every_seed() -> None:
    assert word("23", made(lambda arm, seed: 0.24))[0] == "reproduced"
    one = made(lambda arm, seed: 0.26 if arm == "random labels" else 0.2)
    assert word("23", one)[0] == "not reproduced"
    missing = made(lambda arm, seed: np.nan if arm == "random pixels" and seed == 1 else 0.2)
    assert word("23", missing) == ("not yet tested", "1 of 9 runs is still to come")
    other = made(lambda arm, seed: np.nan if arm == "GELU" else 0.24)
    assert word("23", other)[0] == "reproduced", "which it does not read"

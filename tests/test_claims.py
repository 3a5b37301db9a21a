"""Each rule of the ledger on made-up data that must come out each way."""

import dataclasses
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from relusparsity import UserError, claims
from relusparsity.claims import Verdict, ledger, reading
from relusparsity.claims.table import number
from relusparsity.store import renamed

SHAPES = {
    "P": {"n_layers": 6, "d_ff": 32768, "d_model": 1024},
    "S": {"n_layers": 6, "d_ff": 8192, "d_model": 512},
    "L": {"n_layers": 6, "d_ff": 1024, "d_model": 64},
    "smoke": {"n_layers": 6, "d_ff": 64, "d_model": 16},
}
TOKENS = np.linspace(0, 1000, 101)
PART = TOKENS / 1000
Variables = dict[str, tuple[tuple[str, ...], np.ndarray]]


def made(scale: str, per_seed: list[Variables], coords: dict[str, Any] | None = None, **attrs: Any) -> xr.Dataset:
    """A dataset of the scale from each seed's variables (dims without seed)."""
    config = {
        "model": SHAPES[scale]
        | dict(norm="layernorm", norm_place="pre", positions="rotary", tied=True, embedding_std=0.02)
        | dict(init="normal", bias=True),
        "train": dict(warmup=20, tokens=1000, optimizer="adamw", lr=6e-4, schedule="cosine")
        | dict(weight_decay=0.1, beta2=0.98),
        "measure": {"set_tokens": 8192},
    }
    variables = {
        name: (("seed", *dims), np.stack([seed[name][1] for seed in per_seed]))
        for name, (dims, _) in per_seed[0].items()
    }
    attrs = {"scale": scale, "provenance": json.dumps({"config": config}), **attrs}
    return xr.Dataset(variables, {"seed": np.arange(len(per_seed)), **(coords or {})}, attrs)


def use(*percent: float) -> Variables:
    """final_batch_use of 64 sets whose mean is the given percent; the sets themselves differ."""
    ripple = np.tile([-0.001, 0.001], 32)[:, None]
    return {"final_batch_use": (("set", "layer"), np.array(percent) / 100 + ripple)}


def uses(good: tuple[float, ...], bad: tuple[float, ...]) -> Callable[[str, list[bool]], xr.Dataset]:
    return lambda scale, holds: made(scale, [use(*(good if h else bad)) for h in holds])


def row_5(scale: str, holds: list[bool]) -> xr.Dataset:
    def seed(h: bool) -> Variables:
        percentiles = np.tile([0.01, 0.05, 0.9], (2, 6, 1))
        percentiles[0, :, 1] = 0.5  # an earlier step decides nothing
        percentiles[1, 3, 1] = 0.1 if h else 0.11
        return {"token_use_percentiles": (("step", "layer", "percentile"), percentiles)}

    return made(scale, [seed(h) for h in holds], {"percentile": [25, 50, 75]})


def curves(scale: str, per_seed: list[tuple[np.ndarray, np.ndarray]]) -> xr.Dataset:
    """token_use and sequence_use, each (step, layer), at 101 even steps."""
    dims = ("step", "layer")
    variables = [{"token_use": (dims, t), "sequence_use": (dims, s)} for t, s in per_seed]
    return made(scale, variables, {"tokens": ("step", TOKENS), "step": np.arange(101)})


def layers(first: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.stack([first, *[others] * 5], axis=1)


FLAT = np.full(101, 0.5)


def row_6(scale: str, holds: list[bool]) -> xr.Dataset:
    """19 or 21 % of layer 0's log fall lie in the 2 % of the tokens from 50 to 52 %."""
    good, bad = (np.exp(-np.interp(PART, [0, 0.5, 0.52, 1], [0, 0.4, 0.4 + p, 1])) for p in (0.19, 0.21))
    sudden = np.where(PART < 0.5, 0.5, 0.1)
    return curves(scale, [(layers(good if h else bad, sudden), layers(FLAT, FLAT)) for h in holds])


def row_7(scale: str, holds: list[bool]) -> xr.Dataset:
    """Half of the log fall is at half of the tokens; 10 points of sequence_use are lost at 61 or 59 %."""
    tokens = layers(np.exp(-2 * PART), FLAT)
    late, early = (np.interp(PART, [0, at - 0.1, at, 1], [0.9, 0.9, 0.8, 0.8]) for at in (0.61, 0.59))
    return curves(scale, [(tokens, layers(late if h else early, FLAT)) for h in holds])


def row_8(scale: str, holds: list[bool]) -> xr.Dataset:
    own = np.interp(PART, [0, 0.5, 0.6, 1], [0.9, 0.9, 0.7, 0.7])
    good, bad = (np.interp(PART, [0, 0.01, 0.3, 0.4, 1], [0.1, 0.9, 0.9, 0.9 - d, 0.9 - d]) for d in (0.099, 0.101))
    return curves(scale, [(layers(FLAT, FLAT), layers(own, good if h else bad)) for h in holds])


def row_9(scale: str, holds: list[bool], **attrs: int) -> xr.Dataset:
    """1,000 silent units, 850 of them still silent; chance allows 40 or 60 of those."""

    def seed(h: bool) -> Variables:
        counts = dict(silent_small=1000, silent_both=850, good_turing_expected=30, good_turing_upper=40 if h else 60)
        return {name: (("layer",), np.array([0, 0, 0, 0, 0, count])) for name, count in counts.items()}

    return made(scale, [seed(h) for h in holds], **{"small_sample_tokens": 8192, "large_sample_tokens": 10**6} | attrs)


def pruned(scale: str, costs: list[tuple[float, float, float]], text: str = "c4-eval", **attrs: int) -> xr.Dataset:
    """Costs in percent of the loss: silent units, the lowest-rate half, a random half."""

    def seed(silent: float, rate: float, random: float) -> Variables:
        loss = np.full((2, 2, 2), 9.0)
        loss[:, 1, 1] = 4 * (1 + np.array([rate, random]) / 100)
        return {
            "baseline_loss": (("evaluation",), np.array([5.0, 4.0])),
            "silent_loss": (("evaluation",), np.array([9.0, 4 * (1 + silent / 100)])),
            "loss": (("chosen_by", "share", "evaluation"), loss),
        }

    coords = {"chosen_by": ["rate", "random"], "share": [0.25, 0.5], "evaluation": ["other", text]}
    return made(scale, [seed(*c) for c in costs], coords, **{"silent_sample_tokens": 10**6} | attrs)


def specific(scale: str, deltas: list[float], counts: tuple[int, int] = (500, 500)) -> xr.Dataset:
    """100 units; the first share |delta| of the last layer's lie above (below) the first layer's, the rest tie."""

    def seed(delta: float) -> Variables:
        values = np.full((6, 100), 0.5)
        values[-1, : round(100 * abs(delta))] += math.copysign(0.1, delta)
        count = np.full((6, 100), counts[0])
        count[-1] = counts[1]
        dims = ("layer", "unit")
        return {
            "within_sequence_rate": (dims, values),
            "token_selectivity": (dims, 1 - values),
            "firing_count": (dims, count),
        }

    return made(scale, [seed(d) for d in deltas])


MAKERS: dict[str, Callable[[str, list[bool]], xr.Dataset]] = {
    "1": uses((29.9, 50, 50, 50, 50, 50), (30.1, 50, 50, 50, 50, 50)),
    "2": uses((10, 50, 50, 50, 50, 90.1), (10, 50, 50, 50, 50, 89.9)),
    "3": uses((40, 50, 50, 50, 50, 90.1), (40, 50, 50, 50, 50, 89.9)),
    "3b": uses((99, 50, 29.9, 50, 50, 91), (99, 30.1, 31, 10, 10, 91)),
    "4": uses((40, 45.1, 60, 70, 80, 85.1), (40, 45.1, 60, 70, 80.2, 85.1)),
    "5": row_5,
    "6": row_6,
    "7": row_7,
    "8": row_8,
    "9": row_9,
    "12": lambda scale, holds: pruned(scale, [(0.09, 0.9, 4.6 if h else 4.4) for h in holds]),
    "13": lambda scale, holds: specific(scale, [0.34 if h else 0.32 for h in holds]),
}
JUDGED = [(row.number, scale) for row in claims.LEDGER for scale in row.scales if row.number in MAKERS]


def row(number: str) -> claims.Claim:
    return next(row for row in claims.LEDGER if row.number == number)


def judge(number: str, *datasets: xr.Dataset) -> claims.Outcome:
    experiment = claims.judge.RULES[number].experiment
    given = {(experiment, dataset.attrs["scale"]): dataset for dataset in datasets}
    wanted = row(number).scales[0] if len(datasets) > 1 else datasets[0].attrs["scale"]
    return next(o for o in claims.evaluate(given, rows=(row(number),)) if o.scale == wanted)


@pytest.mark.parametrize(("number", "scale"), JUDGED)
def test_every_row_comes_out_each_way(number: str, scale: str) -> None:
    make, needed = MAKERS[number], claims.judge.seeds_needed(number, scale)
    assert judge(number, make(scale, [True] * needed)).verdict is Verdict.REPRODUCED
    assert judge(number, make(scale, [False] * needed)).verdict is Verdict.NOT_REPRODUCED
    mixed = judge(number, make(scale, [True] * (needed - 1) + [False]))
    assert (mixed.verdict, mixed.n) == (Verdict.INCONCLUSIVE, needed)
    assert [r.holds for r in mixed.readings] == [True] * (needed - 1) + [False]
    few = judge(number, make(scale, [True] * (needed - 1)))
    assert (few.verdict, few.reason) == (Verdict.NOT_YET_TESTED, f"{needed - 1} seeds of {needed}")


@pytest.mark.parametrize(("number", "scale"), JUDGED)
def test_a_missing_variable_or_nan_is_named(number: str, scale: str) -> None:
    whole = MAKERS[number](scale, [True] * 5)
    for name in (*whole.data_vars, *(("tokens",) if "tokens" in whole.coords else ())):
        if name == "token_use" and number == "8":
            continue  # row 8 reads sequence_use alone
        if name == "sequence_use" and number == "6":
            continue  # row 6 reads token_use alone
        with pytest.raises(UserError, match=str(name)):
            judge(number, whole.drop_vars(name))
        broken = whole.copy(deep=True)
        broken[name] = broken[name] * np.nan
        with pytest.raises(UserError, match=str(name)):
            judge(number, broken)


@pytest.mark.parametrize(
    ("number", "dataset", "reason"),
    [
        *[(n, MAKERS[n]("P", [True] * 3).isel(set=slice(0, 63)), "63 sets") for n in ("1", "2", "3", "3b", "4")],
        *[(n, MAKERS[n]("P", [True] * 3).isel(step=slice(3, None)), "2 %") for n in ("6", "7", "8")],
        ("9", row_9("P", [True] * 3, large_sample_tokens=999_999), "999,999"),
        ("9", row_9("P", [True] * 3, small_sample_tokens=4096), "4,096"),
        ("12", pruned("P", [(0, 0, 1)] * 3, silent_sample_tokens=8192), "8,192"),
        ("12", pruned("P", [(0, 0, 1)] * 3, text="heldout"), "c4-eval was not evaluated"),
        ("13", specific("P", [0.9] * 3, counts=(500, 2000)), "equally often"),
        ("13", specific("P", [0.9] * 3, counts=(99, 99)), "equally often"),
    ],
)
def test_not_testable_with_its_reason(number: str, dataset: xr.Dataset, reason: str) -> None:
    outcome = judge(number, dataset)
    assert outcome.verdict is Verdict.NOT_TESTABLE
    assert reason in outcome.reason


@pytest.mark.parametrize("number", sorted({*MAKERS} - {"12"}))
def test_of_a_single_layer_a_row_that_compares_layers_says_so(number: str) -> None:
    outcome = judge(number, MAKERS[number]("P", [True] * 3).isel(layer=[0]))
    if number in ("5", "6", "7", "9"):  # of each layer, of layer 0, or of their sum
        assert len(outcome.readings) == 3
    else:
        assert outcome.verdict is Verdict.NOT_TESTABLE and ("single layer" in outcome.reason or "six" in outcome.reason)


def test_row_14_of_a_single_layer_says_so() -> None:
    small, large = (made(scale, [use(10, 20, 30, 40, 50, 60)] * 3).isel(layer=[0]) for scale in "LP")
    outcome = judge("14", small, large)
    assert (outcome.verdict, outcome.reason) == (Verdict.NOT_TESTABLE, "the models have a single layer")


@pytest.mark.parametrize("number", sorted(MAKERS))
def test_one_seed_is_read_and_judges_nothing(number: str) -> None:
    outcome = judge(number, MAKERS[number]("P", [True, False]).isel(seed=[0]))
    assert outcome.verdict is Verdict.NOT_YET_TESTED and [each.holds for each in outcome.readings] == [True]


@pytest.mark.parametrize(
    ("datasets", "says"),
    [
        (lambda data: {"layer_patterns": data}, "'layer_patterns' is the key of a Dataset: expected a dictionary such"),
        (lambda data: {("layer_patterns",): data}, "is the key of a Dataset: expected"),
        (lambda data: {"ab": data}, "'ab' is the key of a Dataset: expected"),
        (lambda data: {("layer_patterns", "wide"): data["final_batch_use"]}, "is the key of a DataArray: expected"),
        (lambda data: {("layer_patterns", "wide"): None}, "is the key of a NoneType: expected"),
        (lambda data: [data], "the datasets to judge are a dictionary such as"),
        (lambda data: {("layer_patterns", 3): data}, "scale 3 is not known"),
    ],
)
def test_datasets_without_a_pair_of_names_are_refused(datasets: Callable[[xr.Dataset], Any], says: str) -> None:
    data = MAKERS["2"]("P", [True])
    with pytest.raises(UserError, match=says):
        claims.evaluate(datasets(data))
    with pytest.raises(UserError, match=says):
        claims.evaluate({}, here=datasets(data))


def test_row_14_compares_the_order_of_layers_at_both_scales() -> None:
    up, down = (10, 20, 30, 40, 50, 60), (60, 50, 40, 30, 20, 10)
    small = made("L", [use(*up), use(*up), use(*down)])  # the mean over seeds rises
    cases = [
        ([down] * 3, Verdict.REPRODUCED),
        ([up] * 3, Verdict.NOT_REPRODUCED),
        ([(10, 20, 30, 60, 50, 40)] * 3, Verdict.NOT_REPRODUCED),  # 12 of 15 pairs agree: τ = 0.6 exactly
        ([(10, 20, 60, 50, 40, 30)] * 3, Verdict.REPRODUCED),  # 9 of 15: τ = 0.2
        ([up, down, down], Verdict.INCONCLUSIVE),
        ([down] * 2, Verdict.NOT_YET_TESTED),
        ([(50,) * 6] * 3, Verdict.NOT_TESTABLE),
    ]
    for orders, verdict in cases:
        large = made("P", [use(*order) for order in orders])
        assert judge("14", small, large).verdict is verdict
    few = judge("14", small.isel(seed=slice(0, 2)), made("P", [use(*up)] * 3))
    assert (few.verdict, few.reason) == (Verdict.NOT_YET_TESTED, "2 seeds of 3 at Laptop")
    alone = claims.evaluate({("layer_patterns", "laptop"): small}, rows=(row("14"),))
    assert [o.verdict for o in alone] == [Verdict.NOT_TESTABLE]
    assert "no run recorded of Wide (n_layers 6, d_ff 32768)" in alone[0].reason


def test_both_conditions_of_a_rule_count() -> None:
    assert judge("3b", made("P", [use(10, 50, 50, 50, 50, 89)] * 3)).verdict is Verdict.NOT_REPRODUCED
    assert judge("4", made("P", [use(40, 44, 60, 70, 80, 90)] * 3)).verdict is Verdict.NOT_REPRODUCED
    for costs in [(0.11, 0.9, 9), (0.05, 1.1, 9), (0, -1, -1), (0, 0, 0)]:
        assert judge("12", pruned("P", [costs] * 3)).verdict is Verdict.NOT_REPRODUCED
    assert judge("12", pruned("P", [(0, -1, 0.5)] * 3)).verdict is Verdict.REPRODUCED


def test_numerical_agreement_stands_apart_from_the_verdict() -> None:
    outcome = judge("1", made("P", [use(u, 50, 50, 50, 50, 50) for u in (18.2, 18.4, 8.4)]))
    assert (outcome.verdict, outcome.agreement) == (Verdict.REPRODUCED, (2, 3))
    assert judge("2", made("S", [use(9, 9, 9, 9, 9, 99)] * 3)).agreement == (3, 3)
    assert judge("3", made("S", [use(9, 9, 9, 9, 9, 99)] * 3)).agreement is None


def test_row_6_where_use_rises_vanishes_or_is_measured_too_coarsely() -> None:
    rising = curves("L", [(layers(np.exp(PART - 2), FLAT), layers(FLAT, FLAT))] * 3)
    assert judge("6", rising).verdict is Verdict.NOT_REPRODUCED
    gone = row_6("L", [True] * 3)
    gone["token_use"][1, -1, 0] = 0
    assert judge("6", gone).verdict is Verdict.NOT_TESTABLE
    assert "seed 1: token_use is 0" in judge("6", gone).reason
    gradual = curves("L", [(layers(np.exp(-2 * PART), FLAT), layers(FLAT, FLAT))] * 3)
    coarse = judge("6", gradual.isel(step=[0, 20, 45, 60, 80, 100]))  # 25 % of the fall between two steps
    assert coarse.verdict is Verdict.NOT_TESTABLE and "too far apart" in coarse.reason
    assert judge("6", gradual.isel(step=slice(None, None, 10))).verdict is Verdict.REPRODUCED


def test_row_7_where_nothing_falls_or_a_dip_comes_back() -> None:
    token = layers(np.exp(-2 * PART), FLAT)
    kept = curves("P", [(token, layers(FLAT, FLAT))] * 3)
    assert judge("7", kept).verdict is Verdict.NOT_REPRODUCED
    assert judge("7", kept).readings[0].values == {"lead (% of the tokens)": "no loss of sequence_use"}
    dip = row_7("P", [True] * 3)
    dip["sequence_use"][:, 3, 0] = 0.1
    assert judge("7", dip).verdict is Verdict.REPRODUCED
    steady = curves("P", [(layers(FLAT, FLAT), layers(np.exp(-2 * PART), FLAT))] * 3)
    assert judge("7", steady).verdict is Verdict.NOT_REPRODUCED


def test_row_8_counts_from_the_warm_up_and_in_both_directions() -> None:
    rise = np.interp(PART, [0, 0.5, 0.6, 1], [0.5, 0.5, 0.7, 0.7])
    assert judge("8", curves("P", [(layers(FLAT, FLAT), layers(rise, FLAT))] * 3)).verdict is Verdict.REPRODUCED
    assert judge("8", curves("P", [(layers(FLAT, FLAT), layers(FLAT, FLAT))] * 3)).verdict is Verdict.NOT_REPRODUCED
    # row_8's other layers rise by 80 points in the first 1 % of the tokens: only the warm-up of 2 % hides it
    early = row_8("P", [True] * 3)
    provenance = json.loads(early.attrs["provenance"])
    provenance["config"]["train"]["warmup"] = 0
    assert judge("8", early.assign_attrs(provenance=json.dumps(provenance))).verdict is Verdict.NOT_REPRODUCED
    provenance["config"]["train"]["warmup"] = 950
    late = judge("8", early.assign_attrs(provenance=json.dumps(provenance)))
    assert "after the warm-up" in late.reason


def test_row_9_without_a_silent_unit_or_with_impossible_counts() -> None:
    none = row_9("P", [True] * 3)
    for name in none.data_vars:
        none[name] = none[name] * 0
    assert judge("9", none).verdict is Verdict.NOT_REPRODUCED
    odd = row_9("P", [True] * 3)
    odd["silent_both"] = odd["silent_small"] + 1
    with pytest.raises(UserError, match="silent_both"):
        judge("9", odd)


def test_row_13_wants_one_sign_both_numbers_and_equal_rates() -> None:
    assert judge("13", specific("P", [-0.5] * 3)).verdict is Verdict.REPRODUCED
    signs = judge("13", specific("P", [0.5, -0.6, 0.5]))
    assert [r.holds for r in signs.readings] == [False, True, False]
    half = specific("P", [0.5] * 3)
    half["token_selectivity"] = half["token_selectivity"] * 0 + 0.5
    assert judge("13", half).verdict is Verdict.NOT_REPRODUCED
    rare = specific("P", [0.5] * 3)  # under 100 firings specificity is missing, and no error
    rare["firing_count"][:, :, :80], rare["firing_count"][:, :, 80:] = 100, 99
    for name in ("within_sequence_rate", "token_selectivity"):
        rare[name] = rare[name].where(rare["firing_count"] >= 100)
    assert judge("13", rare).readings[0].values["δ within_sequence_rate"] == pytest.approx(50 / 80)


def test_seeds_that_searched_for_the_recipe_are_shown_and_do_not_count() -> None:
    dataset = MAKERS["2"]("P", [False, True, True, True]).assign_attrs(search_seeds="[0]")
    outcome = judge("2", dataset)
    assert (outcome.verdict, outcome.n, len(outcome.readings)) == (Verdict.REPRODUCED, 3, 4)
    assert "0 (search), 1, 2, 3" in repr(claims.table([outcome]))
    few = judge("2", dataset.isel(seed=slice(0, 3)))
    assert few.reason == "2 seeds of 3 that did not search for the recipe"


@pytest.mark.parametrize(("number", "scale"), JUDGED)
@pytest.mark.parametrize("searched", ["holds", "fails", "opposite", "not a number"])
def test_a_search_seed_changes_nothing_of_a_verdict(number: str, scale: str, searched: str) -> None:
    """Whatever it shows: the other seeds are judged as if it were not there, and it stands among the readings."""
    needed = claims.judge.seeds_needed(number, scale)
    for rest in ([True] * needed, [False] * needed, [True] * (needed - 1) + [False]):
        dataset = MAKERS[number](scale, [searched == "holds", *rest]).assign_attrs(search_seeds="[0]")
        if searched == "not a number":
            dataset = dataset.copy(deep=True)
            for name in dataset.data_vars:
                dataset[name] = dataset[name].astype(float)
                dataset[name][{"seed": 0}] = np.nan
        elif searched == "opposite" and number == "13":
            for name in ("within_sequence_rate", "token_selectivity"):
                dataset[name][{"seed": 0}] = -dataset[name][{"seed": 1}] * 9
        alone, beside = judge(number, dataset.isel(seed=slice(1, None))), judge(number, dataset)
        assert (beside.verdict, beside.reason, beside.n) == (alone.verdict, alone.reason, alone.n)
        assert beside.agreement == alone.agreement and beside.readings[1:] == alone.readings
        assert beside.readings[0].seed == 0 and "0 (search)" in repr(claims.table([beside]))


def test_search_seeds_of_the_small_model_are_left_out_of_its_mean() -> None:
    up, down = (10, 20, 30, 40, 50, 60), (60, 50, 40, 30, 20, 10)
    large = made("P", [use(*up)] * 3)
    small = made("L", [use(*down)] * 4 + [use(*up)] * 3, search_seeds="[0, 1, 2, 3]")
    assert judge("14", small, large).verdict is Verdict.NOT_REPRODUCED
    assert judge("14", small.assign_attrs(search_seeds="[]"), large).verdict is Verdict.REPRODUCED


def test_a_cost_below_what_float32_tells_apart_is_no_number() -> None:
    step = 100 * 2.0**-23  # of float32, percent of a loss
    values = judge("12", pruned("P", [(step, -2 * step, 5.0), (0.0, 0.002, 5.0), (-0.09, 0.9, 5.0)])).readings
    shown = [[number(value) for value in each.values.values()] for each in values]
    assert shown == [["< 0.001", "< 0.001", "5"], ["0", "0.002", "5"], ["−0.09", "0.9", "5"]]
    assert all(each.holds for each in values), "the rule is asked of the costs, not of what is shown"


def test_a_dataset_must_be_what_its_scale_says() -> None:
    wide = MAKERS["1"]("P", [True] * 3)
    with pytest.raises(UserError, match="correct the key"):
        claims.evaluate({("layer_patterns", "laptop"): wide})
    with pytest.raises(UserError, match="d_ff = 8192"):
        claims.evaluate({("layer_patterns", "wide"): MAKERS["2"]("S", [True]).assign_attrs(scale="wide")})
    with pytest.raises(UserError, match="layer_patterns is given twice at Wide; judge one recipe at a time"):
        claims.evaluate({("layer_patterns", "wide"): wide, ("layer_patterns", "P"): wide})
    with pytest.raises(UserError, match="'huge' is not known"):
        claims.evaluate({("layer_patterns", "huge"): wide})
    with pytest.raises(UserError, match="repeats a seed"):
        judge("1", wide.assign_coords(seed=[0, 0, 1]))
    with pytest.raises(UserError, match="final_batch_use runs from"):
        judge("1", wide.assign(final_batch_use=wide["final_batch_use"] * 100))
    with pytest.raises(UserError, match="layers"):
        judge("1", wide.assign_coords(layer=[5, 4, 3, 2, 1, 0]))
    with pytest.raises(UserError, match="does not increase"):
        judge("6", row_6("L", [True] * 3).isel(step=[0, 1, 1, 2, 100]))
    with pytest.raises(UserError, match="dims"):
        judge("1", wide.isel(set=0, drop=True))
    with pytest.raises(UserError, match="large_sample_tokens"):
        dataset = row_9("P", [True] * 3)
        del dataset.attrs["large_sample_tokens"]
        judge("9", dataset)
    with pytest.raises(UserError, match=r"no share 0\.5"):
        judge("12", MAKERS["12"]("P", [True] * 3).assign_coords(share=[0.25, 0.4]))


def test_without_any_dataset_nothing_is_decided() -> None:
    outcomes = claims.evaluate({})
    assert {(o.row.number, o.scale) for o in outcomes} == {(r.number, s) for r in claims.LEDGER for s in r.scales}
    for outcome in outcomes:
        unbuilt, laptop = outcome.row.number in ("10", "11"), outcome.scale == "L"
        assert outcome.verdict is (Verdict.NOT_YET_TESTED if unbuilt or laptop else Verdict.NOT_TESTABLE)
        assert (outcome.reason == "") is unbuilt


def test_other_scales_and_this_machine_stand_beside_without_a_verdict() -> None:
    laptop, smoke = MAKERS["2"]("L", [True] * 3), MAKERS["2"]("smoke", [False]).isel(set=slice(0, 2))
    outcomes = claims.evaluate(
        {("layer_patterns", "laptop"): laptop}, {("layer_patterns", "smoke"): smoke}, rows=(row("2"),)
    )
    assert [(o.scale, o.verdict, o.here) for o in outcomes] == [
        ("P", Verdict.NOT_TESTABLE, False),
        ("S", Verdict.NOT_TESTABLE, False),
        ("L", None, False),
        ("smoke", None, True),
    ]
    text = repr(claims.table(outcomes))
    assert "Laptop, not judged here: U_5 (%): 90.1, 90.1, 90.1; seeds 0, 1, 2" in text
    assert "this machine, Smoke: batch use is over 2 sets of 8,192 tokens" in text
    assert "U_5 (%): 89.9; seed 0" in text
    large = made("P", [use(60, 50, 40, 30, 20, 10)] * 3)
    own = claims.evaluate(
        {("layer_patterns", "wide"): large}, {("layer_patterns", "laptop"): laptop}, rows=(row("14"),)
    )
    assert [(o.verdict, o.here) for o in own] == [(Verdict.NOT_TESTABLE, False), (None, True)]
    assert own[1].readings[0].holds


def test_the_table_says_everything_in_text_html_and_markdown() -> None:
    recorded = {("layer_patterns", "wide"): MAKERS["2"]("P", [True, False, True])}
    outcomes = claims.evaluate(recorded, rows=(row("2"),))
    shown = claims.table(outcomes)
    assert repr(shown) == repr(claims.table(claims.evaluate(recorded, rows=(row("2"),))))
    html = shown._repr_html_()
    for text in (repr(shown), html, shown.markdown()):
        assert "95.6 %" in text and "inconclusive" in text
    assert "mean open" in repr(shown) and "mean open" in html and "90 (89.9 to 90.1)" in html
    assert shown.markdown().splitlines()[0] == "| # | claim | W&A | Wide |"
    waiting = claims.table([*outcomes, *claims.evaluate({}, rows=(row("10"),))])
    assert waiting.markdown().splitlines()[-1].endswith("| – |"), "row 10 is not about Wide"
    for text in (repr(shown), html):
        for part in ("90.1, 89.9, 90.1", "holds in 2 of 3 seeds", "n = 3", "numerical agreement in 0 of 3 seeds"):
            assert part in text
    assert claims.ledger_hash() in repr(shown) and claims.ledger_hash() in html
    assert "lr 0.0006 cosine" in repr(shown) and "lr 0.0006 cosine" in html
    assert "&lt; 30" in claims.table(claims.evaluate({}, rows=(row("1"),)))._repr_html_()


def test_the_fold_of_the_ledgers_page_names_machine_commit_and_text() -> None:
    dataset = MAKERS["2"]("P", [True] * 3)
    facts = json.loads(dataset.attrs["provenance"])
    facts["environment"] = {"device": "cuda:0 (NVIDIA H200, 16 cores)", "commit": "0123456789abcdef0123+changes"}
    facts["corpus"] = {"checksum": "fedcba9876543210fedc"}
    known = {("layer_patterns", "wide"): dataset.assign_attrs(provenance=json.dumps(facts))}
    outcomes = claims.evaluate(known, rows=(row("2"), row("1")))
    said = "recorded on cuda:0 (NVIDIA H200, 16 cores), commit 0123456789ab+changes, text sha256 fedcba987654"
    assert claims.table(outcomes, origins=True)._repr_html_().count(said) == 2
    assert said not in claims.table(outcomes)._repr_html_(), "a chapter's own table stays short"
    silent = claims.evaluate({("layer_patterns", "wide"): dataset}, rows=(row("2"),))
    assert "recorded on" not in claims.table(silent, origins=True)._repr_html_()


def test_verdicts_of_several_recipes_stand_side_by_side() -> None:
    holds = claims.evaluate({("layer_patterns", "wide"): MAKERS["1"]("P", [True] * 3)}, rows=(row("1"), row("12")))
    mixed = claims.evaluate({("layer_patterns", "wide"): MAKERS["1"]("P", [True, False, True])}, rows=(row("1"),))
    table = claims.verdicts({"a": holds, "b": mixed}, "P")
    assert table.loc["1"].tolist() == [
        row("1").claim,
        "reproduced",
        "inconclusive (holds in 2 of 3 seeds)",
    ]
    assert "no run recorded" in table.loc["12", "a"]
    assert claims.verdicts({"a": holds}, "S").index.tolist() == ["12"]
    beside = claims.evaluate({("layer_patterns", "laptop"): MAKERS["1"]("L", [True] * 3)}, rows=(row("1"),))
    assert claims.verdicts({"a": beside}, "L").empty


def test_the_ledger_is_as_it_was_written() -> None:
    assert [r.number for r in claims.LEDGER] == [*"123", "3b", *"456789", "10", "11", "12", "13", "14"]
    assert {(r.date, r.version) for r in claims.LEDGER} == {("2026-11-21", 1)}
    assert set(claims.judge.RULES) == {r.number for r in claims.LEDGER} - {"10", "11"}, (
        "their experiment does not exist"
    )
    # A changed rule must not pass unseen: add a dated row instead of editing one.
    assert claims.ledger_hash() == "f508558511edf6567380545941736884209f4f0aa843686059b342e33a16f474"


def test_version_2_adds_rows_and_changes_none() -> None:
    numbers = [row.number for row in claims.ADDED]
    assert len(numbers) == len(set(numbers)) == 35 and not set(numbers) & {row.number for row in claims.LEDGER}
    assert {(row.date, row.version) for row in claims.ADDED} == {("2026-11-28", 2)}
    assert {"7b", "12b", "14b"} == claims.DATA_SEEN
    assert {claims.source_class(row.number) for row in claims.LEDGER} > {"abstract", "summary", "ours"}
    assert "" not in {claims.source_class(row.number) for row in claims.LEDGER}
    assert claims.ledger_hash(2) == "b7cce201412c596e93635e549e8dbcfaa2b15996ee59f35c966c364f24670b06"
    with pytest.raises(UserError, match="no version 3"):
        claims.ledger_hash(3)
    waiting = claims.evaluate({}, rows=claims.ADDED)
    assert {outcome.verdict for outcome in waiting} == {Verdict.NOT_YET_TESTED}
    assert not any(outcome.reason for outcome in waiting)


@pytest.mark.parametrize("number", sorted(MAKERS))
def test_margins_say_what_the_rule_says(number: str) -> None:
    """Where every margin is on the holding side the rule holds, and elsewhere it does not; a word has no margin."""
    scale = row(number).scales[0]
    if " + " in scale:
        return
    for each in judge(number, MAKERS[number](scale, [True, False, True])).readings:
        assert each.holds is not None
        assert not each.margins or (min(each.margins) >= -1e-9) is each.holds


def test_the_intervals_word_is_students() -> None:
    near = made("P", [use(60, 50, 40, 30, 20, 91 + step) for step in (0, 0.5, 1)])
    wide = made("P", [use(60, 50, 40, 30, 20, u) for u in (91, 99, 80)])
    words = [claims.evaluate({("layer_patterns", "wide"): data}, rows=(row("2"),))[0].interval for data in (near, wide)]
    assert words == ["holds", "open"]
    assert judge("2", made("P", [use(60, 50, 40, 30, 20, 80)] * 3)).readings[0].margins == pytest.approx((-10,))


def test_a_row_is_counted_over_all_runs_of_a_width_each_once() -> None:
    def runs(scale: str, ends: list[float], ids: list[str], **changed: Any) -> xr.Dataset:
        dataset = made(scale, [use(60, 50, 40, 30, 20, end) for end in ends])
        facts = json.loads(dataset.attrs["provenance"])
        return dataset.assign_attrs(provenance=json.dumps(facts | {"runs": ids} | changed))

    treated = {"config": {"model": SHAPES["P"], "measure": {"set_tokens": 8192}, "intervention": {"kind": "centre"}}}
    datasets = [
        runs("P", [95, 80], ["a", "b"]),
        runs("P", [95, 99], ["a", "c"]),  # the run a again
        runs("P", [99], ["d"], **treated),
        runs("S", [10], ["e"]),
        runs("L", [99], ["f"]),
        xr.Dataset({"loss": ("seed", [1.0])}),
    ]
    found = claims.multiverse(datasets, rows=(row("2"), row("12"), row("14")))
    assert found == {("2", "P"): claims.Count(2, 3), ("2", "S"): claims.Count(0, 1)}
    text = repr(claims.table(claims.evaluate({("layer_patterns", "wide"): datasets[0]}, rows=(row("2"),)), found))
    assert "holds in 2 of 3 recorded runs of Wide's width" in text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda data: data.isel(seed=[0]), r"holds 2 runs \(recipes × seeds\) and its provenance names 4: every run"),
        (lambda data: data.isel(seed=[]), "holds 0 runs"),
        (lambda data: data.sel(recipe=["one"]), "holds 2 runs"),
        (lambda data: data.isel(recipe=0), "holds 2 runs"),
        (lambda data: data.isel(seed=[0, 0]), "repeats a seed"),
        (lambda data: data.drop_vars("seed"), "no coordinate 'seed'"),
        (lambda data: data.drop_attrs(), "does not say how it was made: provenance"),
        (lambda data: data.assign_attrs(provenance="x"), "does not say how it was made"),
        (lambda data: data.assign_attrs(provenance=3), "does not say how it was made"),
        (lambda data: data.assign_attrs(provenance="[]"), "provenance is .*: expected a table"),
        (lambda data: data.assign_attrs(provenance="{}"), "names 0"),
        (lambda data: data.assign_attrs(provenance='{"runs": [["a", "b"], ["c", "d"]]}'), "has no config"),
        (lambda data: data.isel(set=0), "final_batch_use has dims"),
    ],
)
def test_runs_that_cannot_be_named_are_not_counted(change: Callable[[xr.Dataset], xr.Dataset], says: str) -> None:
    parts = [made("P", [use(60, 50, 40, 30, 20, end) for end in ends]) for ends in ((95, 80), (99, 91))]
    whole = xr.concat(parts, xr.DataArray(["one", "two"], dims="recipe"), combine_attrs="override")
    facts = json.loads(whole.attrs["provenance"]) | {"runs": [["a", "b"], ["c", "d"]]}
    whole = whole.assign_attrs(provenance=json.dumps(facts))
    assert claims.multiverse([whole], rows=(row("2"),)) == {("2", "P"): claims.Count(3, 4)}
    assert claims.multiverse([whole.isel(seed=0)], rows=(row("2"),)) == {}, "no dimension of seeds: passed over"
    assert claims.multiverse([whole.isel(layer=slice(4))], rows=(row("2"),)) == {}, "the rule cannot read four layers"
    for count in (claims.multiverse, lambda datasets: claims.ends(datasets, "P")):
        with pytest.raises(UserError, match=says):
            count([change(whole)])


def test_the_strip_has_a_chip_for_every_verdict_of_a_recipe() -> None:
    outcomes = claims.evaluate({("layer_patterns", "wide"): MAKERS["2"]("P", [True, False, True])}, rows=(row("2"),))
    html = claims.strip(outcomes)
    assert html.count('class="group"') == 1 and 'href="ledger.html#row-2"' in html
    assert "the last layer survives: inconclusive" in html and 'class="chip inconclusive"' in html
    assert 'id="row-2"' in claims.table(outcomes)._repr_html_()


def test_the_style_sheet_turns_every_group_of_the_front_pages_strip(root: Path) -> None:
    groups = re.findall(r'data-group="(\d+)"', (root / "book/index.md").read_text())
    style = (root / "src/relusparsity/book/static/book.css").read_text()
    turned = re.findall(r'\.verdict-strip:has\(input\[value="(\d+)"\]:checked\)', style)
    assert len(groups) > 1 and set(groups) <= set(turned)


def test_every_row_closes_a_chapter() -> None:
    shown = {r.number for chapter in range(1, 7) for r in claims.for_chapter(chapter)}
    assert shown == {r.number for r in claims.LEDGER}
    assert [r.number for r in claims.for_chapter(7)] == ["15"]
    with pytest.raises(UserError, match="chapter 8"):
        claims.for_chapter(8)


def test_scale_names_and_seeds_needed() -> None:
    assert [reading.scale_name(s) for s in ("wide", "mid", "laptop", "smoke")] == ["P", "S", "L", "smoke"]
    assert [reading.scale_name(s) for s in renamed.WORDS] == ["S", "P", "P"], "words of recorded files"
    assert claims.judge.seeds_needed("12", "P") == 3
    assert claims.judge.seeds_needed("12", "S") == 5
    assert claims.judge.seeds_needed("6", "L") == 3


def test_a_chapters_own_rows_are_judged_by_its_rules_and_leave_the_ledger_as_it_is() -> None:
    own = claims.Claim("24.1", "every layer is full", "(ours)", "U ≥ 95", ("L", "smoke"), date="2026-12-01")
    later = dataclasses.replace(own, number="24.2", date="2026-12-02")

    def full(dataset: xr.Dataset) -> claims.Finding:
        lowest = 100 * dataset["final_batch_use"].mean("set").min("layer").values
        return claims.Finding(
            tuple(claims.Reading(seed, low >= 95, {"U": float(low)}) for seed, low in enumerate(lowest))
        )

    rules = {"24.1": claims.Rule("fullness", full)}
    laptop = made("L", [use(*[96.0] * 6) for _ in range(3)])
    given = {("fullness", "laptop"): laptop, ("layer_patterns", "laptop"): laptop}
    outcomes = claims.evaluate(given, rows=(own, later), rules=rules)
    assert [(outcome.row.number, outcome.scale, outcome.verdict) for outcome in outcomes] == [
        ("24.1", "L", Verdict.REPRODUCED),
        ("24.1", "smoke", Verdict.NOT_TESTABLE),  # never recorded
        ("24.2", "L", Verdict.NOT_YET_TESTED),  # without a rule
        ("24.2", "smoke", Verdict.NOT_YET_TESTED),
    ]
    assert claims.evaluate({}, given, (own,), rules)[-1].here
    first = repr(claims.table(outcomes)).splitlines()[0]
    assert first == f"Rows of a chapter's own, of 2026-12-01, 2026-12-02, sha256 {ledger.rows_hash((own, later))}"
    assert ledger.rows_hash((own,)) != ledger.rows_hash((dataclasses.replace(own, rule="U ≥ 90"),))
    both = repr(claims.table([*claims.evaluate(given, rows=(row("1"),)), *outcomes])).splitlines()[0]
    assert both == f"Claims ledger, version 1 of 2026-11-21, sha256 {claims.ledger_hash()}. {first}"

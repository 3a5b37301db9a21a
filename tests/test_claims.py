"""Each rule of the ledger on made-up data that must come out each way."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from claims_made import (
    FLAT,
    JUDGED,
    MAKERS,
    PART,
    curves,
    judge,
    layers,
    made,
    pruned,
    row,
    row_6,
    row_7,
    row_8,
    row_9,
    specific,
    use,
)
from relusparsity import UserError, claims
from relusparsity.claims import Verdict


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
    assert coarse.verdict is Verdict.NOT_TESTABLE and coarse.reason.startswith("seeds 0, 1, 2: steps are too far apart")
    assert coarse.reason.count("seed") == 1, "a reason of several seeds is said once"
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

"""What is judged of the ledger, and what is shown beside: seeds, shapes, tables."""

import json

import numpy as np
import pytest

from claims_made import JUDGED, MAKERS, judge, made, pruned, row, row_6, row_9, use
from relusparsity import UserError, claims
from relusparsity.claims import Verdict
from relusparsity.claims.table import number


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
    assert "Laptop, not judged here: batch use of layer 5 (%): 90.1, 90.1, 90.1; seeds 0, 1, 2" in text
    assert "this machine, Smoke: batch use is over 2 sets of 8,192 tokens" in text
    assert "batch use of layer 5 (%): 89.9; seed 0" in text
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

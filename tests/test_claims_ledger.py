"""The ledger's own words, its counts over all runs, its strip, and rows that a chapter adds."""

import dataclasses
import json
import re
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

from claims_made import MAKERS, SHAPES, judge, made, row, use
from relusparsity import UserError, claims
from relusparsity.claims import Verdict, ledger, reading
from relusparsity.store import renamed


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
    assert claims.multiverse([whole.expand_dims(arm=2)], rows=(row("2"),)) == {}, "forks: passed over"
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
    what, first = repr(claims.table(outcomes)).splitlines()[0].split(". ", 1)
    assert what == "Each claim, what our runs show, and the word that its rule gives", "no hash where readers begin"
    assert f"<caption>{what}. <small>{escape(first)}</small>" in claims.table(outcomes)._repr_html_()
    assert first == f"Rows of a chapter's own, of 2026-12-01, 2026-12-02, sha256 {ledger.rows_hash((own, later))}"
    assert ledger.rows_hash((own,)) != ledger.rows_hash((dataclasses.replace(own, rule="U ≥ 90"),))
    both = repr(claims.table([*claims.evaluate(given, rows=(row("1"),)), *outcomes])).splitlines()[0]
    assert both == f"{what}. Claims ledger, version 1 of 2026-11-21, sha256 {claims.ledger_hash()}. {first}"

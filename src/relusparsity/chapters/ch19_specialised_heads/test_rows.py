"""Row 44 holds and fails by each of its parts, and says what keeps it from being judged."""

import json
from typing import Any

import numpy as np
import pytest
import xarray as xr

from relusparsity import claims
from relusparsity.claims.reading import NotTestable

from . import rows

LAYERS, HEADS = 5, 10  # 2 % of 50 heads is one


def real(top: float = 60.0, drawn: float = 5.0, saved: float = 2.0, draws: int = rows.DRAWS) -> xr.Dataset:
    """The top removes so many percent of the gain, every draw so many; on random tokens and by zero nothing."""
    scores = np.full((LAYERS, HEADS), 0.1)
    scores[3, 4] = 0.9
    gone = np.zeros((2 + draws, LAYERS, HEADS), dtype=bool)
    gone[1, 3, 4] = True
    gone[np.arange(2, 2 + draws), 3, np.arange(draws) % 4] = True
    second = np.zeros((2 + draws, 2, 2))
    second[0], second[1, 0, 0] = 4 - saved, 4 - saved * (1 - top / 100)
    second[1, 1], second[1, 0, 1] = 4 - saved, 4 - saved
    second[2:] = 4 - saved * (1 - drawn / 100)
    dims = ("evaluation", "way", "text")
    return xr.Dataset(
        {
            "repeat_first_loss": (dims, np.full_like(second, 4.0)),
            "repeat_second_loss": (dims, second),
            "ablated": (("evaluation", "layer", "head"), gone),
            "prefix_matching": (("weights", "draw", "layer", "head"), np.stack([[scores] * 2, [scores * 0] * 2])),
        },
        {
            "evaluation": [rows.NONE, rows.TOP, *rows.DRAWN[:draws]],
            "way": [rows.MEAN, rows.ZERO],
            "text": [rows.ENGLISH, rows.RANDOM_TOKENS],
            "weights": [rows.TRAINED, "random"],
            "seed": [0],
        },
        {"scale": "laptop", "provenance": json.dumps({"config": {}})},
    )


def birth(highest: float = 0.05) -> xr.Dataset:
    scores = np.full((2, 3, 4, 2, 4), 0.02)
    scores[0, 1, 2, 0, 3] = highest  # of a step before the last
    scores[0, :, :, 1] = np.nan  # a layer that the arm does not have
    scores[1, :, -1, 1, 1] = 0.8
    return xr.Dataset(
        {"prefix_matching": (("arm", "seed", "step", "layer", "head"), scores)},
        {"arm": [rows.ONE_LAYER, "two layers"], "seed": [0, 1, 2]},
        {"scale": "laptop", "provenance": json.dumps({"config": {}})},
    )


def judged(**datasets: xr.Dataset) -> dict[str, claims.Outcome]:
    """Outcome of each of the row's scales."""
    row = tuple(each for each in claims.ADDED if each.number == "44")
    given = {(name, "laptop"): dataset for name, dataset in datasets.items()}
    return {outcome.scale: outcome for outcome in claims.evaluate(given, rows=row, rules=rows.RULES)}


@pytest.mark.parametrize(
    ("given", "highest", "holds"),
    [
        ({}, 0.05, True),
        ({"top": 50.0, "drawn": 10.0}, 0.0999, True),
        ({"top": 49.9}, 0.05, False),
        ({"drawn": 10.1}, 0.05, False),
        ({}, 0.1, False),
    ],
)
def test_it_holds_where_all_of_its_parts_do(given: dict[str, Any], highest: float, holds: bool) -> None:
    (reading,) = rows.specialised(birth(highest), real(**given)).readings
    assert reading.holds is holds and (min(reading.margins) >= -1e-9) is (holds or highest == 0.1)
    assert reading.values["removed by the top 2 % (% of the gain)"] == pytest.approx(given.get("top", 60))
    outcome = judged(real_heads=real(**given), **{rows.BIRTH: birth(highest)})
    assert outcome["real"].verdict == (claims.Verdict.REPRODUCED if holds else claims.Verdict.NOT_REPRODUCED)
    assert outcome["own"].verdict == claims.Verdict.NOT_YET_TESTED


def test_the_mean_of_the_draws_decides_and_the_largest_is_shown() -> None:
    dataset = real(drawn=5.0)
    dataset["repeat_second_loss"].loc[{"evaluation": "random 7"}] = 4 - 2 * 0.6
    (reading,) = rows.specialised(birth(), dataset).readings
    assert reading.holds and reading.values["by random heads, largest (%)"] == pytest.approx(40)
    assert reading.values["by random heads, mean (%)"] == pytest.approx((19 * 5 + 40) / 20)


def test_without_the_model_of_one_layer_it_is_not_yet_tested() -> None:
    assert judged(real_heads=real())["real"].verdict == claims.Verdict.NOT_YET_TESTED
    stopped = birth()
    stopped["prefix_matching"][0, 2, 3] = np.nan
    outcome = judged(real_heads=real(), **{rows.BIRTH: stopped})["real"]
    assert outcome.verdict == claims.Verdict.NOT_YET_TESTED and "to come" in outcome.reason


def test_what_keeps_it_from_being_judged() -> None:
    with pytest.raises(NotTestable, match="gains nothing"):
        rows.specialised(birth(), real(saved=0.0))
    assert "19 random draws" in rows.specialised(birth(), real(draws=19)).limits[0]
    other = real()
    other["ablated"].loc[{"evaluation": rows.TOP}] = False
    other["ablated"].loc[{"evaluation": rows.TOP}][0, 0] = True
    other["ablated"].loc[{"evaluation": "random 3"}][3, 4] = True
    assert len(rows.specialised(birth(), other).limits) == 2
    with_limits = judged(real_heads=other, **{rows.BIRTH: birth()})["real"]
    assert with_limits.verdict == claims.Verdict.NOT_TESTABLE


def test_the_top_is_two_percent_of_the_heads_by_their_mean_over_draws() -> None:
    scores = np.linspace(0, 1, 270).reshape(30, 9)
    assert np.flatnonzero(rows.top(scores)).tolist() == [265, 266, 267, 268, 269]

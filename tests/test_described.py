"""A chart in words: every number is one that is drawn, what is not drawn is not said."""

import re

import numpy as np
import pytest

from relusparsity.plots.chart import Axis, Chart, Mark, Panel
from relusparsity.plots.described import described

NAN = float("nan")
LAYERS = Axis("layer", ticks=([0.0, 1.0], ["0", "1"]))
SHARE = Axis("use, %")


def said(*marks: Mark, x: Axis = LAYERS, y: Axis = SHARE) -> str:
    return described(Chart([Panel("batch use,\n% of units", x, y, list(marks))]))


def test_bars_are_named_by_their_ticks_and_a_missing_one_is_said():
    bars = Mark("bars", [0, 1], [12.34, NAN], "#000", hover="…")
    assert said(bars) == "batch use, % of units, by layer: bars 0: 12.3, 1: missing."


def test_bars_by_name_and_many_bars():
    words = Mark("bars", ["rate", "random"], [1, -2.5], "#000", hover="…")
    assert said(words, x=Axis(words=True)) == "batch use, % of units: bars rate: 1, random: −2.5."
    many = Mark("bars", np.arange(20), np.arange(20.0), "#000", hover="…")
    assert "20 bars, 0 to 19." in said(many)


def test_a_curve_goes_from_its_first_to_its_last_value():
    curve = Mark("line", [1, 2, 3, 4], [NAN, 99.5, 50, 11.6], "#000", group="layer 0", hover="…")
    empty = Mark("line", [1, 2], [NAN, NAN], "#000", legend="random", hover="…", dash="dot")
    assert said(curve, empty).endswith("by layer: layer 0 from 99.5 to 11.6; random (dot) has no value.")


def test_marks_without_a_hover_text_repeat_others_and_are_left_out():
    seeds = Mark("line", [1, 2], [7, 8], "#000", width=0.8)
    assert said(seeds).endswith("by layer: nothing is drawn.")


def test_points_are_counted_together_and_read_along_the_axis_of_values():
    points = [Mark("points", [5, 6], [1, 2], "#000", hover="…"), Mark("points", [9], [3], "#000", hover="…")]
    assert said(*points).endswith("3 points, 1 to 3.")
    assert said(*points, y=Axis(ticks=([1.0], ["decay"]), names=True)).endswith("3 points, 5 to 9.")
    assert said(points[1]).endswith("1 point, 3 to 3.")


def test_cells_and_tokens():
    cells = Mark("cells", ["a", "b"], ["c"], "#000", hover="…", z=np.array([[1.0, 5.0]]))
    assert said(cells).endswith("1 by 2 cells, 1 to 5.")
    counts = Mark("line", [1, 2], [1e6, 2_500_000], "#000", hover="…")
    assert said(counts, y=Axis(tokens=True)).endswith("curve from 1M to 2.5M.")


@pytest.mark.parametrize(("panels", "more"), [(3, ""), (4, " 1 more panel."), (16, " 13 more panels.")])
def test_many_panels_are_counted(panels, more):
    each = [Panel(f"recipe {i}", Axis(), Axis(), []) for i in range(panels)]
    words = described(Chart(each))
    assert words.endswith("recipe 2: nothing is drawn." + more) and len(re.findall("recipe", words)) == 3

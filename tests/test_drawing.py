"""Drawings: what moves is drawn as Matplotlib draws it, colours are variables, and bytes are equal on every machine."""

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from bs4 import BeautifulSoup

from relusparsity.plots import drawing, moves, names, page, palette
from relusparsity.plots.chart import Axis, Chart, Control, Mark, Panel, State
from relusparsity.plots.written import MIME, from_json, to_json

X = [1.0, 2.0, 3.0, 4.0]
LOG = Axis("tokens", log=True, tokens=True, limits=(0.9, 4.5))


def chart(active: int = 0) -> Chart:
    """Every kind of mark, each in three states; `active` is drawn first, and marks have its numbers."""
    kinds = {
        "bars": Mark("bars", X, [1.0, 2, 3, 4], ["layer-0", "layer-8", "layer-12", "layer-20"], hover="{y}"),
        "ring": Mark("points", X, [1.0, 2, 3, 4], "ink", symbol="ring"),
        "circle": Mark("points", X, [2.0, 3, 4, 1], "layer-4", hover="{x}: {y}"),
        "open": Mark("points", X, [2.5, 3, 4, 1], "accent", symbol="open"),
        "line": Mark("line", X, [1.0, np.nan, 2, 3], "layer-12", "one", "one", hover="{y}"),
        "band": Mark("band", X, [4.0, 3, 4, 3], "layer-16", low=[1.0, 1, np.nan, 2], opacity=0.3),
    }
    cells = Mark("cells", ["a", "b"], ["c"], "accent", hover="{z}", z=np.array([[1.0, 2.0]]))
    panels = [
        Panel("bars", Axis("layer"), Axis(limits=(0, 6)), [kinds["bars"], kinds["ring"]]),
        Panel("curves", LOG, Axis(limits=(0, 6)), [kinds[k] for k in ("band", "line", "circle", "open")], 2.0, row=1),
        Panel("cells", Axis(words=True), Axis(words=True), [cells], row=2),
    ]
    states = []
    for k in range(3):
        new = {mark: {"y": [v + k for v in mark.y]} for mark in kinds.values()}
        new[kinds["band"]] |= {"low": [v + k / 2 for v in kinds["band"].low]}
        new[cells] = {"z": np.array([[1.0 + k, 2.0]])}
        states.append(State(f"state {k}", new, {panels[1]: 2.0 + k / 2}, {panels[0]: f"bars & more, {k}"}))
    for mark, new in states[active].marks.items():
        for name, value in new.items():
            setattr(mark, name, value)
    panels[1].cursor, panels[0].title = states[active].cursors[panels[1]], states[active].titles[panels[0]]
    return Chart(panels, [100, 100, 60], control=Control("slider", "state", states, active), legend="line")


def moved(drawn: dict, state: int) -> ElementTree.Element:
    """What the page's script does: sets the attributes of a state."""
    tree = ElementTree.fromstring(drawn["svg"])
    parts = {e.get("data-part"): list(e.iter()) for e in tree.iter() if e.get("data-part")}
    for alike, value in zip(drawn["targets"], drawn["moves"][state], strict=True):
        for part, n, attribute in alike if value is not None else []:
            element = parts[part][n]
            if attribute == "text":
                element.text = value
            else:
                element.set(attribute, value)
    return tree


@pytest.mark.parametrize("state", [1, 2])
@pytest.mark.parametrize("size", drawing.WIDTHS)
def test_a_moved_drawing_is_matplotlibs_own_drawing_of_that_state(state, size):
    ours, theirs = (moves.figure(chart(first))["drawings"][size] for first in (0, state))
    wanted = ElementTree.tostring(ElementTree.fromstring(theirs["svg"]))
    assert ElementTree.tostring(moved(ours, state)) == wanted != ElementTree.tostring(moved(ours, 0))
    assert ElementTree.tostring(moved(ours, 0)) == ElementTree.tostring(ElementTree.fromstring(ours["svg"]))


def test_two_drawings_have_equal_bytes():
    written = to_json(chart())
    assert moves.figure(from_json(written)) == moves.figure(from_json(written))
    assert drawing.png(chart()) == drawing.png(chart())


def test_no_colour_but_the_variables_and_each_has_two_values():
    for drawn in moves.figure(chart())["drawings"].values():
        assert not re.search("#[0-9a-f]{3,6}", drawn["svg"])
        assert not re.findall("(?:fill|stroke):(?!none|var)[a-z]", drawn["svg"])
        used = set(re.findall(r"var\(--figure-([\w-]+)\)", drawn["svg"]))
        assert {"ink", "grid", "accent", "ground", "layer-0", "layer-12", "layer-20"} <= used <= set(palette.DARK)
    rules = palette.css()
    for colours in (palette.LIGHT, palette.DARK):
        assert all(f"--figure-{name}:{colour};" in rules for name, colour in colours.items())
    assert len(palette.NAMES) == len(palette.LIGHT), "two names of one colour could not be told apart"


def test_a_slider_lies_along_the_axis_of_its_cursor():
    stops = moves.figure(chart())["drawings"]["wide"]["stops"]
    low, high = np.log(LOG.limits)
    np.testing.assert_allclose(stops, (np.log([2.0, 2.5, 3.0]) - low) / (high - low), atol=1e-3)


def test_panels_that_change_places_go_where_the_others_were():
    axes, lines = (
        (Axis("x", limits=(0, 5)), Axis(limits=(0, 9))),
        [Mark("line", X, [k, 2, 3, 4], "ink") for k in range(4)],
    )
    panels = [Panel(f"panel {k}", *axes, [line], None, k // 2, k % 2) for k, line in enumerate(lines)]
    order = State("back", {}, places={panel: divmod(3 - k, 2) for k, panel in enumerate(panels)})
    there = State("there", {}, places={panel: divmod(k, 2) for k, panel in enumerate(panels)})
    both = Chart(panels, [80, 80], 2, Control("choice", "sort", [there, order], 0), share_y=True)
    drawn = moves.figure(both)["drawings"]["narrow"]
    shift = {part: value for ((part, _, _),), value in zip(drawn["targets"], drawn["moves"][1], strict=True)}
    assert set(shift) == {"p0", "p1", "p2", "p3"} and set(drawn["moves"][0]) == {None}
    for k in range(4):
        dx, dy = (float(v) for v in re.findall(r"-?[\d.]+", shift[f"p{k}"]))
        here, aim = drawn["boxes"][k], drawn["boxes"][3 - k]
        np.testing.assert_allclose([here["x"][0] + dx, here["y"][0] + dy], [aim["x"][0], aim["y"][0]], atol=0.15)


def test_names_stand_at_the_ends_of_lines_or_above_where_they_have_no_room():
    def named(ends: list[float]) -> str:
        lines = [Mark("line", X, [1, 2, 3, end], "ink", str(k), str(k), hover="{y}") for k, end in enumerate(ends)]
        panel = Panel("p", Axis("x", limits=(0.9, 4.1)), Axis(limits=(0, 6)), lines)
        return moves.figure(Chart([panel], legend="layer"))["drawings"]["wide"]["svg"]

    heights = [float(y) for y in re.findall(r'y="([\d.]+)">layer \d<', named([3.0, 3.01, 3.02]))]
    assert len(heights) == 3 and np.abs(np.diff(sorted(heights))).min() > 9, "no two lie on each other"
    beyond = named([3.0, 9.0])
    assert "layer 1<" not in beyond and ">layer<" in beyond, "a line that leaves the panel has its name in the legend"


def test_no_recorded_figure_says_the_name_of_its_legend_twice(root: Path) -> None:
    charts = []
    for notebook in sorted((root / "book" / "chapters").glob("*.ipynb")):
        outputs = (out for cell in json.loads(notebook.read_text())["cells"] for out in cell.get("outputs", ()))
        charts += [from_json(out["data"][MIME]) for out in outputs if MIME in out.get("data", {})]
    named = [(each.legend, mark.legend) for each in charts for panel in each.panels for mark in panel.marks]
    assert len(charts) > 50 and [pair for pair in named if all(pair) and pair[1].startswith(pair[0])] == []


def test_the_legend_shows_the_circles_that_it_names():
    marks = [Mark("points", X, [1.0, 2, 3, k], "ink", name, symbol=name) for k, name in enumerate(("circle", "open"))]
    drawn = moves.figure(Chart([Panel("p", Axis("x"), Axis(limits=(0, 6)), marks)]))["drawings"]["wide"]["svg"]
    shapes = set(re.findall(r'<path id="([^"]+)"', drawn))
    assert len(used := re.findall('href="#([^"]+)"', drawn)) >= 2 and set(used) <= shapes


def test_forms_are_form_elements_and_wait_for_the_script():
    slider = page.form(chart(), "f")
    assert (
        '<form class="figure-controls" hidden>' in slider
        and 'type="range" aria-label="state" min="0" max="2" value="0"' in slider
    )
    choice = replace(chart().control, kind="choice", active=2)
    radios = page.form(replace(chart(), control=choice), "f")
    assert radios.count('type="radio"') == 3 and radios.count(" checked") == 1 and "<legend>state</legend>" in radios
    many = replace(choice, states=choice.states * 3)
    assert page.form(replace(chart(), control=many), "f").count("<option") == 9
    assert page.form(Chart([]), "f") == ""


def test_a_choice_of_several_things_has_a_question_for_each():
    questions = {"Model & k": ["a", "b"], "Noise": [str(n) for n in range(7)], "By": ["one", "two", "three"]}
    states = chart().control.states[:1] * 42
    control = replace(chart().control, kind="choice", states=states, active=21 + 3 * 4 + 2, questions=questions)
    asked = BeautifulSoup(page.form(replace(chart(), control=control), "f"), "html.parser")
    radios = {group["name"]: int(group["value"]) for group in asked.select("input[checked]")}
    assert radios == {"f-0": 1, "f-2": 2} and asked.select_one("option[selected]").text == "4"
    assert [each.text for each in asked.select("legend")] == ["Model & k", "By"]
    assert len(asked.select("input")) == 5 and len(asked.select("option")) == 7
    told = json.loads(json.dumps(to_json(replace(chart(), control=replace(control, states=[])))))
    assert from_json(told).control.questions == questions and "questions" not in to_json(chart())["control"]


def test_a_script_cannot_end_the_page_it_stands_in():
    assert "</script" not in page.script("a", {"words": "</script>"})


def test_an_axis_whose_ticks_have_no_words_is_drawn():
    bars = Mark("bars", [0.0, 1.0], [1.0, 2.0], ["layer-0", "layer-8"])
    without = Chart([Panel("use", Axis("step", ticks=([0.0, 1.0], ["", ""])), Axis(), [bars])])
    assert all("<svg" in each["svg"] for each in moves.figure(without)["drawings"].values())


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_the_word_of_a_point_stands_clear_of_the_dots_about_it(seed: int, small: bool) -> None:
    dots = np.random.default_rng(seed).uniform(0, 40, 12)
    source = Mark("points", [0], [13.3], "ink", words=["W&A 13.3 %"])
    others = [Mark("points", [0.1] * 12, dots, "ink"), Mark("points", [3.0], [14.0], "ink")]
    panel = Panel("use, %", Axis(), Axis(limits=(0.0, 104.0)), [source, *others])
    chart = Chart([panel], heights=(230,))
    up = names.lift(chart, "m0.0", source, 0, small)
    pixels = (dots - 13.3) * 230 / 104
    assert up >= 4 and not ((pixels > up - 4) & (pixels < up + 14)).any(), "no dot on its letters"
    below = [height + 5 for height in pixels if 4 <= height + 5 < up - 0.01]
    assert all(((pixels > low - 4) & (pixels < low + 14)).any() for low in ([4.0, *below] if up > 4 else [])), (
        "and no higher"
    )
    panel.marks = [source, others[1]]
    assert names.lift(chart, "m0.0", source, 0, small) == 4, "a dot far to the side moves nothing"

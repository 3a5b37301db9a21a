"""Every figure from made-up datasets: what a page expects, what is refused, what is said."""

import importlib
import io
import json
import re

import numpy as np
import pandas as pd
import pytest

from plots_made import DATA, FIGURES, FIGURES_OF, NEEDS, RECORDED, STEPS
from relusparsity import plots
from relusparsity.chapters.ch02_layer_patterns import figures as ch02
from relusparsity.errors import UserError
from relusparsity.plots import layer_patterns
from relusparsity.plots.reading import thinned
from relusparsity.plots.written import MIME, PAGE, from_json, to_json

pytest_plugins = ("plots_made",)  # its fixtures


def test_every_figure_is_tried():
    assert set(FIGURES_OF) == set(FIGURES) == set(NEEDS)
    assert set(plots.__all__) - {"Figure", "on_this_machine"} <= set(FIGURES)


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_what_the_page_expects(drawn, name):
    figure = drawn[name]
    data, about = figure._repr_mimebundle_()
    assert set(data) - {PAGE} == {MIME, "image/png", "text/plain"} and (PAGE in data) == bool(figure.page)
    assert set(about) == {"relusparsity"}
    assert set(about["relusparsity"]) == {"name", "function", "caption", "csv", "alt", "title", "model"}
    module, _, function = figure.function.rpartition(".")
    assert callable(getattr(importlib.import_module(module), function))
    assert figure.png.startswith(b"\x89PNG")
    assert 20 < len(figure.alt) < 900 and figure.alt != figure.caption and not re.search("<[a-z/]", figure.alt)
    text = json.dumps(figure.chart, allow_nan=False, separators=(",", ":"))
    assert len(text) <= 100_000
    assert to_json(from_json(json.loads(text))) == figure.chart, "nothing is lost on the way through a notebook"
    assert figure.title and figure.model and figure.name.startswith(name.replace("_", "-"))
    table = pd.read_csv(io.StringIO(figure.csv), comment="#")
    assert len(table) and not table.isna().all(axis=1).any()


@pytest.mark.parametrize("name", ["batch_use", "specificity", "drift_before_death"])
def test_drawing_twice_gives_equal_bytes(drawn, name):
    again = FIGURES[name]()
    assert json.dumps(again.chart) == json.dumps(drawn[name].chart)
    assert (again.png, again.csv, repr(again)) == (drawn[name].png, drawn[name].csv, repr(drawn[name]))


@pytest.mark.parametrize(("name", "missing"), [(n, m) for n, needed in NEEDS.items() for m in needed])
def test_a_missing_variable_is_named(name, missing):
    with pytest.raises(UserError, match=rf"^{name} needs .*'{missing}'"):
        FIGURES_OF[name](DATA.get(name, RECORDED).drop_vars(missing))


@pytest.mark.parametrize(
    ("name", "attribute"),
    [("survival", "dead_after"), ("layer_to_units", "final_sample_tokens"), ("death_onsets", "dead_after")],
)
def test_a_missing_attribute_is_named(name, attribute):
    without = RECORDED.copy()
    del without.attrs[attribute]
    with pytest.raises(UserError, match=rf"^{name} needs the attribute '{attribute}'"):
        FIGURES_OF[name](without)


def test_wrong_arguments_are_named():
    with pytest.raises(UserError, match=r"of='use'.*token_use"):
        ch02.percentiles(RECORDED, "use")
    with pytest.raises(UserError, match=r"evaluation='c4'.*heldout"):
        plots.pruning(RECORDED, evaluation="c4")
    with pytest.raises(UserError, match=r"'batch_use' with the dimensions \(seed, step, layer\).*\(step, layer\)"):
        plots.batch_use(RECORDED.isel(seed=0))
    with pytest.raises(UserError, match=r"percentiles \[5, 95\]"):
        ch02.percentiles(RECORDED.sel(percentile=[25, 50, 75]))


def test_the_slider_stops_at_measured_steps(drawn):
    chart = from_json(drawn["batch_use"].chart)
    bars, source, *seeds = chart.panels[0].marks
    kept = thinned(STEPS, layer_patterns.STOPS)
    wanted = 100 * RECORDED["batch_use"].mean("seed").values[kept]
    assert len(chart.control.states) == len(kept) == layer_patterns.STOPS
    for at, state in enumerate(chart.control.states):
        np.testing.assert_allclose(state.marks[bars]["y"], wanted[at], rtol=1e-3)
        assert state.titles[chart.panels[0]].endswith(f"at {state.label} tokens")
    np.testing.assert_allclose(bars.y, wanted[-1], rtol=1e-3)
    each = RECORDED["batch_use"].isel(step=-1).transpose("layer", "seed").values.ravel()
    np.testing.assert_allclose(seeds[0].y, 100 * each, rtol=1e-3)
    assert (source.x, source.y, source.words) == ([0, 5], [13.3, 95.6], ["W&A 13.3 %", "W&A 95.6 %"])


def test_the_pruning_slider_shows_units_left_and_loss(drawn):
    chart = from_json(drawn["pruning"].chart)
    left = RECORDED["units_left"].mean("seed").sel(chosen_by="rate")
    loss = RECORDED["loss"].mean("seed").isel(evaluation=0).sel(chosen_by="random")
    for at, state in enumerate(chart.control.states):
        np.testing.assert_allclose(state.marks[chart.panels[0].marks[0]]["y"], left.isel(share=at), rtol=1e-3)
        assert f"matched draw {float(loss[at]):.2f}" in state.titles[chart.panels[0]]
        np.testing.assert_allclose(list(state.cursors.values()), 100 * left["share"][[at, at]], rtol=1e-3)


def test_a_finding_is_what_the_data_say(drawn):
    use = 100 * RECORDED["batch_use"].isel(step=-1).mean("seed")
    low, high = (int(use["layer"][at]) for at in (use.argmin(), use.argmax()))
    assert drawn["batch_use"].title.startswith(f"Layer {low} ends the emptiest, at {float(use.min()):.2g} %")
    assert f"layer {high} the fullest, at {float(use.max()):.2g} %" in drawn["batch_use"].title
    flipped = RECORDED.assign(batch_use=1 - RECORDED["batch_use"])
    assert plots.batch_use(flipped).title.startswith(f"Layer {high} ends the emptiest")
    rise = (RECORDED["loss"].isel(evaluation=0) / 4.1 - 1).mean("seed").sel(chosen_by="random").values
    free = 100 * RECORDED["share"].values[np.flatnonzero(rise > 0.01)[0] - 1]
    assert (
        drawn["pruning"].title.endswith(f"and {free:.0f} % by matched draw")
        and "on held-out text" in drawn["pruning"].title
    )

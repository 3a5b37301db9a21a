"""What figures draw is what they were given, mark by mark."""

import io
import os
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plots_made import (
    DATA,
    FIGURES_OF,
    HERE,
    LAYERS,
    NEEDS,
    RECORDED,
    UNITS,
    made_up,
    made_up_effects,
    made_up_recipes,
    with_gelu,
)
from relusparsity import plots
from relusparsity.chapters.ch03_neuron_death.figures.details import aligned_at_onset
from relusparsity.plots import style
from relusparsity.plots.chart import Mark
from relusparsity.plots.drawing import outline
from relusparsity.plots.palette import DARK, LIGHT
from relusparsity.plots.reading import thinned
from relusparsity.plots.written import from_json, rounded

pytest_plugins = ("plots_made",)  # its fixtures


def test_every_layer_is_shown_with_its_units(drawn):
    count = RECORDED["final_firing_count"]
    table = pd.read_csv(io.StringIO(drawn["layer_to_units"].csv), comment="#")
    total = table.groupby(["layer", "seed"])["share_of_units"].sum()
    np.testing.assert_allclose(total, 1, rtol=2e-3)  # silent ones included
    silent = table[table["firing_rate"] == "silent"].set_index(["layer", "seed"])["share_of_units"]
    for layer, panel in enumerate(from_json(drawn["layer_to_units"].chart).panels):
        is_silent = (count.sel(layer=layer) == 0).mean("unit")
        np.testing.assert_allclose(silent[layer], is_silent, rtol=1e-3)
        assert f"layer {layer}: {100 * float(is_silent.mean()):.3g} %" in panel.title
        np.testing.assert_allclose(sum(panel.marks[0].y), 100 * (1 - is_silent.mean()), rtol=2e-3)


def test_a_choice_puts_the_recipes_in_order(drawn):
    d, chart = made_up_recipes(), from_json(drawn["recipes"].chart)
    use, loss = d["final_batch_use"].mean(["seed", "set"]).values, d["final_loss"].mean("seed").values
    lowest = d["final_batch_use"].mean("set").argmin("layer").mean("seed").values
    keys = {"design": np.arange(16), "lowest layer": lowest, "loss": loss, "layer 0": use[:, 0]}
    assert [state.label for state in chart.control.states] == list(keys)
    for state in chart.control.states:
        order = sorted(range(16), key=lambda k, at=state.places: at[chart.panels[k]])
        assert len(set(state.places.values())) == 16, "two panels in one place"
        assert (np.diff(keys[state.label][order]) >= -1e-9).all(), state.label
    titles = [panel.title for panel in chart.panels]
    assert titles[1].split("\n") == ["tied, emb 0.02, wd 0.1", f"normal, lr 1e-3, loss\u00a0{loss[1]:.2f}"]
    assert len({t.count("\n") for t in titles}) == 1


def test_recipes_that_were_explored_are_shown_with_what_was_changed():
    d = made_up_recipes(7).isel(seed=[0]).drop_vars(["tied", "embedding_std", "weight_decay", "init", "lr"])
    words = ["the norm after the sum of the residual stream", *"abcdef"]
    d = d.assign_coords(changed=("recipe", words))
    names = ["batch_use", "final_batch_use", "final_loss"]
    d = d.assign({name: d[name].where(d["recipe"] != "recipe 6") for name in names})
    figure = plots.recipes(d)
    chart = from_json(figure.chart)
    titles = [panel.title for panel in chart.panels]
    assert titles[0].replace("\n", " ").endswith("the norm after the sum of the residual stream")
    assert "diverged" in titles[6] and "one seed" in figure.caption
    assert len({t.count("\n") for t in titles}) == 1
    for state in chart.control.states[1:]:
        assert state.places[chart.panels[6]] == (3, 0), "a diverged run comes last"
    assert "Of 6 recipes" in figure.title


def test_effects_are_told_from_zero_by_shape_and_colour(drawn):
    chart = from_json(drawn["effects"].chart)
    points = [mark for panel in chart.panels for mark in panel.marks if mark.kind == "points"]
    looks = {p < 0.05: set() for p in (0, 1)}
    for mark in points:
        for row in mark.extra:
            p = 0.0 if row[3].startswith("<") else float(row[3])
            looks[p < 0.05].add((mark.symbol, mark.colour))
    assert [len(v) for v in looks.values()] == [1, 1]
    assert all(a != b for a, b in zip(*(v.copy().pop() for v in looks.values()), strict=True))
    effect = made_up_effects()["effect"]
    assert sorted(x for mark in points for x in mark.x) == sorted(effect.values.ravel().tolist())


def test_one_colour_a_layer_throughout(drawn):
    seen = set()
    for figure in drawn.values():
        marks = [mark for panel in from_json(figure.chart).panels for mark in panel.marks]
        for mark in marks:
            if mark.group.startswith("layer "):
                assert mark.colour == style.layer_colour(int(mark.group.split()[1]), LAYERS)
                seen.add(mark.group)
        named = [mark.legend for mark in marks if mark.legend]
        assert len(set(named)) == len(named)
    assert len(seen) == LAYERS


@pytest.mark.parametrize(("palette", "page"), [(LIGHT, "#ffffff"), (DARK, "#121212")])
def test_colours_of_layers_are_ordered_and_readable(palette, page):
    ramp = [_luminance(palette[style.layer_colour(i)]) for i in range(LAYERS)]
    ground, lightness = _luminance(page), [_lightness(v) for v in ramp]
    contrast = [(max(v, ground) + 0.05) / (min(v, ground) + 0.05) for v in ramp]
    assert min(contrast) >= 3 and contrast == sorted(contrast, reverse=True), "the first layer stands out most"
    assert np.abs(np.diff(lightness)).min() > 6, "in grey, neighbours stay apart"
    for name, least in {"ink": 4.5, "accent": 3}.items():
        v = _luminance(palette[name])
        assert (max(v, ground) + 0.05) / (min(v, ground) + 0.05) >= least
    assert palette["ground"] == page


def _luminance(colour: str) -> float:
    channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def _lightness(luminance: float) -> float:
    """CIE L*."""
    return 116 * np.cbrt(luminance) - 16 if luminance > 0.008856 else 903.3 * luminance


def test_a_missing_number_is_a_gap(drawn):
    dead = RECORDED["dead_units"].sel(layer=0).mean("seed")
    marks = from_json(drawn["dead_over_training"].chart).panels[0].marks
    mean = next(mark for mark in marks if mark.legend == "0")
    assert [y is None for y in mean.y] == np.isnan(dead.values).tolist() and None in mean.y
    for wanted, shown in zip(dead.values, mean.y, strict=True):
        assert shown is None or shown == pytest.approx(100 * wanted / UNITS, rel=1e-3, abs=1e-9)


def test_a_band_with_a_gap_is_two_closed_outlines():
    band = Mark("band", np.arange(5.0), np.array([2.0, 3, np.nan, 4, 5]), "ink", low=np.array([1.0, 1, 1, 2, 2]))
    (x1, y1), (x2, y2) = outline(band)
    np.testing.assert_array_equal([x1, y1], [[0, 1, 1, 0], [2, 3, 1, 1]])
    np.testing.assert_array_equal([x2, y2], [[3, 4, 4, 3], [4, 5, 2, 2]])


def test_a_seed_that_was_not_run_is_left_out(drawn):
    wanted = with_gelu(RECORDED)["heldout_loss"].sel(activation="gelu", seed=0).values[1:]
    marks = from_json(drawn["loss_curves"].chart).panels[0].marks
    gelu = next(mark for mark in marks if mark.legend == "GELU")
    np.testing.assert_allclose(gelu.y, wanted, rtol=1e-3)
    assert "3 seeds of ReLU and 1 seed of GELU" in drawn["loss_curves"].caption


def test_alignment_at_the_onset_against_one_unit_at_a_time():
    rng = np.random.default_rng(3)
    seen, edges = np.linspace(0, 100, 11), np.linspace(-40, 20, 7)
    values = rng.normal(size=(2, 11, 60))
    onset = np.where(rng.random((2, 60)) < 0.5, rng.uniform(0, 100, (2, 60)), np.nan)
    dying, never, count = aligned_at_onset(values, onset, seen, edges)
    assert count == np.isfinite(onset).sum()
    for b in range(6):
        ours, others, who = [], [], set()
        for seed, unit in zip(*np.nonzero(np.isfinite(onset)), strict=True):
            for step in range(11):
                if edges[b] <= seen[step] - onset[seed, unit] < edges[b + 1]:
                    ours.append(values[seed, step, unit])
                    others.append(np.median([values[seed, step, u] for u in range(60) if np.isnan(onset[seed, u])]))
                    who.add((seed, unit))
        assert len(who) >= 10
        assert (dying[b], never[b]) == (np.median(ours), np.median(others))
    few = np.where(np.arange(60) < 9, onset, np.nan)
    assert np.isnan(aligned_at_onset(values[:1], few[:1], seen, edges)[0]).all()


def test_joining_intervals_loses_no_death(drawn):
    marks = from_json(drawn["deaths_and_revivals"].chart).panels[0].marks
    deaths = next(mark for mark in marks if "deaths" in mark.hover)  # layer 0
    hundredth = float(RECORDED["tokens"][-1]) / 100
    joined = np.dot(deaths.y, deaths.bar_width) / hundredth * UNITS / 100
    counted = float(RECORDED["deaths"].sel(layer=0).isel(step=slice(1, None)).mean("seed").sum())
    assert joined == pytest.approx(counted, rel=5e-3)


def test_the_data_offered_is_the_data_given(drawn):
    table = pd.read_csv(io.StringIO(drawn["batch_use"].csv), comment="#")
    assert table["source"].unique().tolist() == ["recorded, Wide", "this machine, Laptop"]
    row = table[table["source"].str.startswith("this")].set_index(["seed", "step", "layer"]).loc[(2, 40, 3)]
    given = HERE["batch_use"].sel(seed=2, layer=3).isel(step=40)
    assert row["batch_use"] == pytest.approx(float(given), rel=1e-3)
    assert row["tokens"] == pytest.approx(float(given["tokens"]), rel=1e-3)


def test_a_run_too_short_for_any_death_is_drawn_without_a_warning():
    short = made_up(last_tokens=1e5).isel(step=[0, 10, 44], seed=[0])
    short.attrs["dead_after"] = 10**6
    nothing = {name: short[name] * np.nan for name in ("dead_units", "death_onset", "survival")}
    short = short.assign(nothing).assign({name: short[name] * 0 for name in ("deaths", "revivals", "dead_count")})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in NEEDS:
            if name not in DATA:
                assert FIGURES_OF[name](short).png


@given(st.integers(1, 500), st.integers(2, 60))
def test_thinning_keeps_both_ends_and_the_order(n, most):
    keep = thinned(n, most)
    assert len(keep) == min(n, most) and keep[0] == 0 and keep[-1] == n - 1
    assert (np.diff(keep) > 0).all()


@given(st.floats(-1e300, 1e300) | st.sampled_from([np.nan, np.inf, -np.inf]))
def test_rounding_keeps_four_digits_and_makes_missing_what_json_cannot_say(value):
    short = rounded({"a": np.array([value])})["a"][0]
    if not np.isfinite(value):
        assert short is None
    else:
        assert short == pytest.approx(value, rel=5.1e-4, abs=1e-320)
        assert rounded(short) == short  # rounding again changes nothing
        assert float(short) == float(f"{value:.3e}")


def test_plots_know_nothing_of_torch_and_leave_matplotlib_alone():
    code = (
        "import sys, matplotlib; before = dict(matplotlib.rcParams); backend = matplotlib.get_backend();"
        "from relusparsity.plots import chart, drawing;"
        "line = chart.Mark('line', [0, 1], [0, 1], 'ink');"
        "drawing.png(chart.Chart([chart.Panel('', chart.Axis(), chart.Axis(), [line])]));"
        "assert dict(matplotlib.rcParams) == before and matplotlib.get_backend() == backend;"
        "print('torch' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"MPLBACKEND": "svg"}
    )
    assert done.stdout.split() == ["False", "False"], done.stderr

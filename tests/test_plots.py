"""Figures from made-up datasets: what they draw is what they were given."""

import importlib
import inspect
import io
import json
import os
import re
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from relusparsity import plots
from relusparsity.chapters.ch01_model_and_training import figures as ch01
from relusparsity.chapters.ch02_layer_patterns import figures as ch02
from relusparsity.chapters.ch03_neuron_death import figures as ch03
from relusparsity.chapters.ch03_neuron_death.figures.details import aligned_at_onset
from relusparsity.chapters.ch06_limits_and_capacity import figures as ch06
from relusparsity.errors import UserError
from relusparsity.plots import layer_patterns, style
from relusparsity.plots.chart import Mark
from relusparsity.plots.drawing import outline
from relusparsity.plots.palette import DARK, LIGHT
from relusparsity.plots.reading import thinned
from relusparsity.plots.written import MIME, from_json, rounded, to_json

SEEDS, LAYERS, UNITS, STEPS = 3, 6, 512, 45


def made_up(scale: str = "wide", seed: int = 0, last_tokens: float = 2.7e8) -> xr.Dataset:
    """A dataset with every variable that chapters 01 to 05 draw; nothing in it was measured."""
    rng = np.random.default_rng(seed)
    tokens = np.r_[0, np.geomspace(last_tokens / 1e4, last_tokens, STEPS - 1)].round()
    progress = np.linspace(0, 1, STEPS)
    floor = np.array([0.13, 0.35, 0.06, 0.5, 0.9, 0.96])
    fall = 1 / (1 + np.exp(-14 * (progress - np.array([0.7, 0.5, 0.45, 0.55, 0.6, 0.6])[:, None]))).T
    batch = np.clip(1 - (1 - floor) * fall + rng.normal(0, 0.012, (SEEDS, STEPS, LAYERS)), 0, 1)
    token = batch * np.geomspace(0.5, 0.02, STEPS)[:, None]
    dead_after = int(last_tokens / 250)
    d = xr.Dataset(attrs={"scale": scale, "d_ff": UNITS, "dead_after": dead_after})
    d.attrs |= {"sample_tokens": 16_384, "final_sample_tokens": 524_288}
    by_step, by_layer, by_unit = ("seed", "step", "layer"), ("seed", "layer"), ("seed", "layer", "unit")
    d = d.assign_coords(seed=range(SEEDS), layer=range(LAYERS), tokens=("step", tokens))
    d["batch_use"], d["token_use"], d["sequence_use"] = (
        (by_step, batch),
        (by_step, token),
        (by_step, np.sqrt(batch * token)),
    )
    d["heldout_loss"] = ("seed", "step"), 10.4 - 6 * progress + rng.normal(0, 0.03, (SEEDS, STEPS))
    d["train_loss"] = d["heldout_loss"] - 0.05 + rng.normal(0, 0.05, (SEEDS, STEPS))
    d["train_loss"][:, 0] = np.nan
    d["final_token_use"] = by_layer, token[:, -1]
    d["final_loss"] = d["heldout_loss"].isel(step=-1, drop=True) + 0.05
    levels = np.array([0, 1, 5, 25, 50, 75, 95, 99, 100])
    spread = np.exp((levels - 50) / 25)
    for of in ("token_use", "sequence_use", "firing_rate"):
        d[f"{of}_percentiles"] = (*by_step, "percentile"), np.clip(token[..., None] * spread, 0, 1)
    d = d.assign_coords(percentile=levels)
    d["firing_rate_percentiles"][..., :3] = 0
    window = 2 ** np.arange(14)
    last = batch[:, -1, :, None]
    d["final_window_use"] = ("seed", "layer", "window"), last * (window / 8192) ** 0.3
    d["final_rarefied_use"] = ("seed", "layer", "window"), last * (window / 8192) ** 0.25
    d = d.assign_coords(window=window)
    d["position_use"] = ("seed", "layer", "position"), token[:, -1, :, None] * (1 + 0.6 / (1 + np.arange(128)))
    rate = np.minimum(1, 10 ** rng.normal(-2.4, 0.8, (SEEDS, LAYERS, UNITS)))
    alive = rng.random(rate.shape) < batch[:, -1, :, None]
    d["final_firing_count"] = by_unit, (rng.binomial(524_288, rate) * alive).astype(np.int32)
    onset = np.where(alive, np.nan, rng.beta(2, 4, rate.shape) * last_tokens)
    d["death_onset"] = by_unit, onset
    grid = np.linspace(0, last_tokens, 60)
    d["survival"] = ("seed", "layer", "tokens_grid"), 1 - (onset[..., None] <= grid).mean(axis=2)
    d = d.assign_coords(tokens_grid=grid)
    dead = np.moveaxis((onset[..., None] <= tokens).sum(axis=2), 2, 1).astype(float)
    d["dead_units"] = by_step, np.where(tokens[:, None] < d.attrs["dead_after"], np.nan, dead)
    d["deaths"] = by_step, np.diff(dead, axis=1, prepend=0) + 2
    d["revivals"] = by_step, np.full(dead.shape, 2)
    return _details(d, rng, by_layer, by_unit)


def _details(d: xr.Dataset, rng: np.random.Generator, by_layer: tuple, by_unit: tuple) -> xr.Dataset:
    units, end = np.arange(0, UNITS, 2), float(d["tokens"].values[-1])
    history_tokens = np.linspace(0, end, 24)
    onset = d["death_onset"].values[:, None, :, units]
    near = np.nan_to_num(np.exp(-np.abs(history_tokens[None, :, None, None] - onset) / (end / 8)), nan=0)
    shape, noise = ("seed", "history_step", "layer", "history_unit"), rng.normal(0, 0.2, near.shape)
    d["preactivation_mean"] = shape, -0.5 - near + noise
    d["preactivation_std"] = shape, 0.8 - 0.3 * near + 0.1 * noise
    d["preactivation_p99"] = shape, 1 - near + noise
    d["input_weight_norm"] = shape, 1 + 0.2 * near + 0.3 * noise
    d = d.assign_coords(history_unit=units, history_tokens=("history_step", history_tokens))
    silent = (d["final_firing_count"] == 0).sum("unit").values
    d["silent_small"] = by_layer, silent, {"small_sample_tokens": 8192}
    d["silent_both"] = by_layer, (silent * 0.9).round(), {"large_sample_tokens": 1_048_576}
    d["good_turing_expected"] = by_layer, silent * 0.06
    d["dead_count"], d["dead_and_silent_count"] = (
        (by_layer, (silent * 0.85).round()),
        (by_layer, (silent * 0.8).round()),
    )
    names = ["matplotlib", "networkx", "sqlalchemy", "sympy"]
    cross = rng.integers(0, 60, (SEEDS, LAYERS, len(names), len(names)))
    d["domain_silent_units"] = (*by_layer, "silent_on", "fires_on"), cross, {"sample_tokens": 8192}
    d = d.assign_coords(silent_on=names, fires_on=names)
    d["firing_count"] = d["final_firing_count"].assign_attrs(sample_tokens=524_288)
    few = d["firing_count"].values < 100
    specific = 1 + np.abs(rng.normal(2, 1, few.shape)) * np.array([0.3, 0.6, 1, 1.5, 1, 0.8])[:, None]
    d["within_sequence_rate_random"] = by_unit, np.where(few, np.nan, 0.01)
    d["within_sequence_rate"] = by_unit, np.where(few, np.nan, 0.01 * specific)
    d["token_selectivity"] = by_unit, np.where(few, np.nan, np.clip(rng.normal(0.4, 0.15, few.shape), 0, 1))
    share = np.linspace(0, 0.95, 20)
    steep = np.array([9.0, 7.0, 2.5])[:, None]
    rise = 0.9 * share**steep + np.abs(rng.normal(0, 0.003, (SEEDS, 3, 20))) * share
    d["loss"] = ("seed", "chosen_by", "share", "evaluation"), (4.1 + rise)[..., None]
    d["baseline_loss"] = ("seed", "evaluation"), np.full((SEEDS, 1), 4.1)
    left = UNITS * (1 - share[:, None] * np.array([1.05, 1.03, 1.05, 1.0, 0.97, 0.9]))
    d["units_left"] = (
        ("seed", "chosen_by", "share", "layer"),
        np.broadcast_to(np.maximum(left, 0), (SEEDS, 3, 20, 6)).round(),
    )
    return d.assign_coords(share=share, chosen_by=["rate", "magnitude", "random"], evaluation=["heldout"])


def made_up_widths() -> xr.Dataset:
    d_ff, rng = np.array([256, 512, 1024, 2048, 4096]), np.random.default_rng(1)
    power = np.linspace(0.5, 1, LAYERS)[:, None]
    used = (256 * (d_ff / 256) ** power).T * rng.uniform(0.8, 0.98, (SEEDS, 5, LAYERS))
    used[1:, [0, 1, 3, 4]] = np.nan  # one seed but at the shared width
    d = xr.Dataset({"used_units": (("seed", "d_ff", "layer"), used)}, attrs={"scale": "laptop"})
    d["heldout_loss"] = (
        ("seed", "d_ff"),
        4.8 - 0.1 * np.log2(d_ff / 256) + np.where(np.isnan(used[..., 0]), np.nan, 0.01),
    )
    return d.assign_coords(seed=range(SEEDS), d_ff=d_ff, layer=range(LAYERS))


def made_up_recipes(n: int = 16) -> xr.Dataset:
    """A factorial: five factors at two levels, their names as the recorded dataset has them."""
    each = [made_up(seed=i)[["batch_use", "heldout_loss"]] for i in range(n)]
    d = xr.concat(each, "recipe").assign_coords(recipe=[f"recipe {i}" for i in range(n)])
    d["final_batch_use"] = d["batch_use"].isel(step=-1).expand_dims(set=2)
    d["final_loss"] = d["heldout_loss"].isel(step=-1)
    levels = {"tied": ("False", "True"), "embedding_std": ("0.02", "1.0"), "weight_decay": ("0.1", "1.0")}
    levels |= {"init": ("normal", "xavier"), "lr": ("0.0003", "0.001")}
    for bit, (name, pair) in enumerate(levels.items()):
        d = d.assign_coords({name: ("recipe", [pair[(i >> bit if bit < 4 else i.bit_count()) & 1] for i in range(n)])})
    return d


def made_up_effects() -> xr.Dataset:
    effect = np.array([[2.0, -1.0, 0.1], [0.5, 0.0, -0.2]])
    d = xr.Dataset({"effect": (("endpoint", "term"), effect)}, attrs={"scale": "mid"})
    d["low"], d["high"] = d["effect"] - 0.4, d["effect"] + 0.4
    d["p_holm"] = ("endpoint", "term"), np.array([[1e-5, 0.01, 0.6], [0.06, 1.0, 0.3]])
    return d.assign_coords(
        endpoint=["logit of U_0", "index"], term=["a", "b", "a × b"], unit=("endpoint", ["logits", "layers"])
    )


def with_gelu(d: xr.Dataset) -> xr.Dataset:
    relu = d[["train_loss", "heldout_loss", "final_loss"]]
    both = xr.concat([relu, relu.where(relu.seed == 0) - 0.08], "activation")  # GELU with one seed only
    return both.assign_coords(activation=["relu", "gelu"]).assign_attrs(d.attrs)


RECORDED, HERE = made_up(), made_up("laptop", seed=5, last_tokens=1e6)
FIGURES_OF = {
    name: value
    for module in (plots, ch01, ch02, ch03, ch06)
    for name, value in vars(module).items()
    if inspect.isfunction(value) and value.__annotations__.get("return") is plots.Figure and name != "figure"
}
"""Name → function: of the package that all chapters draw with, and of the chapters with figures of their own."""
FIGURES = {
    "at_a_token": lambda: ch01.at_a_token(RECORDED, HERE),
    "loss_curves": lambda: ch01.loss_curves(with_gelu(RECORDED)),
    "batch_use": lambda: plots.batch_use(RECORDED, HERE),
    "use_over_training": lambda: ch02.use_over_training(RECORDED, HERE),
    "percentiles": lambda: ch02.percentiles(RECORDED, "firing_rate"),
    "window_curves": lambda: ch02.window_curves(RECORDED, HERE),
    "use_by_position": lambda: ch02.use_by_position(RECORDED),
    "layer_to_units": lambda: plots.layer_to_units(RECORDED),
    "death_onsets": lambda: ch03.death_onsets(RECORDED),
    "survival": lambda: ch03.survival(RECORDED, HERE),
    "deaths_and_revivals": lambda: ch03.deaths_and_revivals(RECORDED),
    "dead_over_training": lambda: ch03.dead_over_training(RECORDED, HERE),
    "drift_before_death": lambda: ch03.drift_before_death(RECORDED),
    "revivals": lambda: ch03.revivals(RECORDED),
    "woken": lambda: ch03.woken(RECORDED, HERE),
    "specificity": lambda: plots.specificity(RECORDED),
    "pruning": lambda: plots.pruning(RECORDED, HERE),
    "width": lambda: ch06.width(made_up_widths()),
    "recipes": lambda: plots.recipes(made_up_recipes()),
    "effects": lambda: plots.effects(made_up_effects()),
}
NEEDS = {
    "at_a_token": ["token_use", "final_token_use"],
    "loss_curves": ["train_loss", "heldout_loss", "final_loss", "tokens"],
    "batch_use": ["batch_use", "tokens"],
    "use_over_training": ["token_use", "sequence_use", "batch_use", "tokens"],
    "percentiles": ["token_use_percentiles", "tokens"],
    "window_curves": ["final_window_use", "final_rarefied_use"],
    "use_by_position": ["position_use"],
    "layer_to_units": ["final_firing_count"],
    "death_onsets": ["death_onset", "tokens"],
    "survival": ["survival"],
    "deaths_and_revivals": ["deaths", "revivals", "tokens"],
    "dead_over_training": ["dead_units", "tokens"],
    "drift_before_death": [
        "preactivation_mean",
        "preactivation_p99",
        "input_weight_norm",
        "death_onset",
        "history_tokens",
    ],
    "revivals": ["deaths", "revivals", "dead_units", "tokens"],
    "woken": ["silent_small", "silent_both"],
    "specificity": ["firing_count", "within_sequence_rate", "within_sequence_rate_random", "token_selectivity"],
    "pruning": ["loss", "baseline_loss", "units_left"],
    "width": ["used_units", "heldout_loss"],
    "recipes": ["batch_use", "final_batch_use", "final_loss", "tokens"],
    "effects": ["effect", "low", "high", "p_holm", "unit"],
}
DATA = {"width": made_up_widths(), "recipes": made_up_recipes(2), "effects": made_up_effects()}


@pytest.fixture(scope="module")
def drawn() -> dict[str, plots.Figure]:
    return {name: draw() for name, draw in FIGURES.items()}


def test_every_figure_is_tried():
    assert set(FIGURES_OF) == set(FIGURES) == set(NEEDS)
    assert set(plots.__all__) - {"Figure", "on_this_machine"} <= set(FIGURES)


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_what_the_page_expects(drawn, name):
    figure = drawn[name]
    data, about = figure._repr_mimebundle_()
    assert set(data) == {MIME, "image/png", "text/plain"}
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

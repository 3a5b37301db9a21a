"""Figures from made-up datasets: what they draw is what they were given, live and still."""

import importlib
import inspect
import io
import itertools
import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from plotly.graph_objects import Figure as Checked  # raises on any property that Plotly does not know

from relusparsity import plots
from relusparsity.chapters.ch01_model_and_training import figures as ch01
from relusparsity.chapters.ch02_layer_patterns import figures as ch02
from relusparsity.chapters.ch03_neuron_death import figures as ch03
from relusparsity.chapters.ch03_neuron_death.figures.details import aligned_at_onset
from relusparsity.chapters.ch06_limits_and_capacity import figures as ch06
from relusparsity.errors import UserError
from relusparsity.plots.chart import Mark
from relusparsity.plots.live import outline, rounded
from relusparsity.plots.reading import thinned

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
    d = xr.Dataset(attrs={"scale": scale, "d_ff": UNITS, "dead_after": dead_after, "final_sample_tokens": 524_288})
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
    d = xr.Dataset({"used_units": (("seed", "d_ff", "layer"), used)})
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
    d = xr.Dataset({"effect": (("endpoint", "term"), effect)})
    d["low"], d["high"] = d["effect"] - 0.4, d["effect"] + 0.4
    d["p_holm"] = ("endpoint", "term"), np.array([[1e-5, 0.01, 0.6], [0.06, 1.0, 0.3]])
    return d.assign_coords(
        endpoint=["logit of U_0", "index"], term=["a", "b", "a × b"], unit=("endpoint", ["logits", "layers"])
    )


def with_gelu(d: xr.Dataset) -> xr.Dataset:
    relu = d[["train_loss", "heldout_loss"]]
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
    "silent_vs_dead": lambda: ch03.silent_vs_dead(RECORDED),
    "domains": lambda: ch03.domains(RECORDED),
    "specificity": lambda: plots.specificity(RECORDED),
    "pruning": lambda: plots.pruning(RECORDED, HERE),
    "width": lambda: ch06.width(made_up_widths()),
    "recipes": lambda: plots.recipes(made_up_recipes()),
    "effects": lambda: plots.effects(made_up_effects()),
}
NEEDS = {
    "loss_curves": ["train_loss", "heldout_loss", "tokens"],
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
    "silent_vs_dead": ["silent_small", "silent_both", "good_turing_expected", "dead_count", "dead_and_silent_count"],
    "domains": ["domain_silent_units"],
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
    assert set(plots.__all__) - {"Figure", "LAYER_COLOURS"} <= set(FIGURES)


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_what_the_page_expects(drawn, name):
    figure = drawn[name]
    data, about = figure._repr_mimebundle_()
    assert set(data) == {"application/vnd.plotly.v1+json", "image/png", "text/plain"}
    assert set(about) == {"relusparsity"}
    assert set(about["relusparsity"]) == {"name", "function", "caption", "csv", "alt", "title", "model"}
    module, _, function = figure.function.rpartition(".")
    assert callable(getattr(importlib.import_module(module), function))
    assert figure.png.startswith(b"\x89PNG")
    assert 20 < len(figure.alt) < 900 and figure.alt != figure.caption and "<" not in figure.alt
    text = json.dumps(figure.live, allow_nan=False, separators=(",", ":"))
    assert len(text) <= 64 * 1024
    again = json.loads(text)  # Plotly takes the dictionaries apart
    again["layout"].pop("template")
    Checked(data=again["data"], layout=again["layout"])
    table = pd.read_csv(io.StringIO(figure.csv))
    assert len(table) and not table.isna().all(axis=1).any()


@pytest.mark.parametrize("name", ["batch_use", "specificity", "drift_before_death"])
def test_drawing_twice_gives_equal_bytes(drawn, name):
    again = FIGURES[name]()
    assert json.dumps(again.live) == json.dumps(drawn[name].live)
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


def test_the_slider_of_figure_1_shows_the_mean_use_at_each_step(drawn):
    live = drawn["batch_use"].live
    wanted = 100 * RECORDED["batch_use"].mean("seed").values
    steps = live["layout"]["sliders"][0]["steps"]
    assert len(steps) == STEPS
    for at, step in enumerate(steps):
        new, moved, traces = step["args"]
        np.testing.assert_allclose(new["y"][traces.index(0)], wanted[at], rtol=1e-3)
        assert moved["annotations[0].text"].endswith(f"at {step['label']} tokens")
    np.testing.assert_allclose(live["data"][0]["y"], wanted[-1], rtol=1e-3)
    seeds = RECORDED["batch_use"].isel(step=-1).transpose("layer", "seed").values.ravel()
    np.testing.assert_allclose(live["data"][3]["y"], 100 * seeds, rtol=1e-3)
    assert all(live["data"][i]["y"] == [13.3, 95.6] and live["data"][i]["x"] == [0, 5] for i in (1, 2))


def test_the_pruning_slider_shows_units_left_and_loss(drawn):
    live = drawn["pruning"].live
    left = RECORDED["units_left"].mean("seed").sel(chosen_by="rate")
    loss = RECORDED["loss"].mean("seed").isel(evaluation=0).sel(chosen_by="random")
    for at, step in enumerate(live["layout"]["sliders"][0]["steps"]):
        new, moved, _ = step["args"]
        np.testing.assert_allclose(new["y"][0], left.isel(share=at), rtol=1e-3)
        assert f"random {float(loss[at]):.3f}" in moved["annotations[0].text"]
        np.testing.assert_allclose([moved["shapes[0].x0"], moved["shapes[1].x1"]], 100 * left["share"][at], rtol=1e-3)


def test_the_buttons_lead_from_each_layer_to_its_units(drawn):
    count = RECORDED["final_firing_count"]
    table = pd.read_csv(io.StringIO(drawn["layer_to_units"].csv))
    total = table.groupby(["layer", "seed"])["share_of_units"].sum()
    np.testing.assert_allclose(total, 1, rtol=2e-3)  # silent ones included
    silent = table[table["firing_rate"] == "silent"].set_index(["layer", "seed"])["share_of_units"]
    for layer, button in enumerate(drawn["layer_to_units"].live["layout"]["updatemenus"][0]["buttons"]):
        is_silent = (count.sel(layer=layer) == 0).mean("unit")
        np.testing.assert_allclose(silent[layer], is_silent, rtol=1e-3)
        assert f"layer {layer}: {100 * float(is_silent.mean()):.3g} %" in button["args"][1]["annotations[0].text"]
        np.testing.assert_allclose(sum(button["args"][0]["y"][0]), 100 * (1 - is_silent.mean()), rtol=2e-3)


def test_the_buttons_put_the_recipes_in_order(drawn):
    d, live = made_up_recipes(), drawn["recipes"].live
    use, loss = d["final_batch_use"].mean(["seed", "set"]).values, d["final_loss"].mean("seed").values
    lowest = d["final_batch_use"].mean("set").argmin("layer").mean("seed").values
    keys = {"design": np.arange(16), "lowest layer": lowest, "loss": loss, "layer 0": use[:, 0]}
    shown = {}
    for button in live["layout"]["updatemenus"][0]["buttons"]:
        assert button["method"] == "relayout"
        at = []
        for k in range(16):
            n = "" if k == 0 else str(k + 1)
            now = {
                x: button["args"][0].get(f"{x}axis{n}.domain", live["layout"][f"{x}axis{n}"]["domain"]) for x in "xy"
            }
            at.append((-now["y"][1], now["x"][0]))  # row by row
            first = button["args"][0].get(f"yaxis{n}.showticklabels", live["layout"][f"yaxis{n}"].get("showticklabels"))
            assert (first is not False) == (now["x"][0] == 0)
        shown[button["label"]] = np.array(sorted(range(16), key=at.__getitem__))
        assert len(set(at)) == 16, "two panels in one place"
    assert shown.keys() == keys.keys()
    for label, order in shown.items():
        assert sorted(order) == list(range(16)) and (np.diff(keys[label][order]) >= -1e-9).all(), label
    titles = [a["text"] for a in live["layout"]["annotations"]]
    assert titles[1].split("<br>") == ["tied, emb 0.02, wd 0.1", f"normal, lr 1e-3, loss\u00a0{loss[1]:.2f}"]
    assert len({t.count("<br>") for t in titles}) == 1


def test_recipes_that_were_explored_are_shown_with_what_was_changed():
    d = made_up_recipes(7).isel(seed=[0]).drop_vars(["tied", "embedding_std", "weight_decay", "init", "lr"])
    words = ["the norm after the sum of the residual stream", *"abcdef"]
    d = d.assign_coords(changed=("recipe", words))
    names = ["batch_use", "final_batch_use", "final_loss"]
    d = d.assign({name: d[name].where(d["recipe"] != "recipe 6") for name in names})
    figure = plots.recipes(d)
    titles = [a["text"] for a in figure.live["layout"]["annotations"]]
    assert titles[0].replace("<br>", " ").endswith("the norm after the sum of the residual stream")
    assert "diverged" in titles[6] and "one seed" in figure.caption
    assert len({t.count("<br>") for t in titles}) == 1
    for button in figure.live["layout"]["updatemenus"][0]["buttons"]:
        domains = {n: button["args"][0].get(f"yaxis{n}.domain") for n in range(2, 8)}
        assert domains[7] in (None, figure.live["layout"]["yaxis7"]["domain"]), "a diverged run comes last"


def test_effects_are_told_from_zero_by_shape_and_colour(drawn):
    points = [t for t in drawn["effects"].live["data"] if t["mode"] == "markers"]
    looks = {p < 0.05: set() for p in (0, 1)}
    for trace in points:
        for row in trace["customdata"]:
            p = 0.0 if row[3].startswith("<") else float(row[3])
            looks[p < 0.05].add((trace["marker"]["symbol"], trace["marker"]["color"]))
    assert [len(v) for v in looks.values()] == [1, 1]
    assert all(a != b for a, b in zip(*(v.copy().pop() for v in looks.values()), strict=True))
    effect = made_up_effects()["effect"]
    assert sorted(x for t in points for x in t["x"]) == sorted(effect.values.ravel().tolist())


def test_one_colour_a_layer_throughout(drawn):
    seen = set()
    for figure in drawn.values():
        for trace in figure.live["data"]:
            if (group := trace.get("legendgroup", "")).startswith("layer "):
                colour = trace["line"]["color"] if "line" in trace else trace["marker"]["color"]
                assert colour == plots.LAYER_COLOURS[int(group.split()[1])]
                seen.add(group)
        assert len({t["name"] for t in figure.live["data"] if "name" in t}) == sum(
            "name" in t for t in figure.live["data"]
        )
    assert len(seen) == LAYERS


def test_layer_colours_stay_apart_and_readable():
    to_linear = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in plots.LAYER_COLOURS])
    to_linear = np.where(to_linear <= 0.04045, to_linear / 12.92, ((to_linear + 0.055) / 1.055) ** 2.4)
    luminance = to_linear @ [0.2126, 0.7152, 0.0722]
    dark = 0.009  # the book's dark background, #14181e
    assert (1.05 / (luminance + 0.05)).min() > 2.5 and ((luminance + 0.05) / (dark + 0.05)).min() > 2.5
    sights = {  # Machado, Oliveira & Fernandes 2009, severity 1
        "normal": np.eye(3),
        "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    }
    for sight, matrix in sights.items():
        lab = _lab(np.clip(to_linear @ np.array(matrix).T, 0, 1))
        apart = [np.linalg.norm(a - b) for a, b in itertools.combinations(lab, 2)]
        assert min(apart) > 25, sight


def _lab(linear: np.ndarray) -> np.ndarray:
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    xyz = linear @ np.array(to_xyz).T / [0.95047, 1, 1.08883]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def test_a_missing_number_is_a_gap(drawn):
    dead = RECORDED["dead_units"].sel(layer=0).mean("seed")
    mean = next(t for t in drawn["dead_over_training"].live["data"] if t.get("name") == "0")
    assert [y is None for y in mean["y"]] == np.isnan(dead.values).tolist() and None in mean["y"]
    for wanted, shown in zip(dead.values, mean["y"], strict=True):
        assert shown is None or shown == pytest.approx(100 * wanted / UNITS, rel=1e-3, abs=1e-9)


def test_a_band_with_a_gap_is_two_closed_outlines():
    band = Mark("band", np.arange(5.0), np.array([2.0, 3, np.nan, 4, 5]), "#000000", low=np.array([1.0, 1, 1, 2, 2]))
    x, y = outline(band)
    np.testing.assert_array_equal(x, [0, 1, 1, 0, np.nan, 3, 4, 4, 3])
    np.testing.assert_array_equal(y, [2, 3, 1, 1, np.nan, 4, 5, 2, 2])


def test_a_seed_that_was_not_run_is_left_out(drawn):
    wanted = with_gelu(RECORDED)["heldout_loss"].sel(activation="gelu", seed=0).values[1:]
    gelu = next(t for t in drawn["loss_curves"].live["data"] if t.get("name") == "GELU")
    np.testing.assert_allclose(gelu["y"], wanted, rtol=1e-3)
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
    live = drawn["deaths_and_revivals"].live
    deaths = next(t for t in live["data"] if "deaths" in t["hovertemplate"])  # layer 0
    hundredth = float(RECORDED["tokens"][-1]) / 100
    joined = np.dot(deaths["y"], deaths["width"]) / hundredth * UNITS / 100
    counted = float(RECORDED["deaths"].sel(layer=0).isel(step=slice(1, None)).mean("seed").sum())
    assert joined == pytest.approx(counted, rel=5e-3)


def test_the_data_offered_is_the_data_given(drawn):
    table = pd.read_csv(io.StringIO(drawn["batch_use"].csv))
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
        "from relusparsity.plots import chart, twin;"
        "line = chart.Mark('line', [0, 1], [0, 1], '#000000');"
        "twin.png(chart.Chart([chart.Panel('', chart.Axis(), chart.Axis(), [line])]));"
        "assert dict(matplotlib.rcParams) == before and matplotlib.get_backend() == backend;"
        "print('torch' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"MPLBACKEND": "svg"}
    )
    assert done.stdout.split() == ["False", "False"], done.stderr

"""Datasets of every kind that figures draw, made up, and every figure of them."""

import inspect

import numpy as np
import pytest
import xarray as xr

import specialised_made
import top_k_made
from relusparsity import plots
from relusparsity.chapters.ch01_model_and_training import figures as ch01
from relusparsity.chapters.ch02_layer_patterns import figures as ch02
from relusparsity.chapters.ch03_neuron_death import figures as ch03
from relusparsity.chapters.ch06_limits_and_capacity import figures as ch06
from relusparsity.chapters.ch13_top_k import figures as ch13
from relusparsity.chapters.ch19_specialised_heads import figures as ch19

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


def made_up_areas() -> xr.Dataset:
    """Of two scores, which are missing in a layer, and in one seed of another: too few units of one fate."""
    area = np.linspace(0.5, 0.9, 8)[:, None] + np.random.default_rng(3).normal(0, 0.02, (2, SEEDS, 8, LAYERS))
    area[:, :, :, 2] = np.nan
    area[:, 0, :, 3] = np.nan
    names = ["small", "narrow"]
    d = xr.Dataset({"area": (("score", "seed", "history_step", "layer"), area)}, attrs=made_up().attrs)
    return d.assign_coords(
        score=names, seed=range(SEEDS), layer=range(LAYERS), history_tokens=("history_step", np.geomspace(1e4, 1e8, 8))
    )


def made_up_effects() -> xr.Dataset:
    effect = np.array([[2.0, -1.0, 0.1], [0.5, 0.0, -0.2]])
    d = xr.Dataset({"effect": (("endpoint", "term"), effect)}, attrs={"scale": "mid"})
    d["low"], d["high"] = d["effect"] - 0.4, d["effect"] + 0.4
    d["p_holm"] = ("endpoint", "term"), np.array([[1e-5, 0.01, 0.6], [0.06, 1.0, 0.3]])
    return d.assign_coords(
        endpoint=["logit of batch use of layer 0", "index"],
        term=["a", "b", "a × b"],
        unit=("endpoint", ["logits", "layers"]),
    )


def with_gelu(d: xr.Dataset) -> xr.Dataset:
    relu = d[["train_loss", "heldout_loss", "final_loss"]]
    both = xr.concat([relu, relu.where(relu.seed == 0) - 0.08], "activation")  # GELU with one seed only
    return both.assign_coords(activation=["relu", "gelu"]).assign_attrs(d.attrs)


RECORDED, HERE = made_up(), made_up("laptop", seed=5, last_tokens=1e6)


FIGURES_OF = {
    name: value
    for module in (plots, ch01, ch02, ch03, ch06, ch13, ch19)
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
    "foresight": lambda: ch03.foresight(made_up_areas()),
    "revivals": lambda: ch03.revivals(RECORDED),
    "woken": lambda: ch03.woken(RECORDED, HERE),
    "specificity": lambda: plots.specificity(RECORDED),
    "pruning": lambda: plots.pruning(RECORDED, HERE),
    "width": lambda: ch06.width(made_up_widths()),
    "recipes": lambda: plots.recipes(made_up_recipes()),
    "effects": lambda: plots.effects(made_up_effects()),
    "quality": lambda: ch13.quality(top_k_made.quality()),
    "reliability": lambda: ch13.reliability(top_k_made.reliability()),
    "robustness": lambda: ch13.robustness(top_k_made.robustness()),
    "units": lambda: ch13.units(top_k_made.units()),
    "walk": lambda: ch19.walk(specialised_made.heads()),
    "controls": lambda: ch19.controls(specialised_made.heads()),
    "removed": lambda: ch19.removed(specialised_made.heads()),
    "birth": lambda: ch19.birth(specialised_made.birth()),
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
    "foresight": ["area", "history_tokens"],
    "revivals": ["deaths", "revivals", "dead_units", "tokens"],
    "woken": ["silent_small", "silent_both"],
    "specificity": ["firing_count", "within_sequence_rate", "within_sequence_rate_random", "token_selectivity"],
    "pruning": ["loss", "baseline_loss", "units_left"],
    "width": ["used_units", "heldout_loss"],
    "recipes": ["batch_use", "final_batch_use", "final_loss", "tokens"],
    "effects": ["effect", "low", "high", "p_holm", "unit"],
} | (top_k_made.NEEDS | specialised_made.NEEDS)


DATA = {
    "width": made_up_widths(),
    "foresight": made_up_areas(),
    "recipes": made_up_recipes(2),
    "effects": made_up_effects(),
} | (top_k_made.DATA | specialised_made.DATA)


@pytest.fixture(scope="module")
def drawn() -> dict[str, plots.Figure]:
    return {name: draw() for name, draw in FIGURES.items()}

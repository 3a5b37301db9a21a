"""Datasets that decide rows of the ledger, made up."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from relusparsity import claims

SHAPES = {
    "P": {"n_layers": 6, "d_ff": 32768, "d_model": 1024},
    "S": {"n_layers": 6, "d_ff": 8192, "d_model": 512},
    "L": {"n_layers": 6, "d_ff": 1024, "d_model": 64},
    "smoke": {"n_layers": 6, "d_ff": 64, "d_model": 16},
}


TOKENS = np.linspace(0, 1000, 101)


PART = TOKENS / 1000


Variables = dict[str, tuple[tuple[str, ...], np.ndarray]]


def made(scale: str, per_seed: list[Variables], coords: dict[str, Any] | None = None, **attrs: Any) -> xr.Dataset:
    """A dataset of the scale from each seed's variables (dims without seed)."""
    config = {
        "model": SHAPES[scale]
        | dict(norm="layernorm", norm_place="pre", positions="rotary", tied=True, embedding_std=0.02)
        | dict(init="normal", bias=True),
        "train": dict(warmup=20, tokens=1000, optimizer="adamw", lr=6e-4, schedule="cosine")
        | dict(weight_decay=0.1, beta2=0.98),
        "measure": {"set_tokens": 8192},
    }
    variables = {
        name: (("seed", *dims), np.stack([seed[name][1] for seed in per_seed]))
        for name, (dims, _) in per_seed[0].items()
    }
    attrs = {"scale": scale, "provenance": json.dumps({"config": config}), **attrs}
    return xr.Dataset(variables, {"seed": np.arange(len(per_seed)), **(coords or {})}, attrs)


def told(dataset: xr.Dataset, gone: np.ndarray) -> xr.Dataset:
    """With a provenance that says which runs, (arm, seed), were not made."""
    facts = json.loads(dataset.attrs.get("provenance", "{}"))
    return dataset.assign_attrs(provenance=json.dumps(facts | {"runs": np.where(gone, "not run", "a").tolist()}))


def use(*percent: float) -> Variables:
    """final_batch_use of 64 sets whose mean is the given percent; the sets themselves differ."""
    ripple = np.tile([-0.001, 0.001], 32)[:, None]
    return {"final_batch_use": (("set", "layer"), np.array(percent) / 100 + ripple)}


def uses(good: tuple[float, ...], bad: tuple[float, ...]) -> Callable[[str, list[bool]], xr.Dataset]:
    return lambda scale, holds: made(scale, [use(*(good if h else bad)) for h in holds])


def row_5(scale: str, holds: list[bool]) -> xr.Dataset:
    def seed(h: bool) -> Variables:
        percentiles = np.tile([0.01, 0.05, 0.9], (2, 6, 1))
        percentiles[0, :, 1] = 0.5  # an earlier step decides nothing
        percentiles[1, 3, 1] = 0.1 if h else 0.11
        return {"token_use_percentiles": (("step", "layer", "percentile"), percentiles)}

    return made(scale, [seed(h) for h in holds], {"percentile": [25, 50, 75]})


def curves(scale: str, per_seed: list[tuple[np.ndarray, np.ndarray]]) -> xr.Dataset:
    """token_use and sequence_use, each (step, layer), at 101 even steps."""
    dims = ("step", "layer")
    variables = [{"token_use": (dims, t), "sequence_use": (dims, s)} for t, s in per_seed]
    return made(scale, variables, {"tokens": ("step", TOKENS), "step": np.arange(101)})


def layers(first: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.stack([first, *[others] * 5], axis=1)


FLAT = np.full(101, 0.5)


def row_6(scale: str, holds: list[bool]) -> xr.Dataset:
    """19 or 21 % of layer 0's log fall lie in the 2 % of the tokens from 50 to 52 %."""
    good, bad = (np.exp(-np.interp(PART, [0, 0.5, 0.52, 1], [0, 0.4, 0.4 + p, 1])) for p in (0.19, 0.21))
    sudden = np.where(PART < 0.5, 0.5, 0.1)
    return curves(scale, [(layers(good if h else bad, sudden), layers(FLAT, FLAT)) for h in holds])


def row_7(scale: str, holds: list[bool]) -> xr.Dataset:
    """Half of the log fall is at half of the tokens; 10 points of sequence_use are lost at 61 or 59 %."""
    tokens = layers(np.exp(-2 * PART), FLAT)
    late, early = (np.interp(PART, [0, at - 0.1, at, 1], [0.9, 0.9, 0.8, 0.8]) for at in (0.61, 0.59))
    return curves(scale, [(tokens, layers(late if h else early, FLAT)) for h in holds])


def row_8(scale: str, holds: list[bool]) -> xr.Dataset:
    own = np.interp(PART, [0, 0.5, 0.6, 1], [0.9, 0.9, 0.7, 0.7])
    good, bad = (np.interp(PART, [0, 0.01, 0.3, 0.4, 1], [0.1, 0.9, 0.9, 0.9 - d, 0.9 - d]) for d in (0.099, 0.101))
    return curves(scale, [(layers(FLAT, FLAT), layers(own, good if h else bad)) for h in holds])


def row_9(scale: str, holds: list[bool], **attrs: int) -> xr.Dataset:
    """1,000 silent units, 850 of them still silent; chance allows 40 or 60 of those."""

    def seed(h: bool) -> Variables:
        counts = dict(silent_small=1000, silent_both=850, good_turing_expected=30, good_turing_upper=40 if h else 60)
        return {name: (("layer",), np.array([0, 0, 0, 0, 0, count])) for name, count in counts.items()}

    return made(scale, [seed(h) for h in holds], **{"small_sample_tokens": 8192, "large_sample_tokens": 10**6} | attrs)


def pruned(scale: str, costs: list[tuple[float, float, float]], text: str = "c4-eval", **attrs: int) -> xr.Dataset:
    """Costs in percent of the loss: silent units, the lowest-rate half, a random half."""

    def seed(silent: float, rate: float, random: float) -> Variables:
        loss = np.full((2, 2, 2), 9.0)
        loss[:, 1, 1] = 4 * (1 + np.array([rate, random]) / 100)
        return {
            "baseline_loss": (("evaluation",), np.array([5.0, 4.0])),
            "silent_loss": (("evaluation",), np.array([9.0, 4 * (1 + silent / 100)])),
            "loss": (("chosen_by", "share", "evaluation"), loss),
        }

    coords = {"chosen_by": ["rate", "random"], "share": [0.25, 0.5], "evaluation": ["other", text]}
    return made(scale, [seed(*c) for c in costs], coords, **{"silent_sample_tokens": 10**6} | attrs)


def specific(scale: str, deltas: list[float], counts: tuple[int, int] = (500, 500)) -> xr.Dataset:
    """100 units; the first share |delta| of the last layer's lie above (below) the first layer's, the rest tie."""

    def seed(delta: float) -> Variables:
        values = np.full((6, 100), 0.5)
        values[-1, : round(100 * abs(delta))] += math.copysign(0.1, delta)
        count = np.full((6, 100), counts[0])
        count[-1] = counts[1]
        dims = ("layer", "unit")
        return {
            "within_sequence_rate": (dims, values),
            "token_selectivity": (dims, 1 - values),
            "firing_count": (dims, count),
        }

    return made(scale, [seed(d) for d in deltas])


MAKERS: dict[str, Callable[[str, list[bool]], xr.Dataset]] = {
    "1": uses((29.9, 50, 50, 50, 50, 50), (30.1, 50, 50, 50, 50, 50)),
    "2": uses((10, 50, 50, 50, 50, 90.1), (10, 50, 50, 50, 50, 89.9)),
    "3": uses((40, 50, 50, 50, 50, 90.1), (40, 50, 50, 50, 50, 89.9)),
    "3b": uses((99, 50, 29.9, 50, 50, 91), (99, 30.1, 31, 10, 10, 91)),
    "4": uses((40, 45.1, 60, 70, 80, 85.1), (40, 45.1, 60, 70, 80.2, 85.1)),
    "5": row_5,
    "6": row_6,
    "7": row_7,
    "8": row_8,
    "9": row_9,
    "12": lambda scale, holds: pruned(scale, [(0.09, 0.9, 4.6 if h else 4.4) for h in holds]),
    "13": lambda scale, holds: specific(scale, [0.34 if h else 0.32 for h in holds]),
}


JUDGED = [(row.number, scale) for row in claims.LEDGER for scale in row.scales if row.number in MAKERS]


def row(number: str) -> claims.Claim:
    return next(row for row in claims.LEDGER if row.number == number)


def judge(number: str, *datasets: xr.Dataset) -> claims.Outcome:
    experiment = claims.judge.RULES[number].experiment
    given = {(experiment, dataset.attrs["scale"]): dataset for dataset in datasets}
    wanted = row(number).scales[0] if len(datasets) > 1 else datasets[0].attrs["scale"]
    return next(o for o in claims.evaluate(given, rows=(row(number),)) if o.scale == wanted)

"""What the figures of chapter 13 draw, made up: nothing in it was measured."""

import numpy as np
import xarray as xr

ARMS, OTHERS = ["dense", "dense with dropout", "k = d_ff/12"], ["dense", "dense with dropout"]
NOISES, SEEDS = [0.0, 40.0, 80.0], 10
ABOUT = {"scale": "fashion"}


def _drawn(low: float, high: float, draw: int, /, **dims: int) -> tuple[tuple[str, ...], np.ndarray]:
    return tuple(dims), np.random.default_rng(draw).uniform(low, high, tuple(dims.values()))


def quality() -> xr.Dataset:
    d = xr.Dataset({"accuracy": _drawn(60, 90, 0, arm=3, noise=3, seed=SEEDS)}, attrs=ABOUT)
    d = d.assign(_gains("", 1)).assign_coords(arm=ARMS, over=OTHERS, noise=NOISES, seed=range(SEEDS))
    d["by_chance"] = _drawn(0.2, 0.4, 2, over=2, noise=3)
    return d


def _gains(name: str, draw: int, /, **along: int) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    dims = {"over": 2, "noise": 3}
    return {
        f"{name}gain": _drawn(-1, 1, draw, **dims, seed=SEEDS, **along),
        f"{name}low": _drawn(-0.6, -0.2, draw, **dims, **along),
        f"{name}high": _drawn(0.2, 0.6, draw, **dims, **along),
    }


def reliability() -> xr.Dataset:
    bins = {"arm": 3, "noise": 3, "scaling": 2, "bin": 15}
    d = xr.Dataset({name: _drawn(0, 100, at, **bins) for at, name in enumerate(("confidence", "right", "share"))})
    d["pictures"] = tuple(bins), np.random.default_rng(3).integers(0, 90, tuple(bins.values()))
    d["error"] = _drawn(1, 9, 4, arm=3, noise=3, scaling=2, seed=SEEDS)
    d["accuracy"] = _drawn(60, 90, 5, arm=3, noise=3, seed=SEEDS)
    labels = {"arm": ARMS, "noise": NOISES, "scaling": ["as it is", "temperature"], "bin": range(15)}
    return d.assign_coords(labels | {"seed": range(SEEDS)}).assign_attrs(ABOUT | {"first": ARMS[-1]})


def robustness() -> xr.Dataset:
    d = xr.Dataset(attrs=ABOUT)
    for at, (name, along) in enumerate((("noisy", ("corruption", "strength")), ("attacked", ("attack", "epsilon")))):
        sizes = dict(zip(along, (3, 6) if name == "noisy" else (2, 5), strict=True))
        d[name] = _drawn(20, 90, at, arm=3, noise=3, seed=SEEDS, **sizes)
        d = d.assign(_gains(f"{name}_", at, **sizes))
    labels = {"corruption": ["gaussian", "shot", "impulse"], "strength": range(6), "attack": ["FGSM", "PGD"]}
    labels |= {"arm": ARMS, "over": OTHERS, "noise": NOISES, "seed": range(SEEDS), "epsilon": [0, 1, 2, 4, 8]}
    return d.assign_coords(labels)


def units() -> xr.Dataset:
    dims = {"arm": 3, "noise": 3, "seed": SEEDS, "layer": 6}
    d = xr.Dataset({"use": _drawn(2, 12, 0, **dims), "silent": _drawn(0, 40, 1, **dims)})
    d["alike"] = _drawn(-1, 1, 2, noise=3, seed=SEEDS)
    labels = {"arm": ARMS, "noise": NOISES, "seed": range(SEEDS), "layer": range(6)}
    return d.assign_coords(labels).assign_attrs(ABOUT | {"most": 8.3})


DATA = {each.__name__: each() for each in (quality, reliability, robustness, units)}
NEEDS = {
    "quality": ["accuracy", "gain", "low", "high", "by_chance"],
    "reliability": ["confidence", "right", "share", "pictures", "error", "accuracy"],
    "robustness": [f"{name}{end}" for name in ("noisy", "attacked") for end in ("", "_gain", "_low", "_high")],
    "units": ["use", "silent", "alike"],
}

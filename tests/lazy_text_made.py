"""Made-up datasets of the experiments on encoder-decoders."""

import json
from types import ModuleType
from typing import Any

import numpy as np
import xarray as xr

from relusparsity.config import to_dict
from relusparsity.experiments import lazy_text

NAMES = [f"{side} {layer}" for side in ("encoder", "decoder") for layer in range(6)]


def made(
    end: Any, start: float = 0.5, parameters: int = 60_000_000, of: ModuleType = lazy_text, **values: Any
) -> xr.Dataset:
    """Runs that go from `start` to `end(arm, seed)` in every layer; `values` are of all arms, seeds and layers."""
    configs = {arm: to_dict(run) for arm, run in zip(of.CHANGES, of.config("spans").runs, strict=False)}
    final = np.array([[[end(arm, seed)] * 12 for seed in of.SEEDS] for arm in of.CHANGES])
    known = ~np.isnan(final)
    of_layers = {"final_silent_units": 64, "final_rare_units": 2000, "final_sequence_use": 0.9} | values
    by = ("recipe", "seed", "layer")
    data = {name: (by, np.where(known, value, np.nan)) for name, value in of_layers.items()}
    dead = np.stack([np.full(final.shape, np.nan), np.where(known, 32.0, np.nan)], 2)
    by_step = ("recipe", "seed", "step", "layer")
    return xr.Dataset(
        data
        | {
            "token_use": (by_step, np.stack([np.where(known, start, np.nan), final], 2)),
            "dead_units": (by_step, dead),
            "final_token_use": (by, final),
            "final_batch_use": (("recipe", "seed", "set", "layer"), np.where(known, 0.8, np.nan)[:, :, None]),
            "final_accuracy": (by[:2], np.where(known[..., 0], 0.3, np.nan)),
            "final_loss": (by[:2], np.where(known[..., 0], 3.0, np.nan)),
        },
        {"recipe": list(of.CHANGES), "seed": list(of.SEEDS), "step": [0, 12_800], "layer": range(12)}
        | {"layer_name": ("layer", NAMES)},
        {"provenance": json.dumps({"configs": configs, "parameters": parameters})},
    )

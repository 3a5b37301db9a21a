"""What was written of chapter 05's new draws before any of them was recorded in Mid or Wide.

On 2026-11-29 the cost of rate, of magnitude and of the matched draw was known at twelve shares, with silent units
going layer by layer; so what rate costs at row 12b's point is known but for a new training of the same seeds, whose
curves we interpolated. Unknown, in Laptop too, were the uniform draw, and the matched draw with ties at random. Our
reading: what the recorded matched draw costs in Wide, *nearest*, is the price of emptying layers 0 to 2, so that a
spread cut of as many units is cheaper there; by *first* and in Mid, where fewer units are silent, the three draws lie
closer together. Beyond the silent units a uniform draw costs five times what rate does in Mid, and not in Wide, where
rate is dear by then.

Costs are in percent of the loss on C4, means over seeds and draws. A prediction holds within its interval, ends
included; about four in five of all intervals should.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from . import spared
from .draws import DRAWN

DATE = "2026-11-29"

RANKED, MATCHED, UNIFORM = DRAWN
POINTS = {"half": "half of all units", "12b": "the silent and half of the rest"}

Interval = tuple[float, float]

EXPECTED: Mapping[str, Mapping[tuple[str, str], Interval]] = {
    "Wide, nearest": {
        (RANKED, "half"): (-0.01, 0.01),
        (MATCHED, "half"): (7, 20),
        (UNIFORM, "half"): (8, 25),
        (RANKED, "12b"): (10, 16.5),
        (UNIFORM, "12b"): (35, 65),
    },
    "Wide, first": {
        (RANKED, "half"): (-0.01, 0.01),
        (MATCHED, "half"): (3, 10),
        (UNIFORM, "half"): (4, 14),
        (RANKED, "12b"): (6, 9.5),
        (UNIFORM, "12b"): (24, 50),
    },
    "Mid, first": {
        (RANKED, "half"): (0.3, 0.7),
        (MATCHED, "half"): (9, 16),
        (UNIFORM, "half"): (12, 35),
        (RANKED, "12b"): (3.2, 4.9),
        (UNIFORM, "12b"): (28, 60),
    },
}
"""Model and recipe → (choice, what goes) → interval of its cost."""

TIMES = {"Wide, nearest": False, "Wide, first": False, "Mid, first": True}
"""Whether the uniform draw costs five times what rate does where row 12b reads, by the means over seeds."""


def recorded(dataset: xr.Dataset) -> bool:
    """Whether a dataset has the new draws; those made before 2026-11-29 lack them."""
    return "beyond_loss" in dataset


def cost(dataset: xr.Dataset, choice: str, point: str) -> np.ndarray:
    """Change of the loss in percent by one of `DRAWN` at one of `POINTS`, mean over draws: (seed)."""
    base = dataset["baseline_loss"].sel(evaluation=spared.text(dataset)).astype(float)
    if point == "half":
        at = int(np.abs(dataset["drawn_share"].values - 0.5).argmin())
        loss = dataset["drawn_loss"].isel(drawn_share=at)
    else:
        loss = dataset["beyond_loss"].mean("draw")
    loss = loss.sel(drawn=choice, evaluation=spared.text(dataset)).astype(float)
    return np.asarray((100 * (loss / base - 1)).transpose("seed").values)


def predicted(models: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """Every prediction against what came: a row each; None for both where it is not recorded yet."""
    rows = []
    for name, expected in EXPECTED.items():
        dataset = models[name]
        there = recorded(dataset)
        for (choice, point), (low, high) in expected.items():
            came = float(cost(dataset, choice, point).mean()) if there else None
            holds = None if came is None else low <= came <= high
            rows.append((name, choice, POINTS[point], f"{low:g} to {high:g}".replace("-", "−"), came, holds))
        ratio = _times(dataset) if there else None
        said = "5 or more" if TIMES[name] else "under 5"
        holds = None if ratio is None else (ratio >= 5) == TIMES[name]
        rows.append((name, "uniform ÷ rate", POINTS["12b"], said, ratio, holds))
    return pd.DataFrame(rows, columns=["model", "units chosen by", "what goes", "written before", "came", "holds"])


def _times(dataset: xr.Dataset) -> float:
    return float(cost(dataset, UNIFORM, "12b").mean() / cost(dataset, RANKED, "12b").mean())


def table(models: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """`predicted` for readers."""
    found = predicted(models)
    came = ["not recorded yet" if pd.isna(value) else f"{value:.3g}".replace("-", "−") for value in found["came"]]
    holds = ["" if value is None else "yes" if value else "no" for value in found["holds"]]
    return found.assign(came=came, holds=holds).set_index(["model", "units chosen by"])

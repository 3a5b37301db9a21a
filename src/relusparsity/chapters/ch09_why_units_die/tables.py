"""Tables of chapter 09: what each control does, what it takes away, and what was written of the runs to come."""

import pandas as pd
import xarray as xr

from ...experiments import attribution, freezes, outlier_row, sealing, written
from . import effects, words
from .figures.forks import interval

CONTROLS = {
    "exchange": (
        "that of a treated unit that fires about as often",
        "what is a unit's own",
        "what its group has in common, or chance",
    ),
    "signs of 1, 10, 100 steps": (
        "times +1 or −1, drawn per unit and block",
        "updates with one direction beyond a block",
        "diffusion by such steps, or decay",
    ),
    "reflect": (
        "its mirror image along the mean input",
        "the drift of the mean pre-activation",
        "anything else",
    ),
    "winsorise": (
        "cut to the 99th percentile of the lengths",
        "rare large updates: outliers",
        "anything but outliers",
    ),
}
"""Control → what a treated unit's update becomes, what kills if AF is near 1, and what if it is near 0."""

RULES = attribution.RULES | sealing.RULES | outlier_row.RULES
"""The ledger's rows that this chapter decides."""

ASKED = {
    freezes: "share of layer 2's deaths taken away",
}
"""Experiment that has not run whole → the number that its intervals are of."""


def controls() -> pd.DataFrame:
    """What a control does to a treated unit's update, and what it then tells apart."""
    columns = ["an update becomes", "AF near 1: what kills is", "AF near 0: what kills is"]
    return pd.DataFrame.from_dict(CONTROLS, orient="index", columns=columns).rename_axis("control")


def compared(dataset: xr.Dataset, point: str) -> pd.DataFrame:
    """Deaths among the treated units of each control and its twin, all layers, and how near the two forks stay."""
    found = effects.of_controls(dataset, point)
    died = found["died"].sum(["layer", "seed"], skipna=False)
    without, rows = float(died.isel(fork=0)), {}
    for control in map(str, found["control"].values):
        of = found.sel(control=control).mean("seed")
        with_it = float(died.sel(fork=control))
        low, high = words.by_counting(without, with_it)
        rows[control] = {
            "deaths in the twin": f"{without:.0f}",
            "with the control": f"{with_it:.0f}",
            "AF": f"{float(of['overall']):.2f}",
            "by counting alone": f"{low:.2f} to {high:.2f}",
            "loss, % from the twin's": words.signed(of["loss"]),
            "path, % from the twin's": words.signed(of["path"]),
            "counts by row 10b": "yes" if bool(found["counts"].sel(control=control).all()) else "no",
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("control")


def over_seeds(dataset: xr.Dataset, point: str) -> pd.DataFrame:
    """What each control of a recorded experiment does to treated units, to the others, and how far it moves them."""
    found, rows = effects.of_controls(dataset, point), {}
    spilled = attribution.overall(dataset, treated=False)
    for control in map(str, found["control"].values):
        of = found.sel(control=control)
        low, high = interval(of["overall"].values)
        rest = spilled.sel(arm=attribution.named(point, control)).mean("seed")
        rows[control] = {
            "AF": f"{float(of['overall'].mean()):.2f}",
            "95 %": f"{low:.2f} to {high:.2f}",
            "AF of the other units": f"{float(rest):.2f}",
            "loss, %": words.signed(of["loss"].mean("seed")),
            "path, %": words.signed(of["path"].mean("seed")),
            "counts": f"in {int(of['counts'].sum())} of {of.sizes['seed']}",
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("control")
    return table.apply(lambda column: column.str.replace("-", "−"))


def expected() -> pd.DataFrame:
    """Every interval written of the forks of Mid that have not all run, the mean of five seeds."""
    each = [written.expected(of, number="between", arm="fork").assign(number=what) for of, what in ASKED.items()]
    return pd.concat(each)[["number", "between", "written"]]


def chances() -> pd.DataFrame:
    """Every sentence written of the forks of Mid that have not all run, with the chance that we gave it."""
    return written.chances(*ASKED)

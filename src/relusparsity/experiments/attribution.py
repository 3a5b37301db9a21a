"""Chapter 09: what kills a unit: forks in which a tenth of each layer's units gets other updates than its own.

The source says that death is "primarily driven by the dynamics of training, rather than simply occurring randomly or
accidentally as a result of outliers". Ours: *dynamics* is the systematic drift of a unit's pre-activation by
data-driven updates, *random* their diffusion, *outliers* rare large updates. A control takes one of them away from the
treated units (`control_config`); the attributable fraction is AF = 1 − deaths with the control / deaths without, of the
same units in the twin, which is watched and not changed. Rows 10b and 11b(b) of the ledger.

- **exchange** (primary) leaves what is common to a group of like firing rates, and takes from a unit what is its own.
  AF near 1: a unit's own drift kills it. AF near 0: the common drift does, or the diffusion.
- **signs** of blocks of 1, 10, 100 steps: 1 takes away the drift and what Adam's moments tie together from step to
  step, so it leans to the claim; with 100 a unit in two climbs against its gradient for that long.
- **reflect** turns the change of the mean pre-activation around, and leaves the rest.
- **winsorise** shortens the longest 1 % of updates: outliers.

Weight decay stays under every control. By *first* it is strong (a step takes 6e-4 of a weight at the peak) and spares
biases: without drift a unit's weights shrink towards its bias, which kills it where the bias is negative. So a control
that destroys the drift may raise deaths, and AF may be negative: then decay, held off by the drift, is what kills.

Base *first* at Mid, five seeds, forks at 10, 25 and 50 % of training to the parent's end. Layer 0 is treated from 25 %
on: before, few of its units die.

Choices that the rows leave open: row 10b is decided by the forks at 25 %; *within 1 %* is asked of the final loss, and
path lengths are added up over the layers; row 11b (b) asks neither of its forks, and `outliers` has its parts (a), (c).
The cap of winsorising is of all treated units of a layer, the dead among them.

Written before the runs (2026-11-29), with no run of any control seen but in tests: `EXPECTED` and `CHANCES`. The last
of these was added on 2026-11-30, still before any run at Mid, after one seed of Laptop (chapter 09's live part): there
exchange made the treated units' path 20 % longer, and row 10b lets a control count up to 5 %. 40 of 65 ran: chapter 09.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..claims import Rule
from ..claims.reading import Finding, Reading
from ..claims.statistics import half_width, student
from . import every, forked, shared, variants

DATE = "2026-11-29"
RAN = "2026-11-30"
"""The day of the latest runs so far; empty before the first."""

RECORDED = (("mid", None),)
"""Shapes whose dataset is committed once it ran."""

TWIN = "untreated"
KINDS: dict[str, dict[str, Any]] = {
    TWIN: {"kind": "watch"},
    "exchange": {"kind": "exchange"},
    "signs of 1": {"kind": "signs", "every": 1},
    "signs of 100": {"kind": "signs"},
    "reflect": {"kind": "reflect"},
    "winsorise": {"kind": "winsorise"},
    "signs of 10": {"kind": "signs", "every": 10},
}
"""Control → its fields."""

AT = {
    "25 %": tuple(KINDS),
    "10 %": (TWIN, "exchange", "reflect", "winsorise"),
    "50 %": (TWIN, "exchange"),
}
"""Point of the fork → the controls there, in the order in which they are trained."""


def named(point: str, kind: str) -> str:
    """Name of an arm.

    Examples
    --------
    >>> named("25 %", "exchange")
    'at 25 %: exchange'
    """
    return f"at {point}: {kind}"


def twin(arm: str) -> str:
    """Name of the arm that a control is compared with.

    Examples
    --------
    >>> twin("at 25 %: exchange")
    'at 25 %: untreated'
    """
    return f"{arm.partition(': ')[0]}: {TWIN}"


def _changes(point: str, kind: str) -> dict[str, Any]:
    fields = KINDS[kind] | ({"first_layer": 1} if point == "10 %" else {})
    return {f"control.{name}": value for name, value in fields.items()}


ARMS = {named(point, kind): (point, _changes(point, kind)) for point, kinds in AT.items() for kind in kinds}

EXPECTED: dict[str, tuple[float, float]] = {
    named("25 %", "exchange"): (-0.3, 0.4),
    named("25 %", "signs of 1"): (-1.0, 0.9),
    named("25 %", "signs of 10"): (-1.0, 0.8),
    named("25 %", "signs of 100"): (-1.5, 0.5),
    named("25 %", "reflect"): (0.3, 1.0),
    named("25 %", "winsorise"): (-0.1, 0.1),
    named("10 %", "exchange"): (-0.3, 0.4),
    named("10 %", "reflect"): (0.3, 1.0),
    named("10 %", "winsorise"): (-0.1, 0.1),
    named("50 %", "exchange"): (-0.4, 0.5),
}
"""Arm → interval of AF over all layers, mean of the seeds."""

CHANCES = {
    "row 10b: exchange takes away half of the deaths or more, in every layer that counts": 0.08,
    "winsorising changes deaths by less than a tenth (row 11b, b), at 25 %": 0.7,
    "signs of 1 step raise deaths": 0.5,
    "reflecting takes away more deaths than exchanging, at 25 %": 0.85,
    "AF of exchange is lower for the rarest half of units than for the others, at 25 %": 0.5,
    "exchange counts in every seed, at 25 %: its loss and path stay near the twin's": 0.1,
}
"""Sentence → the chance written for it; see `sentences`."""

LEAST = 100
"""Deaths expected among a layer's treated units for it to count."""
NEAR = 0.01
"""Relative distance of a fork's final loss from its twin's up to which a control counts."""
PATH = 0.05
"""The same of the length of the treated units' path in it."""


def config(scale: str) -> shared.Config:
    """All forks of every seed at a shape, seed by seed."""
    return forked.config(scale, ARMS)


def run(config: shared.Config) -> xr.Dataset:
    """Units that lived and that died by (arm, seed, layer, decile, treated), trained where they do not exist."""
    return forked.made("attribution", config, __name__, assemble)


def assemble(config: shared.Config, runs: Sequence[xr.Dataset | None]) -> xr.Dataset:
    """The dataset of the forks there are, in the order of `config.runs`; None was not run, its values are missing."""
    return forked.assemble(config, runs, ARMS, measured)


def measured(fork: xr.Dataset) -> dict[str, Any]:
    """What is kept of a fork, by name: dimensions, values, unit and description."""
    kinds = (forked.deciles(fork), forked.DECILES), (fork["treated"].transpose("layer", "unit").values.astype(int), 2)
    dims = ("layer", "decile", "treated")
    alive, dead = forked.lived(fork), forked.dead_at_the_end(fork)
    path = fork["path_length"].astype(float)
    sums = [path.where(fork["treated"] == which, 0).sum("unit").values for which in (False, True)]
    return {
        "lived": (dims, forked.counted(alive, *kinds), "units", "units that lived at the fork"),
        "died": (dims, forked.counted(alive & dead, *kinds), "units", "of these, units that are dead at the end"),
        "path_length": (
            ("layer", "treated"),
            np.stack(sums, -1),
            "1",
            "length of the units' data-driven updates, added up",
        ),
    }


def attributable(dataset: xr.Dataset, decile: slice | None = None, treated: bool = True) -> xr.DataArray:
    """AF by (arm, seed, layer) of the arms that are no twins; NaN where none died in the twin, or a fork has no end.

    Parameters
    ----------
    decile
        Tenths by firing rate at the fork; None: all.
    treated
        Of which units; what comes out of those whose updates are their own is no effect on them but a spill-over.
    """
    died = dataset["died"].sel(treated=treated)
    died = (died if decile is None else died.isel(decile=decile)).sum("decile", skipna=False)
    found = []
    for arm in dataset["arm"].values.tolist():
        if arm != twin(arm):
            without = died.sel(arm=twin(arm), drop=True)
            found.append((1 - died.sel(arm=arm) / without.where(without > 0)).assign_coords(arm=arm))
    return xr.concat(found, "arm", coords="minimal", compat="override", join="exact")


def expected_deaths(dataset: xr.Dataset, point: str) -> xr.DataArray:
    """Deaths expected among the treated that lived, at the share of the twin's untreated units: (seed, layer)."""
    of = dataset.sel(arm=named(point, TWIN)).sum("decile", skipna=False)
    share = of["died"].sel(treated=False) / of["lived"].sel(treated=False)
    return share * of["lived"].sel(treated=True)


def counts(dataset: xr.Dataset, arm: str) -> pd.DataFrame:
    """A row a seed: loss and the treated units' path beside the twin's, and whether the control counts."""
    of, without = (dataset.sel(arm=each) for each in (arm, twin(arm)))
    loss = (of["final_loss"] / without["final_loss"] - 1).values
    path = [each["path_length"].sel(treated=True).sum("layer", skipna=False) for each in (of, without)]
    ratio = (path[0] / path[1] - 1).values
    rows = {"loss, relative": loss, "path, relative": ratio, "counts": (abs(loss) <= NEAR) & (abs(ratio) <= PATH)}
    return pd.DataFrame(rows, index=pd.Index(dataset["seed"].values, name="seed"))


def judge(dataset: xr.Dataset, point: str = "25 %") -> pd.DataFrame:
    """Row 10b, a row a layer: AF of exchange, its interval (Student, 95 %) over the seeds that count, and `holds`.

    `holds` is None where the layer does not count, since fewer than `LEAST` deaths are expected among its treated
    units, or fewer than `forked.SEEDS` seeds count.
    """
    arm = named(point, "exchange")
    good = counts(dataset, arm)["counts"].values
    fraction, likely = attributable(dataset).sel(arm=arm), expected_deaths(dataset, point).mean("seed")
    rows = []
    for layer in dataset["layer"].values.tolist():
        values = fraction.sel(layer=layer).values[good]
        values = values[np.isfinite(values)]
        mean, half = (float(values.mean()), half_width(values)) if len(values) > 1 else (np.nan, np.nan)
        deaths = float(likely.sel(layer=layer))
        decides = deaths >= LEAST and len(values) == forked.SEEDS
        holds = bool(mean >= 0.5 and mean - half > 0.25) if decides else None
        rows.append((layer, deaths, mean, mean - half, mean + half, len(values), holds))
    columns = ["layer", "deaths expected", "AF", "low", "high", "seeds", "holds"]
    return pd.DataFrame(rows, columns=columns).set_index("layer")


def finding(dataset: xr.Dataset) -> Finding:
    """Row 10b: whether `judge` holds in every layer that counts; None in a seed in which exchange does not count."""
    arm = named("25 %", "exchange")
    table, fraction = counts(dataset, arm), overall(dataset).sel(arm=arm).values
    _, holds = forked.in_all(judge(dataset)["holds"])
    readings = []
    for (seed, row), taken in zip(table.iterrows(), fraction, strict=True):
        loss, path = (100 * float(row[f"{name}, relative"]) for name in ("loss", "path"))
        shown: dict[str, float | str] = {
            "share of deaths taken away, all layers (%)": 100 * float(taken),
            "loss, from the twin's (%)": loss,
            "path of updates, from the twin's (%)": path,
        }
        note = "" if holds is not None else "no layer is decided"
        if loss != loss:
            note = "a fork has no end"
        elif not row["counts"]:
            off = [f"loss more than {100 * NEAR:g} %"] * (abs(loss) > 100 * NEAR)
            off += [f"path more than {100 * PATH:g} %"] * (abs(path) > 100 * PATH)
            note = f"exchange does not count, {' and '.join(off)} from the twin's"
        readings.append(Reading(int(str(seed)), holds if row["counts"] else None, shown, note))
    known = table.dropna()  # where a seed does not count, no fork to come will change that
    waits = len(known) < len(table) and known["counts"].all()
    return Finding(tuple(readings), to_come=variants.to_come((dataset, (arm, twin(arm)))) if waits else "")


RULES = {"10b": Rule("attribution", finding)}
"""The ledger's row that these runs decide; row 11b reads `equivalent` and two parts of `outliers`."""


def equivalent(dataset: xr.Dataset, point: str = "25 %") -> tuple[float, float]:
    """Row 11b (b): the 90 % interval, over seeds, of the ratio of deaths with and without winsorising, all layers."""
    ratio = 1 - overall(dataset).sel(arm=named(point, "winsorise")).values
    return student(ratio[np.isfinite(ratio)], 0.9)


def overall(dataset: xr.Dataset, decile: slice | None = None, treated: bool = True) -> xr.DataArray:
    """AF over all treated layers together, (arm, seed); see `attributable`."""
    whole = dataset[["died"]].sum("layer", skipna=False).expand_dims("layer")
    return attributable(whole, decile, treated).isel(layer=0)


def _near(table: pd.DataFrame) -> tuple[str, bool | None]:
    """Of `counts`: how far paths are off, and whether the control counts in every seed; see `every.in_every`."""
    of = table.reset_index(drop=True).reindex(range(forked.SEEDS))
    path = 100 * of["path, relative"].where(of["loss, relative"].notna())
    return every.in_every(path, of["counts"].eq(True), "paths {:+.1f} to {:+.1f} %")


def predicted(dataset: xr.Dataset) -> pd.DataFrame:
    """`EXPECTED` against the runs; an arm without an end in every seed is neither right nor wrong."""
    fraction, rows = overall(dataset).mean("seed", skipna=False), []
    for arm, (low, high) in EXPECTED.items():
        came = float(fraction.sel(arm=arm))
        rows.append((arm, f"{low:g} to {high:g}", round(came, 2), None if came != came else low <= came <= high))
    return pd.DataFrame(rows, columns=["arm", "written before", "came", "holds"])


def sentences(dataset: xr.Dataset) -> pd.DataFrame:
    """`CHANCES` against the runs; None where a seed of what they read is missing, or no layer counts."""
    fraction, exchange = overall(dataset), named("25 %", "exchange")
    half = forked.DECILES // 2
    rare, often = (overall(dataset, part).sel(arm=exchange) for part in (slice(None, half), slice(half, None)))
    of = {kind: fraction.sel(arm=named("25 %", kind)) for kind in list(KINDS)[1:]} | {"rare": rare, "often": often}
    means = {kind: float(each.mean(skipna=False)) for kind, each in of.items()}
    low, high = equivalent(dataset)
    came = [
        forked.in_all(judge(dataset)["holds"]),
        (f"{low:.2f} to {high:.2f}", low >= 0.9 and high <= 1.1 if np.isfinite(means["winsorise"]) else None),
        (f"AF {means['signs of 1']:.2f}", forked.larger(0, means["signs of 1"])),
        (f"{means['reflect']:.2f} and {means['exchange']:.2f}", forked.larger(means["reflect"], means["exchange"])),
        (f"{means['rare']:.2f} and {means['often']:.2f}", forked.larger(means["often"], means["rare"])),
        _near(counts(dataset, exchange)),
    ]
    return forked.said(CHANCES, came)

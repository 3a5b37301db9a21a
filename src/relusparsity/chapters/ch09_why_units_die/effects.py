"""What chapter 09 shows of forks, computed of a dataset of them: this machine's, or a recorded one.

Of this machine's it is `experiment`'s, of a GPU's those of `attribution` and `sealing`: arms have the same names.
"""

from typing import Any

import numpy as np
import xarray as xr

from ...errors import UserError
from ...experiments import attribution, sealing
from ...store import results

ABOUT = ("scale", "recipe", "provenance", "dead_after", "where")
"""Attributes that titles and captions say."""

TWIN = "twin"
ORDER = ("exchange", "signs of 1", "signs of 10", "signs of 100", "reflect", "winsorise")
"""Controls as readers meet them."""

FREE, FROZEN, STILL = "nothing frozen", "upstream frozen", "all that moves the dead frozen"
"""What readers call the forks by which revivals are explained."""


def of_controls(dataset: xr.Dataset, point: str) -> xr.Dataset:
    """What each control takes away of its twin's deaths, for the forks from one point of the training.

    Returns
    -------
    Dataset
        `fraction` (control, seed, layer) and `overall` (control, seed), which is over all layers: AF, missing where
        nothing dies in the twin; `died`, `lived` (fork, seed, layer): treated units, the twin's too, which is the first
        fork; `loss`, `path` (control, seed): how the final loss, and the length of the treated units' path, differ from
        the twin's, relative to it; `counts` (control, seed): whether both are near enough for row 10b.

    Raises
    ------
    UserError
        If the dataset has no control there.
    """
    twin = attribution.named(point, attribution.TWIN)
    arms = [arm for arm in dataset["arm"].values.tolist() if attribution.twin(arm) == twin != arm]
    if twin not in dataset["arm"].values or not arms:
        there = sorted({arm.partition(": ")[0] for arm in dataset["arm"].values.tolist() if ": " in arm})
        raise UserError(
            f"of_controls found no control beside its twin at {point!r}; the dataset has {', '.join(there) or 'none'}."
        )
    forks = dataset.sel(arm=[twin, *arms])
    kinds = [arm.partition(": ")[2] for arm in arms]
    order = sorted(kinds, key=[*ORDER, *kinds].index)
    treated = forks[["died", "lived"]].sel(treated=True, drop=True).sum("decile", skipna=False)
    values = treated.assign_coords(arm=[TWIN, *kinds]).rename(arm="fork")
    values["fraction"], values["overall"] = (
        of(forks).assign_coords(arm=kinds).rename(arm="control").drop_vars("treated")
        for of in (attribution.attributable, attribution.overall)
    )
    tables = [attribution.counts(forks, arm) for arm in arms]
    for name, column in (("loss", "loss, relative"), ("path", "path, relative"), ("counts", "counts")):
        values[name] = (("control", "seed"), np.stack([table[column].values for table in tables]))
    share = float(_config(dataset, arms[0])["control"]["share"])
    return values.sel(control=order, fork=[TWIN, *order]).assign_attrs(_about(dataset, treated_share=share))


def of_revivals(dataset: xr.Dataset, layer: int, free: str) -> xr.Dataset:
    """One layer's hazard of firing again, with its upstream free and frozen, and where all that moves its dead is.

    Parameters
    ----------
    free
        Name of the arm in which nothing is frozen.

    Returns
    -------
    Dataset
        `at_risk`, `fired` (fork, seed, silent_steps): unit-steps; `dead`, `came_back` (fork, seed): units.

    Raises
    ------
    UserError
        If a fork of that layer is not in the dataset.
    """
    names = {free: FREE, sealing.named(frozen=layer): FROZEN, sealing.floor(layer): STILL}
    there = [arm for arm in names if arm in dataset["arm"].values]
    if free not in there or len(there) < 2:
        raise UserError(
            f"of_revivals needs the forks {free!r} and {sealing.named(frozen=layer)!r}; the dataset has "
            f"{', '.join(map(repr, dataset['arm'].values.tolist()))}."
        )
    short = {"silent_at_risk": "at_risk", "silent_fired": "fired", "dead_at_fork": "dead", "came_back": "came_back"}
    of = dataset[list(short)].sel(arm=there, layer=layer, drop=True).rename(short)
    values = of.assign_coords(arm=[names[arm] for arm in there]).rename(arm="fork")
    after = int(dataset.attrs["dead_after"]) // int(_config(dataset, free)["train"]["batch_tokens"])
    return values.assign_attrs(_about(dataset, layer=layer, dead_steps=after))


def _config(dataset: xr.Dataset, arm: str) -> dict[str, Any]:
    config: dict[str, Any] = results.provenance(dataset)["configs"][arm]
    return config


def _about(dataset: xr.Dataset, **more: float) -> dict[str, object]:
    return {name: dataset.attrs[name] for name in ABOUT if name in dataset.attrs} | more

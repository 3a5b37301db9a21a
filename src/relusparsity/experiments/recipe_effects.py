"""What each ingredient of the recipe does: main effects and pairs of the two-level factorial, with intervals.

Two endpoints were named before the runs: the logit of layer 0's batch use, and the index of the lowest layer. The logit
of the last layer's was added after them. A seed is a block, since runs of one seed read the data in the same order. A
factor's effect is the mean over the runs at its high level minus the mean at its low level; a pair's effect is half of
what one factor's effect gains when the other goes from low to high. At resolution V these can be told apart from each
other, but not from effects of three and four factors, which we take to be small. The residuals of the fit, by cell and
seed, give the error: 95 % t intervals, and p values corrected after Holm (1979) over the effects on one endpoint. The
module sees datasets only.
"""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import scipy
import xarray as xr

from ..errors import UserError

USE, LOWEST, LAST = "logit of batch use of layer 0", "index of the lowest layer", "logit of batch use of layer 5"
UNITS = {USE: "logits", LOWEST: "layers", LAST: "logits"}
WORDS = {"embedding_std": "embedding", "weight_decay": "decay"}  # shorter names of factors
FULL = 0.99
"""A layer counts as full if this share of its units is in use: its place among the layers then says little."""


def factors(dataset: xr.Dataset) -> pd.DataFrame:
    """The factors in the order of the design: field, low and high level (low: the smaller, or first by its name)."""
    rows = {}
    for name, coordinate in dataset.coords.items():
        if coordinate.dims == ("recipe",) and name not in ("recipe", "changed"):
            levels = sorted(set(coordinate.values.tolist()), key=_order)
            if len(levels) != 2:
                raise UserError(f"the factor {name!r} has the levels {levels}; effects need two levels a factor.")
            rows[str(name)] = [coordinate.attrs.get("long_name", name), *levels]
    if len(rows) < 2:
        raise UserError(
            f"the recipes differ in {len(rows)} factors; effects need a factorial, with its factors as coordinates "
            "of 'recipe'."
        )
    return pd.DataFrame.from_dict(rows, orient="index", columns=["setting", "low", "high"]).rename_axis("factor")


def _order(level: str) -> tuple[float, str]:
    try:
        return float(level), ""
    except ValueError:
        return 0.0, level


def design(dataset: xr.Dataset) -> pd.DataFrame:
    """−1 or +1 for each main effect and pair (column) in each cell (row).

    Raises
    ------
    UserError
        If two columns are not orthogonal: effects could then not be told apart.
    """
    table = factors(dataset)
    mains = {
        WORDS.get(name, name): np.where(dataset[name].values == high, 1, -1) for name, high in table["high"].items()
    }
    pairs = {f"{a} × {b}": mains[a] * mains[b] for a, b in combinations(mains, 2)}
    columns = pd.DataFrame(mains | pairs, index=dataset["recipe"].values)
    crossed = columns.T.values @ columns.values
    if columns.values.sum(axis=0).any() or (crossed != len(columns) * np.eye(columns.shape[1])).any():
        raise UserError(
            f"{len(columns)} recipes do not separate {columns.shape[1]} main effects and pairs of {len(mains)} "
            "factors; effects need a balanced factorial of resolution V, with every cell recorded."
        )
    return columns


def endpoints(dataset: xr.Dataset, one_set: bool = False, last: bool = False) -> xr.Dataset:
    """Both endpoints of every run, (recipe, seed), from `final_batch_use`; with `last`, that of the last layer too.

    A share of exactly 1 has no logit. U_0 is a count k of N = sets × d_ff chances to fire, so 1 says only that fewer
    than one of N was missed. We add half a unit to both sides in every run: log((k + ½) / (N − k + ½)). The sets share
    their weights, and a unit silent in one tends to be silent in the next, so N chances are worth fewer; `one_set`
    takes N = d_ff, the other extreme. Layers that tie for the lowest share their mean index.
    """
    use = dataset["final_batch_use"].transpose("recipe", "seed", "set", "layer").astype(float)
    chances = dataset.attrs["d_ff"] * (1 if one_set else use.sizes["set"])
    mean = use.mean("set")
    fired = mean * chances
    logit = np.log((fired + 0.5) / (chances - fired + 0.5))
    lowest = (mean == mean.min("layer")).where(mean.notnull())
    index = (lowest * np.arange(use.sizes["layer"])).sum("layer", skipna=False) / lowest.sum("layer", skipna=False)
    found = {USE: logit.isel(layer=0, drop=True), LOWEST: index}
    return xr.Dataset(found | ({LAST: logit.isel(layer=-1, drop=True)} if last else {}))


def effects(dataset: xr.Dataset, one_set: bool = False, last: bool = False) -> xr.Dataset:
    """Every main effect and pair: `effect`, `low`, `high`, `p`, `p_holm` (endpoint, term); `points` (term).

    With `last`, on the third endpoint too: see `endpoints`.

    Effects are in units of their endpoint. `points` is what an effect on the logit is worth in percentage points of
    U_0, from half the effect below the mean logit to half above.
    """
    terms = design(dataset)
    cells, found = len(terms), endpoints(dataset, one_set, last)
    seeds = found.sizes["seed"]
    if seeds < 2:
        raise UserError("effects need two seeds or more of every cell: without them nothing measures the error.")
    block = np.tile(np.eye(seeds), (cells, 1))  # its columns add up to the mean
    columns = np.hstack([block, np.repeat(terms.values, seeds, axis=0)])
    fits = [_fit(columns, found[name].values.ravel(), terms.shape[1]) for name in found]
    out = xr.Dataset(
        {name: (("endpoint", "term"), [fit[name] for fit in fits]) for name in ("effect", "low", "high", "p")},
        {
            "endpoint": list(found),
            "term": list(terms.columns),
            "unit": ("endpoint", [UNITS[str(name)] for name in found]),
        },
        {"degrees_of_freedom": fits[0]["degrees_of_freedom"]},
    )
    out["p_holm"] = ("endpoint", "term"), [holm(fit["p"]) for fit in fits]
    out["mean"] = "endpoint", [float(found[name].mean()) for name in found]
    out["points"] = "term", _points(out["effect"].sel(endpoint=USE).values, float(out["mean"].sel(endpoint=USE)))
    return out.assign_attrs({n: dataset.attrs[n] for n in ("scale", "provenance") if n in dataset.attrs})


def _points(effect: np.ndarray, mean: float) -> np.ndarray:
    return 100 / (1 + np.exp(-mean - effect / 2)) - 100 / (1 + np.exp(-mean + effect / 2))


def _fit(columns: np.ndarray, y: np.ndarray, terms: int) -> dict[str, np.ndarray]:
    """Least squares; effect, 95 % interval and p of the last `terms` columns (levels −1 and +1)."""
    if not np.isfinite(y).all():
        raise UserError(
            "a run has no endpoint (it diverged, or was not measured); effects need every run of the design."
        )
    slopes, _, rank, _ = np.linalg.lstsq(columns, y, rcond=None)
    freedom = len(y) - int(rank)
    if rank < columns.shape[1] or freedom < 1:
        raise UserError(f"{len(y)} values do not determine {columns.shape[1]} unknowns and their error.")
    variance = ((y - columns @ slopes) ** 2).sum() / freedom
    if variance <= 1e-20 * (y**2).mean():
        raise UserError("an endpoint is the same in every seed, so nothing measures its error; record more seeds.")
    error = 2 * np.sqrt(variance * np.diag(np.linalg.inv(columns.T @ columns)))[-terms:]
    effect = 2 * slopes[-terms:]
    reach = scipy.stats.t.ppf(0.975, freedom) * error
    p = 2 * scipy.stats.t.sf(np.abs(effect / error), freedom)
    low, high = effect - reach, effect + reach
    return {"effect": effect, "low": low, "high": high, "p": p, "degrees_of_freedom": np.array(freedom)}


def holm(p: np.ndarray) -> np.ndarray:
    """Correct m p values for their number (Holm 1979): the smallest times m, the next times m − 1, never decreasing.

    SciPy corrects for false discoveries only (`scipy.stats.false_discovery_control`).

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p)
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return corrected


def table(found: xr.Dataset, endpoint: str) -> pd.DataFrame:
    """A table of the effects on one endpoint, the largest first; for the logit also in points of U_0 at the mean."""
    at = found.sel(endpoint=endpoint)
    shown = pd.DataFrame({"effect": at["effect"].values.round(2) + 0.0}, at["term"].values)
    shown["95 % interval"] = [_interval(a, b) for a, b in zip(at["low"].values, at["high"].values, strict=True)]
    shown["p"], shown["p, Holm"] = ([_p(p) for p in at[name].values] for name in ("p", "p_holm"))
    if endpoint == USE:
        shown["points at the mean"] = (100 * at["points"].values).round() + 0.0
    return shown.iloc[np.argsort(-np.abs(at["effect"].values), kind="stable")]


def _interval(low: float, high: float) -> str:
    return f"{low:.2f} … {high:.2f}".replace("-", "−")


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def ceilings(dataset: xr.Dataset) -> pd.Series:
    """How often an endpoint says little: in runs with U_0 exactly 1 or several lowest layers, and in full recipes."""
    use = dataset["final_batch_use"].astype(float).mean("set")
    tied = (use == use.min("layer")).sum("layer") > 1
    return pd.Series(
        {
            "runs": use.sizes["recipe"] * use.sizes["seed"],
            "runs with a batch use of layer 0 of exactly 1": int((use.isel(layer=0) == 1).sum()),
            "runs in which layers tie for the lowest": int(tied.sum()),
            f"recipes with no layer under {100 * FULL:g} % (mean of seeds)": int((~emptied(dataset)).sum()),
        }
    )


def emptied(dataset: xr.Dataset) -> np.ndarray:
    """Whether some layer of a recipe leaves units idle: (recipe)."""
    use = dataset["final_batch_use"].astype(float).mean(("seed", "set"))
    return (use.min("layer") < FULL).values


def coarser_logit(dataset: xr.Dataset) -> pd.DataFrame:
    """Sensitivity: effects on the logit with half a unit added of all sets (as named before), and of one set."""
    columns: dict[str, Any] = {}
    for words, one_set in (("all sets", False), ("one set", True)):
        found = effects(dataset, one_set).sel(endpoint=USE)
        columns[f"effect, {words}"] = found["effect"].values.round(2) + 0.0
        columns[f"p, Holm, {words}"] = [_p(p) for p in found["p_holm"].values]
    return pd.DataFrame(columns, found["term"].values)


def without_full_recipes(dataset: xr.Dataset) -> pd.DataFrame:
    """Sensitivity: main effects on the lowest layer, with and without the recipes that have no layer under 99 %.

    The recipes that are left are not balanced and too few for pairs, so both columns are least squares of main effects
    alone, on the mean of each recipe's seeds; the effects of pairs become part of the error.
    """
    terms = design(dataset)[[WORDS.get(name, name) for name in factors(dataset).index]]
    mean = endpoints(dataset)[LOWEST].mean("seed").values
    some, columns = emptied(dataset), dict[str, Any]()
    for words, kept in (("all", np.ones(len(mean), bool)), ("emptied", some)):
        rows = np.hstack([np.ones((kept.sum(), 1)), terms.values[kept]])
        fit = _fit(rows, mean[kept], terms.shape[1])
        columns[f"effect, {words} ({kept.sum()})"] = fit["effect"].round(2) + 0.0
        columns[f"interval, {words}"] = [_interval(a, b) for a, b in zip(fit["low"], fit["high"], strict=True)]
    return pd.DataFrame(columns, terms.columns)

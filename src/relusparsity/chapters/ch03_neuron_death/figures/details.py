"""Figures of chapter 03, continued: what units look like before they die, and units silent on one domain only."""

import numpy as np
import xarray as xr

from ....plots import style
from ....plots.chart import Axis, Chart, Mark, Panel
from ....plots.figure import Figure, figure
from ....plots.reading import attribute, how_many, layers, percent, tokens, units, variable

QUANTITIES = {
    "preactivation_mean": "pre-activation, mean",
    "preactivation_std": "pre-activation, standard deviation",
    "preactivation_p99": "pre-activation, 99th percentile",
    "input_weight_norm": "norm of the input weights",
}
BINS_BEFORE, BINS_AFTER = 12, 4
LEAST_UNITS = 10  # a median of fewer is not drawn


def drift_before_death(dataset: xr.Dataset) -> Figure:
    """How units change before they die, aligned at the onset of death, compared with units that never die.

    Parameters
    ----------
    dataset : Dataset
        `preactivation_mean`, `preactivation_std`, `preactivation_p99`, `input_weight_norm` (seed, history_step, layer,
        history_unit); `history_tokens` (history_step); `death_onset` (seed, layer, unit), missing if never; the
        coordinate `history_unit` (the units' indices).
    """
    found = {n: _history(dataset, n) for n in QUANTITIES}
    seen = tokens(dataset, "drift_before_death", "history_tokens", "history_step")
    onset = variable(dataset, "drift_before_death", "death_onset", "seed", "layer", "unit")
    onset = onset.isel(unit=found["preactivation_mean"]["history_unit"].values.astype(int))
    # most units must have been followed for that long before they die
    known = onset.values[np.isfinite(onset.values)]
    back = min(float(seen.max()) / 2, *np.quantile(known, [0.9])) if known.size else float(seen.max()) / 2
    edges = np.linspace(-back, back * BINS_AFTER / BINS_BEFORE, BINS_BEFORE + BINS_AFTER + 1)
    middle = (edges[:-1] + edges[1:]) / 2
    numbers = layers(onset)
    panels, table, dying, curves_of = [], {}, {}, {}
    reach = (float(edges[0]), float(edges[-1]))
    for row, (name, what) in enumerate(QUANTITIES.items()):
        panel = Panel(what, Axis("tokens from the last firing", tokens=True, limits=reach), Axis(), row=row, cursor=0.0)
        curves = np.full((2, len(numbers), len(middle)), np.nan)
        for k, i in enumerate(numbers):
            of_layer = found[name].sel(layer=i).values
            curves[0, k], curves[1, k], dying[i] = aligned_at_onset(of_layer, onset.sel(layer=i).values, seen, edges)
            colour, group = style.layer_colour(i, len(numbers)), f"layer {i}"
            hover = f"layer {i}, {{x}} tokens from the last firing\nnever dying, same steps: {{y}}"
            panel.marks.append(
                Mark("line", middle, curves[1, k], colour, group=group, hover=hover, dash="dot", width=1.3)
            )
            hover = f"layer {i}, {{x}} tokens from the last firing\nmedian of {dying[i]} dying units: {{y}}"
            legend = str(i) if row == 0 else ""
            panel.marks.append(Mark("line", middle, curves[0, k], colour, legend, group, hover))
            panel.marks.append(Mark("points", middle, curves[0, k], colour, group=group, size=4))
        panels.append(panel)
        curves_of[name] = curves
        table[name] = (("group", "layer", "tokens_from_onset"), curves)
    coords = {"group": ["dying", "never dying"], "layer": numbers, "tokens_from_onset": middle}
    counted = ", ".join(f"{n} in layer {i}" for i, n in dying.items())
    caption = (
        "Units observed from before the run, moved so that the last firing before their first death is at 0. "
        f"Solid: median of the dying ones ({counted}; all seeds). Dotted: for each of those, the median of the "
        "units of its layer and seed that never die, at the same steps, so that what training does to every "
        f"unit is taken off. Bins of {style.si(edges[1] - edges[0])} tokens; none is drawn with fewer than "
        f"{LEAST_UNITS} units."
    )
    chart = Chart(panels, [130] * len(panels))
    drawn, finding = [("", xr.Dataset(table, coords))], _before(curves_of["preactivation_mean"], numbers)
    return figure(f"{__name__}.drift_before_death", chart, caption, drawn, finding, dataset)


def _before(curves: np.ndarray, numbers: list[int]) -> str:
    """Whether pre-activations lie lower just before the last firing: (dying or not, layer, bin) → a sentence."""
    dying, never = curves[..., BINS_BEFORE - 1]
    known = np.isfinite(dying) & np.isfinite(never)
    lower = [str(i) for k, i in enumerate(numbers) if known[k] and dying[k] < never[k]]
    if not known.any():
        return "Too few units die to see what they do before"
    which = f"in {how_many(len(lower), 'layer')} of {known.sum()}"
    return f"Just before they die, units have a lower mean pre-activation than those that live {which}"


def _history(dataset: xr.Dataset, name: str) -> xr.DataArray:
    return variable(dataset, "drift_before_death", name, "seed", "history_step", "layer", "history_unit")


def aligned_at_onset(
    values: np.ndarray, onset: np.ndarray, seen: np.ndarray, edges: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """Medians of dying units by tokens from their onset, and of units that never die, at the same seeds and steps.

    Parameters
    ----------
    values : (seed, history_step, unit)
    onset : (seed, unit)
        In tokens, NaN for a unit that never died.
    seen : (history_step)
        Tokens seen at each step.
    edges : (bin + 1)
        In tokens from the onset.

    Returns
    -------
    dying, never : (bin)
        NaN where the bin has fewer than `LEAST_UNITS` dying units, or no unit that never dies.
    number of dying units
    """
    died = np.isfinite(onset)
    never = np.array(
        [
            np.median(v[:, ~d], axis=1) if (~d).any() else np.full(len(seen), np.nan)
            for v, d in zip(values, died, strict=True)
        ]
    )
    seed, unit = np.nonzero(died)
    relative = seen[None, :] - onset[seed, unit][:, None]  # (dying unit, step)
    place = np.digitize(relative, edges) - 1
    of_dying, of_never = values[seed, :, unit], never[seed]
    out = np.full((2, len(edges) - 1), np.nan)
    for b in range(len(edges) - 1):
        here = place == b
        if here.any(axis=1).sum() >= LEAST_UNITS:
            out[:, b] = np.median(of_dying[here]), np.median(of_never[here])
    return out[0], out[1], len(seed)


def domains(dataset: xr.Dataset) -> Figure:
    """Units silent on one domain that fire on another, layer by layer.

    Parameters
    ----------
    dataset : Dataset
        `domain_silent_units` (seed, layer, silent_on, fires_on), units, with the attribute `sample_tokens` (its
        diagonal counts units that fire on a second sample of the same domain); the number of units.
    """
    dims = ("seed", "layer", "silent_on", "fires_on")
    silent = variable(dataset, "domains", "domain_silent_units", *dims)
    sample, n_units = attribute(silent, "domains", "sample_tokens"), units(dataset, "domains")
    share = 100 * silent.mean("seed").values / n_units
    on, fires = silent["silent_on"].values.tolist(), silent["fires_on"].values.tolist()
    numbers = layers(silent)
    whole = share.mean(axis=0)
    hover = "silent on {y}, fires on {x}\n{z} % of units"

    def panel(z: np.ndarray, title: str, row: int = 0, col: int = 0) -> Panel:
        cells = Mark("cells", fires, on, style.ACCENT, hover=hover, z=z)
        return Panel(title, Axis(words=True), Axis(words=True, downwards=True), [cells], row=row, col=col)

    each = [
        panel(whole, "all layers"),
        *(panel(share[k], f"layer {i}", (k + 2) // 2, k % 2) for k, i in enumerate(numbers)),
    ]
    chart = Chart(each, [30 + 26 * len(on)] * (1 + max(p.row for p in each)), 2)
    caption = (
        f"Share of units (%) that fire at none of {style.si(sample)} tokens of the row's domain but do fire in "
        f"as many of the column's; mean of {how_many(silent.sizes['seed'], 'seed')}. On the diagonal the other "
        "text is a second sample of the same domain: what chance gives, to be taken off the rest of the row. "
        "A unit that is silent on one kind of text need not be dead."
    )
    beyond = whole - np.diag(whole)[:, None]
    row, column = np.unravel_index(beyond.argmax(), beyond.shape)
    finding = (
        f"{percent(float(whole[row, column]))} of units are silent on {on[row]} and fire on {fires[column]}; on other "
        f"text from {on[row]}, {percent(float(whole[row, row]))} do"
    )
    drawn = [("", xr.Dataset({"domain_silent_units": silent}))]
    return figure(f"{__name__}.domains", chart, caption, drawn, finding, dataset)

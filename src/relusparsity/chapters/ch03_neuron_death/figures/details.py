"""Figures of chapter 03, continued: what units look like before they die."""

import numpy as np
import xarray as xr

from ....plots import style
from ....plots.chart import Axis, Chart, Control, Mark, Panel, State
from ....plots.figure import Figure, figure
from ....plots.reading import how_many, layers, tokens, variable

QUANTITIES = {
    "preactivation_mean": "mean of z",
    "preactivation_std": "standard deviation of z",
    "preactivation_p99": "99th percentile of z",
    "input_weight_norm": "norm of input weights",
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
    seen = tokens(dataset, "drift_before_death", "history_tokens", "history_step")
    edges = _edges(dataset, seen)
    middle = (edges[:-1] + edges[1:]) / 2
    each = [aligned(dataset, name) for name in QUANTITIES]
    curves, dying = np.stack([found for found, _ in each]), each[0][1]
    numbers = list(dying)
    chart = _of_one_layer(curves, numbers, middle, (float(edges[0]), float(edges[-1])))
    caption = (
        f"z is a unit's pre-activation. Solid: median of {min(dying.values()):,} to {max(dying.values()):,} followed "
        "units per layer that die, moved so that the last firing before their first death is at 0. Dotted: units of "
        "the same layer and seed that never die, at the same steps, which shows what training does to all."
    )
    coords = {"group": ["dying", "never dying"], "layer": numbers, "tokens_from_onset": middle}
    table = {n: (("group", "layer", "tokens_from_onset"), curves[q]) for q, n in enumerate(QUANTITIES)}
    drawn, finding = [("", xr.Dataset(table, coords))], _before(curves[0], numbers)
    return figure(f"{__name__}.drift_before_death", chart, caption, drawn, finding, dataset)


def _of_one_layer(curves: np.ndarray, numbers: list[int], middle: np.ndarray, reach: tuple[float, float]) -> Chart:
    """A panel per quantity, with a choice of the layer: (quantity, dying or not, layer, bin) → chart."""
    panels: list[Panel] = []
    states = [State(str(i), {}) for i in numbers]
    for q, what in enumerate(QUANTITIES.values()):
        known = curves[q][np.isfinite(curves[q])]
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
        room = 0.06 * (high - low) or 1.0
        axis = Axis("tokens from the last firing", tokens=True, limits=reach)
        panel = Panel("", axis, Axis(limits=(low - room, high + room)), row=q // 2, col=q % 2, cursor=0.0)
        for group, name, colour in ((1, "never dying", style.INK), (0, "dying", style.ACCENT)):
            hover = f"{{x}} tokens from the last firing\n{name}, median: {{y}}"
            values = curves[q, group]
            dash = "dot" if group else "solid"
            line = Mark("line", middle, values[0], colour, name if q == 0 else "", name, hover, dash=dash)  # type: ignore[arg-type]
            marks = [line] if group else [line, Mark("points", middle, values[0], colour, group=name, size=4)]
            panel.marks += marks
            for k, state in enumerate(states):
                state.marks |= {mark: {"y": values[k]} for mark in marks}
        panel.title = f"layer {numbers[0]}: {what}"
        for i, state in zip(numbers, states, strict=True):
            state.titles[panel] = f"layer {i}: {what}"
        panels.append(panel)
    control = Control("choice", "Layer", states, 0)
    return Chart(panels, [150, 150], 2, control, legend="")


def _before(curves: np.ndarray, numbers: list[int]) -> str:
    """Whether pre-activations lie lower just before the last firing: (dying or not, layer, bin) → a sentence."""
    dying, never = curves[..., BINS_BEFORE - 1]
    known = np.isfinite(dying) & np.isfinite(never)
    lower = [str(i) for k, i in enumerate(numbers) if known[k] and dying[k] < never[k]]
    if not known.any():
        return "Too few units die to see what they do before"
    return (
        f"In {len(lower)} of {how_many(int(known.sum()), 'layer')}, dying units have a lower mean pre-activation than "
        "living ones just before their last firing"
    )


def aligned(dataset: xr.Dataset, name: str) -> tuple[np.ndarray, dict[int, int]]:
    """Medians of one quantity around the last firing: (dying or not, layer, bin), and how many units die by layer.

    Bin `BINS_BEFORE` - 1 is the last before it.
    """
    values = variable(dataset, "drift_before_death", name, "seed", "history_step", "layer", "history_unit")
    seen, onset = tokens(dataset, "drift_before_death", "history_tokens", "history_step"), _onset(dataset)
    edges, numbers = _edges(dataset, seen), layers(onset)
    curves, dying = np.full((2, len(numbers), len(edges) - 1), np.nan), {}
    for k, i in enumerate(numbers):
        curves[0, k], curves[1, k], dying[i] = aligned_at_onset(
            values.sel(layer=i).values, onset.sel(layer=i).values, seen, edges
        )
    return curves, dying


def _onset(dataset: xr.Dataset) -> xr.DataArray:
    """Of the followed units: (seed, layer, unit)."""
    onset = variable(dataset, "drift_before_death", "death_onset", "seed", "layer", "unit")
    return onset.isel(unit=dataset["history_unit"].values.astype(int))


def _edges(dataset: xr.Dataset, seen: np.ndarray) -> np.ndarray:
    """Edges of the bins, in tokens from the last firing; most units have been followed for as long before they die."""
    onset = _onset(dataset).values
    known = onset[np.isfinite(onset)]
    back = min(float(seen.max()) / 2, *np.quantile(known, [0.9])) if known.size else float(seen.max()) / 2
    return np.linspace(-back, back * BINS_AFTER / BINS_BEFORE, BINS_BEFORE + BINS_AFTER + 1)


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

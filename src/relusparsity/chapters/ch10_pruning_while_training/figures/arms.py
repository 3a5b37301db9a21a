"""Figures of chapter 10, continued: runs that lost units beside those that did not."""

import numpy as np
import xarray as xr

from ....errors import UserError
from ....plots import style
from ....plots.chart import Axis, Chart, Control, Mark, Panel, State, broken, seed_curves
from ....plots.figure import Figure, figure
from ....plots.reading import attribute, how_many, layers, tokens, variable

DENSE = "dense"
LOOK = {
    DENSE: (style.INK, "solid"),
    "pruned": (style.ACCENT, "solid"),
    "random": (style.ACCENT, "dot"),
    "narrow": ("layer-12", "dash"),
    "recommended": ("layer-18", "dashdot"),
}
"""Arm → colour and dash of its line."""
SYMBOLS = {"pruned": ("circle", 9), "random": ("open", 15), "narrow": ("cross", 9), "recommended": ("diamond", 10)}
"""Arm → symbol of its points and their size; random has pruned's widths, and goes around it."""


def loss(dataset: xr.Dataset, name: str = "") -> Figure:
    """Held-out loss of each arm against tokens or seconds, from where the forks begin; a switch chooses.

    Parameters
    ----------
    dataset : Dataset
        `heldout_loss`, `training_seconds` (arm, seed, step); `tokens` (step); the attribute `fork_tokens`.
    name
        Last part of the figure's name, where a page shows two of one model.
    """
    dims = ("arm", "seed", "step")
    losses, seconds = (
        variable(dataset, "loss", each, *dims).astype(float) for each in ("heldout_loss", "training_seconds")
    )
    seen, fork = tokens(dataset, "loss"), attribute(dataset, "loss", "fork_tokens")
    later = seen >= fork
    whole = seconds.sel(arm=DENSE).max("step")  # of each seed's dense run
    across = {
        "tokens": xr.zeros_like(seconds) + xr.DataArray(100 * seen / seen[-1], dims="step"),
        "seconds": 100 * seconds / whole,
    }
    low = float(across["tokens"].isel(step=later).min())
    end = max(100.0, *(float(each.max()) for each in across.values()))
    axis = Axis("share of what the dense run takes in all, %", limits=(0.98 * low, end + 1))
    shown = losses.isel(step=later)
    room = 0.05 * float(shown.max() - shown.min())
    beside = Axis(limits=(float(shown.min()) - room, float(shown.max()) + room))
    titles = {of: f"held-out loss, nats per token, against {of}" for of in across}
    panel = Panel(titles["tokens"], axis, beside)
    states = [State(of, {}, titles={panel: titles[of]}) for of in across]
    known = [str(arm) for arm in losses["arm"].values if losses.sel(arm=arm).notnull().any()]
    for arm in known:
        colour, dash = LOOK[arm]
        of_arm = [each.sel(arm=arm).values[:, later] for each in (losses, *across.values())]
        y, *xs = (broken(np.arange(later.sum()), each)[1] for each in of_arm)  # seeds with gaps between them
        told = [*([style.si(at)] for at in seen[later]), [""]] * losses.sizes["seed"]
        hover = f"{arm}, {{0}} tokens\n{{x}} % of what dense takes in all\n{{y}} nats per token"
        mark = Mark("line", xs[0], y, colour, arm, arm, hover, told[:-1], dash=dash)  # type: ignore[arg-type]
        panel.marks.append(mark)
        for state, x in zip(states, xs, strict=True):
            state.marks[mark] = {"x": x}
    last = losses.isel(step=-1).mean("seed")
    rise = {arm: 100 * (float(last.sel(arm=arm) / last.sel(arm=DENSE)) - 1) for arm in known}
    spent = {arm: float((seconds.sel(arm=arm).isel(step=-1) / whole).mean("seed")) for arm in rise}
    finding = "At the same tokens " + "; ".join(
        f"{arm} ends {_signed(rise[arm])} % from dense's loss, in {100 * spent[arm]:.0f} % of its seconds"
        for arm in rise
        if arm != DENSE
    )
    caption = (
        "One line per arm and seed, from the first removal on. Lower and further to the left is better. Against tokens "
        "all arms end at 100 %; against seconds those end first that take less time per step. "
        f"{dataset['training_seconds'].attrs.get('long_name', '').capitalize()}. "
        f"{how_many(losses.sizes['seed'], 'seed').capitalize()}."
    )
    control = Control("choice", "Against", states, 0, "Choose what the arms are compared at.")
    data = xr.Dataset(
        {"heldout_loss": losses, "percent_of_tokens": across["tokens"], "percent_of_seconds": across["seconds"]}
    )
    chart = Chart([panel], [320], control=control, legend="")
    return figure(f"{__name__}.loss", chart, caption, [("", data.isel(step=later))], finding, dataset, name=name)


def units_left(dataset: xr.Dataset, arm: str = "pruned") -> Figure:
    """Units that each layer has over training, in percent of those that it began with.

    Parameters
    ----------
    dataset : Dataset
        `width` (arm, seed, step, layer); `tokens` (step); the attribute `fork_tokens`.
    """
    width = variable(dataset, "units_left", "width", "arm", "seed", "step", "layer").astype(float)
    seen, fork = tokens(dataset, "units_left"), attribute(dataset, "units_left", "fork_tokens")
    later = seen >= fork
    left = 100 * (width.sel(arm=arm) / width.sel(arm=DENSE).max(("seed", "step"))).isel(step=later)
    numbers = layers(left)
    panel = Panel(f"units left of the layer, %, {arm}", Axis("tokens seen", tokens=True), Axis(limits=(0.0, 104.0)))
    x, at = _held(seen[later])
    for layer in numbers:
        values = left.sel(layer=layer).transpose("seed", "step").values[:, at]
        hover = f"layer {layer}, {{x}} tokens\nmean {{y}} % of its units left (seeds {{0}} to {{1}} %)"
        colour = style.layer_colour(layer, len(numbers))
        panel.marks += seed_curves(x, values, colour, hover, str(layer), f"layer {layer}")
    end = left.isel(step=-1).mean("seed")
    low, high = int(end.idxmin("layer")), int(end.idxmax("layer"))
    finding = (
        f"At the end {float(end.mean()):.0f} % of all units are left: {float(end.min()):.0f} % in layer {low}, "
        f"{float(end.max()):.0f} % in layer {high}"
    )
    caption = (
        f"The arm {arm}, from the first removal on. Each step down is a removal; units that have gone stay away. "
        f"{how_many(left.sizes['seed'], 'seed').capitalize()}."
    )
    chart = Chart([panel], [280])
    drawn = [("", xr.Dataset({"units_left_percent": left}))]
    return figure(
        f"{__name__}.units_left", chart, caption, drawn, finding, dataset, name=arm if arm != "pruned" else ""
    )


def bound_and_speed(stages: xr.Dataset) -> Figure:
    """How many times as fast as the dense model each stage trained, against how many times at most.

    Parameters
    ----------
    stages : Dataset
        What `stages.of` gives: `bound`, `speed`, `left`, `begins`, `ends` (arm, seed, stage).

    Raises
    ------
    UserError
        If no arm has fewer units than the dense model.
    """
    dims = ("arm", "seed", "stage")
    at, speed, left, begins = (
        variable(stages, "bound_and_speed", name, *dims) for name in ("bound", "speed", "left", "begins")
    )
    known = at.where((at["arm"] != DENSE) & (left < 1))
    if not bool(known.notnull().any()):
        raise UserError("bound_and_speed compares arms that have fewer units than dense, and the dataset has none.")
    both = np.concatenate([known.values[np.isfinite(known.values)], speed.values[np.isfinite(known.values)], [1.0]])
    room = 0.08 * float(both.max() - both.min()) or 0.1
    limits = (float(both.min()) - room, float(both.max()) + room)
    panel = Panel(
        "measured: times as fast as dense",
        Axis("by operations: times as fast", limits=limits),
        Axis(limits=limits),
    )
    panel.marks.append(Mark("line", list(limits), list(limits), style.INK, "as the bound", width=1, dash="dot"))
    ends = {}
    for arm in map(str, stages["arm"].values):
        there = np.isfinite(known.sel(arm=arm).values)
        if not there.any():
            continue
        x, y = known.sel(arm=arm).values[there], speed.sel(arm=arm).values[there]
        told = [
            [f"{100 * share:.0f}", style.si(begin)]
            for share, begin in zip(left.sel(arm=arm).values[there], begins.sel(arm=arm).values[there], strict=True)
        ]
        hover = f"{arm}, from {{1}} tokens on, {{0}} % of the units\n{{y}} times as fast, by operations {{x}}"
        symbol, size = SYMBOLS[arm]
        mark = Mark("points", x, y, LOOK[arm][0], arm, arm, hover, told, symbol=symbol, size=size)  # type: ignore[arg-type]
        panel.marks.append(mark)
        ends[arm] = (float(x[-1]), float(y[-1]))
    finding = "; ".join(
        f"{arm} trains {y:.2f} times as fast as dense at the end, by operations {x:.2f}"
        for arm, (x, y) in ends.items()
        if arm != "random"  # its widths are pruned's
    )
    caption = (
        "A point is a stretch of training between two removals, with one width per layer. Across: dense's operations "
        "per token over the arm's. Up: dense's seconds over the arm's for the same steps. On the dotted line, "
        "operations saved are time saved; above it, more than operations goes with the units (optimiser, counters, "
        "activations), below it less time than operations. Random has pruned's widths, so its points are pruned's. "
        f"{how_many(stages.sizes['seed'], 'seed').capitalize()}."
    )
    data = stages[["begins", "ends", "left", "bound", "speed"]]
    return figure(
        f"{__name__}.bound_and_speed",
        Chart([panel], [320], legend=""),
        caption,
        [("", data)],
        finding[:1].upper() + finding[1:],
        stages,
    )


def _held(seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and places of measurements such that what a removal leaves is there from its moment on."""
    x = np.repeat(seen, 2)[:-1]
    return x, np.concatenate([[0], np.repeat(np.arange(1, len(seen)), 2)])


def _signed(value: float) -> str:
    return f"{round(value, 2) + 0.0:+.2f}".replace("-", "−")  # no −0

"""Figures of chapter 01: how the runs learn."""

import xarray as xr

from ...plots import style
from ...plots.axes import tokens_axis
from ...plots.chart import Axis, Chart, Panel, present, seed_curves
from ...plots.figure import Figure, figure
from ...plots.reading import how_many, sources, thinned, titled, tokens, variable

ACTIVATION_COLOURS = {"relu": style.layer_colour(0), "gelu": style.ACCENT}
NAMES = {"relu": "ReLU", "gelu": "GELU"}


def loss_curves(dataset: xr.Dataset, live: xr.Dataset | None = None) -> Figure:
    """Loss on the training stream and on held-out text over training, for ReLU and GELU.

    Parameters
    ----------
    dataset, live : Dataset
        `train_loss` and `heldout_loss` (seed, step) or (activation, seed, step), nats per token; `tokens` (step).
    """
    panels, drawn = [], []
    for row, (source, data) in enumerate(sources(dataset, live)):
        dims = ("activation", "seed", "step") if "activation" in data.dims else ("seed", "step")
        train = variable(data, "loss_curves", "train_loss", *dims)
        heldout = variable(data, "loss_curves", "heldout_loss", *dims)
        if "activation" not in data.dims:
            train, heldout = (a.expand_dims(activation=["relu"]) for a in (train, heldout))
        keep = thinned(data.sizes["step"], 60)
        train, heldout = train.isel(step=keep), heldout.isel(step=keep)
        x = tokens(data, "loss_curves")[keep]
        title = titled("loss, nats per token (dotted: training)", source)
        later = x > 0
        panel = Panel(title, tokens_axis(x), Axis(), row=row)
        for activation in train["activation"].values.tolist():
            name = NAMES.get(activation, activation)
            colour = ACTIVATION_COLOURS.get(activation, style.INK)
            for values, where, dash in ((train, "training", "dot"), (heldout, "held-out", "solid")):
                hover = f"{name}, {where} text\n{{x}} tokens\nmean loss {{y}} nats per token (seeds {{0}}–{{1}})"
                legend = name if row == 0 and where == "held-out" else ""
                of_one = values.sel(activation=activation).values
                panel.marks += seed_curves(x[later], of_one[:, later], colour, hover, legend, name, dash)
        panels.append(panel)
        drawn.append((source, xr.Dataset({"train_loss": train, "heldout_loss": heldout})))
    ran = {
        NAMES.get(a, a): len(present(drawn[0][1]["heldout_loss"].sel(activation=a).values))
        for a in train.activation.values
    }
    seeds = " and ".join(f"{how_many(n, 'seed')} of {name}" for name, n in ran.items())
    blind = float(drawn[0][1]["heldout_loss"].isel(step=0).mean())
    caption = (
        f"Loss on held-out text (solid) and on the training stream (dotted), {seeds} as thin lines and their "
        f"mean, tokens on a log axis. Before any training the held-out loss is {blind:.3g}. Held-out loss well "
        "above training loss means memorising; a run that diverges shows here first."
    )
    heights = [280] * len(panels)
    ends = drawn[0][1]["heldout_loss"].isel(step=-1).mean("seed")
    said = [f"{float(ends.sel(activation=a)):.2f} with {NAMES.get(a, a)}" for a in ends["activation"].values]
    finding = f"Held-out loss ends at {' and '.join(said)}, in nats per token"
    return figure(
        f"{__name__}.loss_curves", Chart(panels, heights, legend=""), caption, drawn, finding, dataset, live=live
    )

"""Figures of chapter 01: what fires at a token before and after training, and how the runs learn."""

import numpy as np
import xarray as xr

from ...plots import style
from ...plots.axes import RANGE, layer_axis, tokens_axis
from ...plots.chart import Axis, Chart, Mark, Panel, present, seed_curves
from ...plots.figure import Figure, figure
from ...plots.reading import attribute, how_many, layers, percent, thinned, tokens, variable
from ...shapes import title

ACTIVATION_COLOURS = {"relu": style.layer_colour(0), "gelu": style.ACCENT}
NAMES = {"relu": "ReLU", "gelu": "GELU"}
MODEL_COLOURS = (style.INK, style.ACCENT, "layer-14")
"""Of up to three models, the widest first."""


def at_a_token(*datasets: xr.Dataset) -> Figure:
    """Token use of every layer before and after training, a line per model.

    Parameters
    ----------
    datasets : Dataset
        `token_use` (seed, step, layer), `final_token_use` (seed, layer), fractions; one to three models, the first
        one leads.
    """
    panel = Panel("token use, % of a layer's units", Axis(), Axis(log=True, limits=(0.03, 130.0)))
    drawn = list[tuple[str, xr.Dataset]]()
    for data, colour in zip(datasets, MODEL_COLOURS, strict=False):
        begun = variable(data, "at_a_token", "token_use", "seed", "step", "layer").isel(step=0, drop=True)
        ended = variable(data, "at_a_token", "final_token_use", "seed", "layer")
        name, first = title(data.attrs["scale"]), not drawn
        panel.x = layer_axis(layers(ended))
        x = np.array(layers(ended), dtype=float)
        for values, when, dash in ((begun, "before training", "dot"), (ended, "after training", "solid")):
            hover = f"{name} {when}, layer {{x}}\nmean token use {{y}} % {RANGE}"
            label = name if dash == "solid" else "before training" if first else ""
            curves = 100 * values.transpose("seed", "layer").values.astype(float)
            panel.marks += seed_curves(x, curves, colour, hover, label, f"{name} {when}", dash)
        drawn.append((name, xr.Dataset({"before_training": begun, "after_training": ended})))
    most = {name: percent(100 * float(use["after_training"].mean("seed").max())) for name, use in drawn}
    half = percent(100 * float(drawn[0][1]["before_training"].mean()))
    finding = f"At a token {half} of a layer's units fire before training; after it at most " + ", ".join(
        f"{use} in {name}" for name, use in most.items()
    )
    caption = (
        "Share of a layer's units that fire at one token, on a log axis: mean over tokens. Dotted: random weights. "
        "Solid: trained. Thin lines are seeds, thick ones their mean. Look at how far each solid line lies below the "
        "dotted ones, and in which layer least. Text, recipe and size may differ together between these models."
    )
    return figure(f"{__name__}.at_a_token", Chart([panel], [320], legend=""), caption, drawn, finding, *datasets)


def loss_curves(dataset: xr.Dataset, live: xr.Dataset | None = None) -> Figure:
    """Loss over training, for ReLU and, where it was trained, GELU: on held-out text and on the training stream.

    With `live`, held-out loss alone, and what this machine made over the recorded.

    Parameters
    ----------
    dataset, live : Dataset
        `train_loss` and `heldout_loss` (seed, step) or (activation, seed, step), `final_loss` without the step, nats
        per token; `tokens` (step); the attributes `sample_tokens` and `final_sample_tokens`.
    """
    curves = _curves(dataset)
    alone = live is None
    panel = Panel(
        f"loss, nats per token ({'dotted: training text' if alone else 'broad: recorded, thin: this machine'})",
        tokens_axis(curves["tokens"].values),
        Axis(),
    )
    drawn = [("" if alone else "recorded", curves)]
    panel.marks += _marks(curves, "", ("heldout_loss", "train_loss") if alone else ("heldout_loss",))
    if live is not None:
        for mark in panel.marks:
            mark.width, mark.opacity = (8.0, 0.3) if mark.hover else (0.0, 0.0)
        here = _curves(live)
        drawn.append(("this machine", here))
        panel.marks = [mark for mark in panel.marks if mark.hover] + _marks(here, " on this machine", ("heldout_loss",))
        seen = np.concatenate([curves["tokens"].values, here["tokens"].values])
        panel.x = tokens_axis(seen)
    caption = _caption(dataset, curves, alone)
    ends = {name: float(curves["final_loss"].sel(activation=name).mean()) for name in curves["activation"].values}
    begun = float(curves["heldout_loss"].isel(step=0, activation=0).mean())
    several = len(ends) > 1
    said = " and ".join(f"{value:.2f}" + f" with {NAMES.get(name, name)}" * several for name, value in ends.items())
    finding = f"Held-out loss falls from {begun:.2f} to {said}{', in' if several else ''} nats per token"
    chart = Chart([panel], [300], legend="")
    return figure(f"{__name__}.loss_curves", chart, caption, drawn, finding, dataset, live=live)


def _curves(data: xr.Dataset) -> xr.Dataset:
    """Losses by (activation, seed, step) at up to 60 steps, with the final ones by (activation, seed)."""
    several = ("activation",) if "activation" in data.dims else ()
    of = {
        name: variable(data, "loss_curves", name, *several, "seed", *(() if name == "final_loss" else ("step",)))
        for name in ("train_loss", "heldout_loss", "final_loss")
    }
    if not several:
        of = {name: values.expand_dims(activation=["relu"]) for name, values in of.items()}
    seen = tokens(data, "loss_curves").astype(int)  # so that the CSV has all their digits
    kept = xr.Dataset(of).drop_vars("tokens", errors="ignore").assign_coords(tokens=("step", seen))
    return kept.isel(step=thinned(data.sizes["step"], 60)).astype(float)


def _marks(curves: xr.Dataset, where: str, names: tuple[str, ...]) -> list[Mark]:
    later = curves["tokens"].values > 0  # a log axis has no place for step 0
    x = curves["tokens"].values[later]
    marks: list[Mark] = []
    several = curves.sizes["activation"] > 1
    for activation in curves["activation"].values.tolist():
        name, colour = NAMES.get(activation, activation), ACTIVATION_COLOURS.get(activation, style.INK)
        for of in names:
            text, dash = ("held-out", "solid") if of == "heldout_loss" else ("training", "dot")
            hover = f"{name}{where}, {text} text\n{{x}} tokens\nmean loss {{y}} nats per token (seeds {{0}}–{{1}})"
            legend = "" if where or of != "heldout_loss" or not several else name
            values = curves[of].sel(activation=activation).values[:, later]
            group = f"{name}{where}" if several or where else f"{text} text"
            marks += seed_curves(x, values, colour, hover, legend, group, dash)
    return marks


def _caption(dataset: xr.Dataset, curves: xr.Dataset, alone: bool) -> str:
    ran = {
        name: len(present(curves["heldout_loss"].sel(activation=name).values)) for name in curves["activation"].values
    }
    seeds = " and ".join(f"{how_many(n, 'seed')} of {NAMES.get(name, name)}" for name, n in ran.items())
    few, many = (attribute(dataset, "loss_curves", name) for name in ("sample_tokens", "final_sample_tokens"))
    last, final = (
        float(values.isel(activation=0).mean())
        for values in (curves["heldout_loss"].isel(step=-1), curves["final_loss"])
    )
    lines = (
        f"Solid: held-out text; dotted: the training stream; {seeds} as thin lines and their mean"
        if alone
        else f"Held-out text; {seeds}, the mean: the broad lines are recorded, the thin ones of this machine"
    )
    if not alone:
        return f"{lines}; tokens on a log axis. Look at whether the thin lines lie within the broad ones."
    first = f" with {NAMES['relu']}" if len(ran) > 1 else ""
    return (
        f"{lines}; tokens on a log axis. The curve reads the first {few:,} held-out tokens and ends at "
        f"{last:.2f}{first}. The title has the final loss, of {many:,} tokens in float32: {final:.2f}. Look at whether "
        "the held-out loss rises above the training loss: that would be memorising."
    )

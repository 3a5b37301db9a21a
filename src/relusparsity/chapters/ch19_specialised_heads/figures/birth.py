"""Figure of chapter 19: the birth of induction heads, step by step, beside decoders that cannot have any."""

import numpy as np
import xarray as xr

from ....plots import style
from ....plots.chart import Axis, Chart, Control, Mark, Panel, State, seed_curves
from ....plots.figure import Figure, figure
from ....plots.reading import how_many, variable

LOOKS = ((style.INK, "solid"), ("layer-2", "dash"), ("layer-4", "dot"))
"""Colours and dashes of the arms, in their order."""
BY_HEAD = ("arm", "seed", "step", "layer", "head")


def birth(dataset: xr.Dataset) -> Figure:
    """Loss and best scores over training, and how far back the heads of the first arm look by then.

    Parameters
    ----------
    dataset : Dataset
        `known_loss` (arm, seed, step); `prefix_matching`, `previous` (arm, seed, step, layer, head); `attention` (arm,
        kept, layer, head, query, key) of the first seed, 255 being 1, on tokens that come twice. The first arm has two
        layers.
    """
    loss = variable(dataset, "birth", "known_loss", "arm", "seed", "step").astype(float)
    match, before = (
        variable(dataset, "birth", name, *BY_HEAD).astype(float) for name in ("prefix_matching", "previous")
    )
    score, told = match.max(("layer", "head")), before.isel(arm=0, layer=0).max("head")
    looks = looking(dataset, match, before)
    arms, steps, kept = loss["arm"].values.tolist(), loss["step"].values.astype(float), looks["kept"].values.tolist()
    across = Axis("training step", limits=(0.0, float(steps[-1])))
    losses = Panel("loss where the next token can be known, nats per token", across, Axis(from_zero=True))
    scores = Panel("highest score of a head", across, Axis(limits=(0.0, 1.0)), row=1)
    for arm, (colour, dash) in zip(arms, LOOKS, strict=False):
        hover = f"{arm}, step {{x}}\nmean {{y}} nats per token (seeds {{0}} to {{1}})"
        losses.marks += seed_curves(steps, loss.sel(arm=arm).values, colour, hover, arm, arm, dash)
        hover = f"{arm}, step {{x}}\nmean induction score {{y}} (seeds {{0}} to {{1}})"
        scores.marks += seed_curves(steps, score.sel(arm=arm).values, colour, hover, "", arm, dash)
    hover = f"{arms[0]}, step {{x}}\nmean previous-token score of layer 0 {{y}} (seeds {{0}} to {{1}})"
    scores.marks += seed_curves(steps, told.values, style.ACCENT, hover, "previous token", "previous", "dashdot")
    bars, lower = [], []
    for row, layer in enumerate(looks["layer"].values.tolist()):
        hover = f"{{x}} tokens back: {{y}} % of the attention of layer {layer}'s head"
        bars.append(Mark("bars", looks["back"].values, looks.values[-1, row], style.INK, hover=hover, bar_width=0.8))
        back = Axis("tokens back" if row else "", limits=(-0.6, looks.sizes["back"] - 0.4))
        title = f"% of attention, layer {layer}, head {int(looks['head'][row])}"
        lower.append(Panel(title, back, Axis(limits=(0.0, 100.0)), [bars[-1]], row=2 + row))
    states = [
        State(
            f"{step:,}",
            {bar: {"y": looks.values[at, row]} for row, bar in enumerate(bars)},
            {losses: float(step), scores: float(step)},
        )
        for at, step in enumerate(kept)
    ]
    losses.cursor = scores.cursor = float(kept[-1])
    hint = "Go back to the first step and train again: after long waiting two heads come together, and the loss falls."
    chart = Chart(
        [losses, scores, *lower], [190, 170, 100, 100], control=Control("slider", "Step", states, len(states) - 1, hint)
    )
    chart.legend = ""
    drawn = [
        ("loss", loss.to_dataset(name="known_loss")),
        ("scores", score.to_dataset(name="induction_score")),
        ("previous token, layer 0", told.drop_vars(("arm", "layer")).to_dataset(name="previous_token_score")),
        ("attention", looks.drop_vars("head").to_dataset(name="attention_percent")),
    ]
    return figure(f"{__name__}.birth", chart, _caption(dataset, looks), drawn, _finding(loss, score), dataset)


def looking(dataset: xr.Dataset, match: xr.DataArray, before: xr.DataArray) -> xr.DataArray:
    """Percent of attention by how far back it goes, mean over a second reading: (kept, layer, back); `head` (layer).

    Of the first arm's first seed; in layer 0 the head that ends with the highest previous-token score, in the others
    those with the highest induction score.
    """
    last = {"arm": 0, "seed": 0, "step": -1}
    scores = [before.isel(last).sel(layer=0), *match.isel(last).sel(layer=slice(1, None))]
    heads = [int(each.argmax("head")) for each in scores]
    weights = variable(dataset, "birth", "attention", "arm", "kept", "layer", "head", "query", "key").isel(arm=0)
    period = weights.sizes["query"] // 2
    query = np.arange(period, 2 * period)
    back = np.arange(period + 1)  # the first query of the second reading has no more tokens before it
    found = [
        weights.values[:, layer, head][:, query[:, None], query[:, None] - back].mean(1) / 2.55
        for layer, head in enumerate(heads)
    ]
    coordinates = {"kept": weights["kept"].values, "layer": range(len(heads)), "back": back, "head": ("layer", heads)}
    return xr.DataArray(np.stack(found, 1), dims=("kept", "layer", "back"), coords=coordinates)


def _finding(loss: xr.DataArray, score: xr.DataArray) -> str:
    ends, losses = (each.isel(step=-1).mean("seed").values for each in (score, loss))
    arms = [f"{end:.2f} ({arm})" for end, arm in zip(ends, loss["arm"].values.tolist(), strict=True)]
    return (
        f"The highest induction score ends at {', '.join(arms)}; the loss where the next token can be known at "
        f"{', '.join(f'{each:.2f}' for each in losses)} nats per token"
    )


def _caption(dataset: xr.Dataset, looks: xr.DataArray) -> str:
    period, seeds = looks.sizes["back"] - 1, dataset.sizes["seed"]
    lines = f"A thick line is the mean of {how_many(seeds, 'seed')}, a thin one a seed." if seeds > 1 else "One seed."
    return (
        "Sequences of random tokens that come again and again; from the second reading on, the next can be known. "
        f"{lines} Below, the first seed reads {period} other tokens twice: in the second reading a head of layer 0 "
        f"ends up looking one token "
        f"back, and one of layer 1 looks {period - 1} tokens back, where the token stands that followed the last time. "
        "Bars are means over that reading, of the heads that end with the highest scores; the line *previous token* "
        "is of "
        "layer 0 of two layers."
    )

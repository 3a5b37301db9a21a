"""Figures of chapter 09: one unit from birth to death."""

import numpy as np
import xarray as xr

from ....errors import UserError
from ....plots import style
from ....plots.chart import Axis, Chart, Control, Mark, Panel, State
from ....plots.figure import Figure, figure
from ....plots.reading import attribute, percent, thinned, tokens, variable

MOST = 16
"""States of the slider at most: a page draws each of them."""

LOOK = {"data": (style.ACCENT, "solid"), "decay": ("layer-14", "dash"), "input": ("layer-4", "dashdot")}
"""Cause → colour and dash of its line."""
SAID = {"data": "data-driven updates", "decay": "decay", "input": "change of its input"}
"""What readers call what moves a unit's mean pre-activation."""


def birth_to_death(dataset: xr.Dataset, layer: int, chosen: str = "middle", seed: int | None = None) -> Figure:
    """One unit's pre-activations on fixed held-out tokens as it is trained, and what moved their mean.

    Parameters
    ----------
    dataset : Dataset
        Of the chapter's experiment: `life_unit`, `life_onset` (seed, layer, chosen), `life_edges` (…, edge),
        `life_histogram` (…, life_step, bin), `life_mean` (…, life_step), `life_change` (…, life_step, cause);
        `life_tokens` (life_step); the attribute `life_sample_tokens`.
    layer, chosen, seed
        Which of the units that died once and for good: of a layer the first, the middle or the last; the first seed
        where none is named.

    Raises
    ------
    UserError
        For one that is not there.
    """
    of = _of(dataset, layer, chosen, seed)
    seen = tokens(dataset, "birth_to_death", "life_tokens", "life_step")
    sample = attribute(dataset, "birth_to_death", "life_sample_tokens")
    shown, onset = thinned(len(seen), MOST), float(of["life_onset"])
    start = int(np.argmax(seen[shown] >= onset)) if (seen[shown] >= onset).any() else len(shown) - 1
    who = f"unit {int(of['life_unit'])} of layer {layer}"
    panels, states = _panels(of, seen, shown, start, sample, who)
    hint = "Move through training, and watch the unit's pre-activations slide under zero."
    control = Control("slider", "Tokens seen", states, start, hint)
    moved = of["life_change"].astype(float).cumsum("life_step")
    last = int(np.searchsorted(seen, onset))
    ends = moved.isel(life_step=min(last, len(seen) - 1))
    by = [_signed(float(ends.sel(cause=cause))) for cause in SAID]
    finding = (
        f"{who.capitalize()} fires for the last time at {style.si(onset)} tokens; by then data-driven updates had "
        f"moved its mean pre-activation by {by[0]}, decay by {by[1]}, the change of its input by {by[2]}"
    )
    caption = (
        f"Above: the unit's pre-activations on {sample:,} held-out tokens, the same at every step, when "
        f"{style.si(seen[shown[start]])} training tokens were seen; right of zero, in colour, it fires. In the middle: "
        "what moved their mean since the first step, by its cause. Below: the same over training, with the mean "
        "itself; the upright line is the unit's last firing in the training stream, and ‘by then’ means at the first "
        "kept step after it. Input: all that stands before the MLP. Of the layer's units that died and did not come "
        f"back by the end, it is the {chosen} by its last firing."
    )
    share = of["life_histogram"].isel(life_step=shown) / sample
    x = _middle(of)
    table = xr.Dataset(
        {"share_of_tokens": (("tokens", "preactivation"), share.transpose("life_step", "bin").values)},
        {"tokens": seen[shown], "preactivation": x},
    )
    causes = moved.transpose("life_step", "cause").values
    lines = xr.Dataset(
        {
            "mean_preactivation": (("tokens",), of["life_mean"].values),
            **{f"moved_by_{cause}": (("tokens",), causes[:, k]) for k, cause in enumerate(SAID)},
        },
        {"tokens": seen},
    )
    chart = Chart(panels, [200, 110, 190], control=control, legend="")
    model = dataset.sel(seed=[int(of["seed"])])
    drawn = [("histogram", table), ("over training", lines)]
    return figure(f"{__name__}.birth_to_death", chart, caption, drawn, finding, model, name=f"layer-{layer}-{chosen}")


def _of(dataset: xr.Dataset, layer: int, chosen: str, seed: int | None) -> xr.Dataset:
    """What was recorded of one unit, causes in the order of `SAID`."""
    dims = ("seed", "layer", "chosen")
    names = {"life_unit": (), "life_onset": (), "life_edges": ("edge",), "life_mean": ("life_step",)}
    names |= {"life_histogram": ("life_step", "bin"), "life_change": ("life_step", "cause")}
    found = xr.Dataset({name: variable(dataset, "birth_to_death", name, *dims, *more) for name, more in names.items()})
    at = {"layer": layer, "chosen": chosen, "seed": int(found["seed"][0]) if seed is None else seed}
    for name, value in at.items():
        if value not in (there := found[name].values.tolist()):
            raise UserError(f"birth_to_death has no {name} {value!r}; choose one of {', '.join(map(str, there))}.")
    of = found.sel(at)
    if int(of["life_unit"]) < 0:
        some = found["life_unit"].sel(seed=at["seed"], chosen=chosen)
        have = [str(int(each)) for each in some["layer"].values[some.values >= 0]]
        raise UserError(
            f"no unit of layer {layer} died once and for good in seed {at['seed']}; layers with such units: "
            f"{', '.join(have) or 'none'}."
        )
    return of.sel(cause=list(SAID))


def _middle(of: xr.Dataset) -> np.ndarray:
    edges = of["life_edges"].values.astype(float)
    return (edges[1:] + edges[:-1]) / 2


def _panels(
    of: xr.Dataset, seen: np.ndarray, shown: np.ndarray, start: int, sample: int, who: str
) -> tuple[list[Panel], list[State]]:
    """The three panels at the state `start`, and all states."""
    edges, x = of["life_edges"].values.astype(float), _middle(of)
    counts = of["life_histogram"].transpose("life_step", "bin").values[shown]
    heights = 100 * counts / sample
    rates = 100 * counts[:, edges[:-1] >= 0].sum(1) / sample
    mean = of["life_mean"].values.astype(float)
    moved = of["life_change"].astype(float).cumsum("life_step").transpose("life_step", "cause").values
    titles = [
        f"{who} at {style.si(at)} tokens: fires at {percent(rate)} of held-out tokens\nshare of these tokens, %"
        for at, rate in zip(seen[shown], rates, strict=True)
    ]
    firing = [style.ACCENT if low >= 0 else style.INK for low in edges[:-1]]
    bars = Mark("bars", x, heights[start], firing, hover="pre-activation near {x}\n{y} % of held-out tokens")
    bars.bar_width, bars.opacity = float(edges[1] - edges[0]), 0.85
    above = Axis("pre-activation", limits=(float(edges[0]), float(edges[-1])))
    histogram = Panel(titles[start], above, Axis(limits=(0.0, 1.05 * float(heights.max()))), [bars], cursor=0.0)
    low, high = float(min(moved.min(), mean.min(), 0)), float(max(moved.max(), mean.max(), 0))
    room = 0.06 * (high - low) or 1.0
    both = (low - room, high + room)
    places = [float(k) for k in range(len(SAID))]
    causes = Mark("bars", places, moved[shown[start]], [LOOK[cause][0] for cause in SAID], bar_width=0.6)
    causes.hover, causes.extra = "{0}\n{y} since the first step", [[SAID[cause]] for cause in SAID]
    beside = Axis("", ticks=(places, [SAID[cause] for cause in SAID]), limits=(-0.6, len(SAID) - 0.4))
    by_cause = Panel(
        "what moved its mean pre-activation since the first step", beside, Axis(limits=both), [causes], row=1
    )
    axis = Axis("tokens seen", tokens=True, limits=(0.0, float(seen[-1])))
    over = Panel("mean pre-activation, and what moved it", axis, Axis(limits=both), row=2)
    over.cursor = float(seen[shown[start]])
    onset = float(of["life_onset"])
    over.marks.append(Mark("line", [onset, onset], list(both), style.INK, width=1.0, opacity=0.5))
    over.marks.append(Mark("line", seen, mean, style.INK, "mean", hover="{x} tokens\nmean pre-activation {y}"))
    for k, cause in enumerate(SAID):
        colour, dash = LOOK[cause]
        hover = f"{{x}} tokens\n{SAID[cause]}: {{y}} since the first step"
        over.marks.append(Mark("line", seen, moved[:, k], colour, cause, hover=hover, dash=dash))  # type: ignore[arg-type]
    states = [
        State(
            style.si(seen[at]),
            {bars: {"y": heights[k]}, causes: {"y": moved[at]}},
            {over: float(seen[at])},
            {histogram: titles[k]},
        )
        for k, at in enumerate(shown)
    ]
    return [histogram, by_cause, over], states


def _signed(value: float) -> str:
    return f"{value:+.2g}".replace("-", "−")

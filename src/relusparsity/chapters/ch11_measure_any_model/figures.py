"""Figures of chapter 11: what a network that learned nothing reads, beside a trained one."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import xarray as xr

from ...plots import measured, style
from ...plots.axes import layer_axis
from ...plots.chart import Axis, Chart, Mark, Panel
from ...plots.figure import Figure, figure
from ...plots.reading import layers, percent, variable

SHOWN = {"untrained": (style.INK, "dot"), "OPT": (style.INK, "dash"), "trained": (style.ACCENT, "solid")}
"""Models with a ReLU, and how their lines look."""
NAMES = {"untrained": "untrained", "OPT": "fresh OPT", "trained": "trained"}


def zero_point(dataset: xr.Dataset, live: xr.Dataset | None = None) -> Figure:
    """Token use of every layer, of a trained ReLU model and of two whose weights are random.

    Parameters
    ----------
    dataset, live
        `final_token_use` (model, seed, layer), fractions; of `live`, what this machine measured, points are drawn.
    """
    use = _token_use(dataset)
    panel = Panel("token use, % of a layer's units", layer_axis(layers(use)), Axis(limits=(0.0, 60.0)))
    drawn = [("recorded" if live is not None else "", xr.Dataset({"token_use": use}))]
    for model, (colour, dash) in SHOWN.items():
        hover = f"{NAMES[model]}, layer {{x}}\n{{y}} % of units at a token"
        one = 100 * use.sel(model=model)
        panel.marks.append(
            Mark("line", layers(use), one.values, colour, NAMES[model], hover=hover, dash=dash)  # type: ignore[arg-type]
        )
    caption = (
        "Share of a layer's units that fire at one token, mean over tokens. Dotted: this book's network before its "
        "first step. Dashed: a freshly made OPT. Solid: the network after training. Look at how far each layer went "
        "from the half."
    )
    if live is not None:
        here = _token_use(live)
        for model, (colour, _) in SHOWN.items():
            hover = f"{NAMES[model]}, layer {{x}}, this machine\n{{y}} % of units at a token"
            values = 100 * here.sel(model=model).values
            panel.marks.append(Mark("points", layers(here), values, colour, hover=hover, symbol="open", size=10))
        drawn.append(("this machine", xr.Dataset({"token_use": here})))
        caption += " Circles: this machine."
    random, trained = (100 * use.sel(model=models).astype(float) for models in (["untrained", "OPT"], "trained"))
    finding = f"With random weights {percent(float(random.mean()))} of a layer's units fire at a token, after training "
    finding += (
        f"{percent(float(trained.min()))} of the emptiest layer's and {percent(float(trained.max()))} of the fullest's"
    )
    chart = Chart([panel], [250], legend="")
    return figure(f"{__name__}.zero_point", chart, caption, drawn, finding, dataset, live=live)


def _token_use(dataset: xr.Dataset) -> xr.DataArray:
    return variable(dataset, "zero_point", "final_token_use", "model", "seed", "layer")[:, 0].sel(model=list(SHOWN))


def layer_use(models: Mapping[str, xr.Dataset]) -> Figure:
    """The report's figure of use over more and more text, of a `trained` and an `untrained` model."""
    ever = {name: 100 - 100 * data["silent_units"].isel(seed=0) / data.attrs["d_ff"] for name, data in models.items()}
    low, high = (percent(float(of(ever["trained"]))) for of in (np.min, np.max))
    found = f"In all the text a random layer uses {percent(float(ever['untrained'].min()))} of its units or more"
    caption = (
        "Units that fire, layer by layer, over more and more text: mean share at a token, then at least once in longer "
        "and longer parts. What is missing to 100 % in the last row was silent."
    )
    return _of_laptop(measured.layer_use(models), f"{found}, a trained one {low} to {high}", caption)


def windows(models: Mapping[str, xr.Dataset], within: int = 1024) -> Figure:
    """The report's figure of window use, of a `trained` and an `untrained` model."""
    use = {name: 100 * data["final_window_use"].isel(seed=0) for name, data in models.items()}
    least = float(use["untrained"].sel(window=within).min())
    never = int((use["trained"].isel(window=-1) < least).sum())
    found = f"Within {within:,} tokens a random layer uses {percent(least)} of its units or more; {never} of "
    found += f"{use['trained'].sizes['layer']} trained ones never {'does' if never == 1 else 'do'}"
    caption = (
        "Solid: share of a layer's units that fire at least once in n tokens of running text. Dotted: in as many "
        "tokens drawn at random. The gap is firing that clusters in sequences."
    )
    return _of_laptop(measured.windows(models), found, caption)


def firing_rates(models: Mapping[str, xr.Dataset]) -> Figure:
    """The report's figure of firing rates, of a `trained` and an `untrained` model."""
    median = {name: 100 * data["firing_rate_percentiles"].sel(percentile=50) for name, data in models.items()}
    low, high = ({name: percent(float(of(rates))) for name, rates in median.items()} for of in (np.min, np.max))
    found = (
        f"The median unit of a random layer fires at {low['untrained']} to {high['untrained']} of tokens, that of a "
    )
    found += f"trained one at {low['trained']} to {high['trained']}"
    drawn = measured.firing_rates(models)
    return _of_laptop(drawn, found, drawn.caption)


def silent(trained: xr.Dataset) -> Figure:
    """The report's figure of silent units, of one model."""
    shares = (100 * trained["silent_units"].isel(seed=0) / trained.attrs["d_ff"]).values
    most, least = int(shares.argmax()), int(shares.argmin())
    found = f"After training {percent(shares[most])} of layer {most} is silent, and {percent(shares[least])} of layer "
    caption = (
        "Units that fired at no token of the text. Pale: as many as chance may let fire in as much text again (upper "
        "95 % bound, Good–Turing)."
    )
    return _of_laptop(measured.silent({"trained": trained}), f"{found}{least}", caption, "Laptop, trained, 1 seed")


def _of_laptop(
    drawn: Figure, finding: str, caption: str, model: str = "Laptop, trained and untrained, 1 seed"
) -> Figure:
    """A report's figure under the chapter's title and caption: what it shows of its models together."""
    _, _, numbers = drawn.csv.partition("\n")
    return replace(drawn, title=finding, model=model, caption=caption, csv=f"# {finding}. {model}.\n{numbers}")

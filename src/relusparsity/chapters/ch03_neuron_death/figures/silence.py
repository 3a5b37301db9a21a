"""Figures of chapter 03, continued: how many of the silent units more text wakes."""

import numpy as np
import xarray as xr

from ....plots import style
from ....plots.axes import layer_axis
from ....plots.chart import Axis, Chart, Mark, Panel
from ....plots.figure import Figure, figure, model_of
from ....plots.reading import attribute, layers, percent, variable
from .. import lives

LOOKS = ((style.INK, "solid"), (style.INK, "dash"), (style.ACCENT, "solid"), ("layer-14", "dot"))
"""Colour and dash of each dataset's line, in their order."""


def woken(*datasets: xr.Dataset) -> Figure:
    """Of the units silent on a small sample, the share that fires in a larger one, by layer and model.

    Parameters
    ----------
    datasets : Dataset
        At most four, each with (seed, layer), units: `silent_small` (attribute `small_sample_tokens`) and `silent_both`
        (attribute `large_sample_tokens`).
    """
    panel, drawn = Panel("", layer_axis([0, 1]), Axis(log=True)), []
    shares = []
    for dataset, (colour, dash) in zip(datasets, LOOKS, strict=False):
        for name in ("silent_small", "silent_both"):
            variable(dataset, "woken", name, "seed", "layer")
        share = lives.woken(dataset)
        x, name = np.array(layers(share), dtype=float), ", ".join(model_of(dataset, "woken").split(", ")[:2])
        mean = share.mean("seed").values
        hover = f"{name}, layer {{x}}\nmean {{y}} % of its silent units (seeds {{0}}–{{1}} %)"
        ends = np.stack([share.min("seed").values, share.max("seed").values], axis=1)
        line = Mark("line", x, mean, colour, name, name, hover, extra=ends, dash=dash)  # type: ignore[arg-type]
        seeds = Mark("points", np.tile(x, share.sizes["seed"]), share.values.ravel(), colour, group=name, size=4)
        panel.marks += [line, seeds]
        panel.x = layer_axis(layers(share))
        shares.append(100 * float(1 - dataset["silent_both"].sum() / dataset["silent_small"].sum()))
        drawn.append((name, xr.Dataset({"woken_percent": share})))
    small = {attribute(dataset["silent_small"], "woken", "small_sample_tokens") for dataset in datasets}
    large = {attribute(dataset["silent_both"], "woken", "large_sample_tokens") for dataset in datasets}
    panel.title = "silent units that fire in the larger sample, %"
    caption = (
        f"Of a layer's units that fire at none of {_tokens(small)} held-out tokens, the share that fires at one of "
        f"{_tokens(large)} others (log axis): these were rare, not off. Points are seeds, lines their means. A layer "
        "without silent units has no point."
    )
    said = [f"{percent(share)} in {name}" for share, (name, _) in zip(shares, drawn, strict=True)]
    finding = f"How many silent units were only rare: {', '.join(said)}"
    return figure(f"{__name__}.woken", Chart([panel], [290], legend=""), caption, drawn, finding, *datasets)


def _tokens(sizes: set[int]) -> str:
    return " to ".join(dict.fromkeys(style.si(size) for size in (min(sizes), max(sizes))))

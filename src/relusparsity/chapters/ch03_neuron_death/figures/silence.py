"""Figures of chapter 03, continued: how many of the silent units more text wakes."""

import numpy as np
import xarray as xr

from ....errors import UserError
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

    Raises
    ------
    UserError
        If there is no dataset, or one has no line of its own any more.
    """
    if not 0 < len(datasets) <= len(LOOKS):
        raise UserError(f"woken draws 1 to {len(LOOKS)} datasets, a line each; it got {len(datasets)}")
    panel = Panel("silent units that fire in the larger sample, %", layer_axis([0, 1]), Axis(log=True))
    drawn, shares = [], []
    for dataset, (colour, dash) in zip(datasets, LOOKS[: len(datasets)], strict=True):
        for name in ("silent_small", "silent_both"):
            variable(dataset, "woken", name, "seed", "layer")
        share = lives.woken(dataset)
        x, name = np.array(layers(share), dtype=float), ", ".join(model_of(dataset, "woken").split(", ")[:2])
        shown = share.where(share > 0)  # a log axis has no place for none
        mean = shown.mean("seed").values
        hover = f"{name}, layer {{x}}\nmean {{y}} % of its silent units (seeds {{0}}–{{1}} %)"
        ends = np.stack([shown.min("seed").values, shown.max("seed").values], axis=1)
        line = Mark("line", x, mean, colour, name, name, hover, extra=ends, dash=dash)  # type: ignore[arg-type]
        seeds = Mark("points", np.tile(x, share.sizes["seed"]), shown.values.ravel(), colour, group=name, size=4)
        panel.marks += [line, seeds]
        panel.x = layer_axis(layers(share))
        shares.append(100 * float(1 - dataset["silent_both"].sum() / dataset["silent_small"].sum()))
        drawn.append((name, xr.Dataset({"woken_percent": share})))
    small = {attribute(dataset["silent_small"], "woken", "small_sample_tokens") for dataset in datasets}
    large = {attribute(dataset["silent_both"], "woken", "large_sample_tokens") for dataset in datasets}
    caption = (
        f"Of a layer's units that fire at none of {_tokens(small)} held-out tokens, the share that fires at one of "
        f"{_tokens(large)} others (log axis). Points are seeds, lines their means; a layer without such units has none."
    )
    few, many = int(np.argmin(shares)), int(np.argmax(shares))
    finding = f"More text wakes {percent(shares[few])} of the silent units in {drawn[few][0]}"
    if few != many:
        finding += f", and {percent(shares[many])} in {drawn[many][0]}"
    return figure(f"{__name__}.woken", Chart([panel], [290], legend=""), caption, drawn, finding, *datasets)


def _tokens(sizes: set[int]) -> str:
    return " to ".join(dict.fromkeys(style.si(size) for size in (min(sizes), max(sizes))))

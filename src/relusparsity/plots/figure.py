"""A finished figure, live and still, with its caption and the numbers that it draws."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import xarray as xr

from . import live
from .chart import Chart

PLOTLY = "application/vnd.plotly.v1+json"


@dataclass(frozen=True, repr=False)
class Figure:
    """A figure of a chapter. Put it on the last line of a cell; you can write `png`, `csv` and `live` to files.

    Attributes
    ----------
    name : short name, fit for a file name.
    function : full name of the function that drew it.
    caption : what is drawn and what to look at.
    live : Plotly's data, layout and config; numbers have four significant digits.
    png : the same chart as a picture.
    csv : the numbers drawn, one row per point, with four significant digits.
    """

    name: str
    function: str
    caption: str
    live: dict[str, Any]
    png: bytes
    csv: str

    def __repr__(self) -> str:
        return f"{self.name}: {self.caption}"

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
        data = {PLOTLY: self.live, "image/png": self.png, "text/plain": repr(self)}
        about = {"name": self.name, "function": self.function, "caption": self.caption, "csv": self.csv}
        return data, {"relusparsity": about}  # type: ignore[dict-item]


def figure(function: str, chart: Chart, caption: str, drawn: list[tuple[str, xr.Dataset]]) -> Figure:
    """Draw a chart both ways. `function` is its full name; `drawn` has the datasets shown, each with its label."""
    from . import twin  # here, for Matplotlib takes half a second, and who judges or lists figures needs none

    return Figure(
        name=function.split(".")[-1],
        function=function,
        caption=caption,
        live=live.plotly_json(chart),
        png=twin.png(chart),
        csv=table(drawn),
    )


def table(drawn: list[tuple[str, xr.Dataset]]) -> str:
    """Datasets as one CSV text: a row for each point that has a value, and a column `source` if there are several."""
    frames = []
    for label, dataset in drawn:
        frame = dataset.to_dataframe().dropna(how="all", subset=list(map(str, dataset.data_vars))).reset_index()
        if label:
            frame.insert(0, "source", label)
        frames.append(frame)
    return pd.concat(frames).to_csv(index=False, float_format="%.4g", lineterminator="\n")

"""A finished figure: its chart, its title and caption, and the numbers that it draws."""

import json
import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd
import xarray as xr

from ..errors import UserError
from ..shapes import title
from ..version import commits
from .chart import Chart
from .described import described
from .reading import how_many
from .written import MIME, PAGE, from_json, to_json


@dataclass(frozen=True, repr=False)
class Figure:
    """A figure of a chapter. Put it on the last line of a cell; you can write `png`, `csv` and `chart` to files.

    Attributes
    ----------
    name : short name, fit for a file name and a link; `titled` makes it one that stays.
    function : full name of the function that drew it.
    caption : what is drawn and what to look at.
    chart : what is drawn, as `written` makes it; numbers have four significant digits.
    csv : the numbers drawn, one row per point, with four significant digits; once titled, lines that begin with # say
        of which models they are.
    alt : what is seen, in words and numbers, for readers who do not see it.
    title : what the figure shows, a sentence without its full stop.
    model : whose numbers these are: 'Wide, nearest, 3 seeds'.
    page : HTML that the book shows in place of the drawing, whole without scripts; the drawing is the picture then.
    """

    name: str
    function: str
    caption: str
    chart: dict[str, Any]
    csv: str
    alt: str
    title: str = ""
    model: str = ""
    page: str = ""

    def __repr__(self) -> str:
        return f"{self.name}: {self.heading} {self.caption}" if self.title else f"{self.name}: {self.caption}"

    @cached_property
    def png(self) -> bytes:
        """The figure as a picture, which says in its file what it shows, of which models, from which commits."""
        from . import drawing  # here, for Matplotlib takes half a second, and who judges or lists figures needs none

        head = [line[2:] for line in self.csv.splitlines() if line.startswith("# ")]
        about = {"Title": self.heading, "Description": self.alt, "Source": "\n".join(head[1:])} if self.title else {}
        return drawing.png(from_json(self.chart), self.heading, about)

    @property
    def heading(self) -> str:
        """Finding and model: 'Layer 1 is emptier than layer 0. Wide, nearest, 3 seeds.'"""
        return f"{self.title}. {self.model}." if self.title else ""

    def titled(self, finding: str, *of: xr.Dataset, name: str = "") -> "Figure":
        """Say what the figure shows, and of which models; name, links and files then say so too.

        Parameters
        ----------
        finding
            What to see, as a sentence without its full stop. The model's name is added to it.
        of
            The datasets drawn, as `results` gives them.
        name
            Last part of the figure's name, where two figures of a chapter differ in something else than the model:
            `name="firing-rate"`.

        Raises
        ------
        UserError
            If the finding is empty or ends with a full stop, a dataset does not say what it is of, or the name does not
            fit a link.
        """
        if not finding or finding != finding.strip() or finding.endswith("."):
            raise UserError(f"a figure's finding is a sentence without its full stop; {self.name} got {finding!r}")
        if not of:
            raise UserError(f"the title of {self.name} names a model; give the datasets that it draws")
        if name and not re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", name):
            raise UserError(f"a figure's name is small letters, digits and single hyphens; {self.name} got {name!r}")
        models = [model_of(dataset, self.name) for dataset in of]
        parts = [
            self.name.replace("_", "-"),
            *dict.fromkeys(_slug(dataset) for dataset in of),
            *([name] if name else []),
        ]
        said = "; ".join(dict.fromkeys(models))
        head = [f"{finding}. {said}.", *dict.fromkeys(_origin(*pair) for pair in zip(models, of, strict=True))]
        csv = "".join(f"# {line}\n" for line in head) + self.csv
        return replace(self, title=finding, model=said, name="-".join(parts), csv=csv)

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
        data = {MIME: self.chart, "image/png": self.png, "text/plain": repr(self)}
        data |= {PAGE: self.page} if self.page else {}
        about = {"name": self.name, "function": self.function, "caption": self.caption, "csv": self.csv}
        about |= {"alt": self.alt, "title": self.title, "model": self.model}
        return data, {"relusparsity": about}  # type: ignore[dict-item]


def figure(
    function: str,
    chart: Chart,
    caption: str,
    drawn: list[tuple[str, xr.Dataset]],
    finding: str,
    *of: xr.Dataset,
    live: xr.Dataset | None = None,
    name: str = "",
) -> Figure:
    """Put a figure together.

    Parameters
    ----------
    function
        Full name of the function that draws it.
    drawn
        The numbers shown, each set with its label.
    finding, of, name
        As `Figure.titled` takes them.
    live
        What this machine made, if it is shown beside.
    """
    bare = Figure(
        name=function.split(".")[-1],
        function=function,
        caption=caption,
        chart=to_json(chart),
        csv=table(drawn),
        alt=described(chart),
    )
    return bare.titled(finding, *of, *([] if live is None else [on_this_machine(live)]), name=name)


def on_this_machine(dataset: xr.Dataset) -> xr.Dataset:
    """A dataset that figures tell from a recorded one of the same model, in their titles and names."""
    return dataset.assign_attrs(where="on this machine")


def model_of(dataset: xr.Dataset, figure: str) -> str:
    """What readers call a dataset's models, and how many there are: 'Wide, nearest, 3 seeds'.

    Raises
    ------
    UserError
        If the dataset does not say its shape, nor, as that of a measured model, its name.
    """
    if not {"scale", "name"} & set(dataset.attrs):
        raise UserError(f"the title of {figure} names a model; the dataset has no attribute 'scale', its shape's name")
    seeds = [how_many(dataset.sizes["seed"], "seed")] if "scale" in dataset.attrs and "seed" in dataset.sizes else []
    where = [dataset.attrs["where"]] if "where" in dataset.attrs else []
    return ", ".join([_called(dataset), *_recipe(dataset), *seeds, *where])


def _called(dataset: xr.Dataset) -> str:
    if "scale" in dataset.attrs:
        return title(dataset.attrs["scale"])
    return str(dataset.attrs["name"]).rstrip("/").rpartition("/")[2]


def _recipe(dataset: xr.Dataset) -> list[str]:
    """The one recipe of a dataset: one chosen among several, or that of all its runs; several have no common word."""
    if "recipe" in dataset.coords:
        chosen = dataset["recipe"]
        return [str(chosen.item())] if chosen.size == 1 else []
    return [dataset.attrs["recipe"]] if dataset.attrs.get("recipe") else []


def _slug(dataset: xr.Dataset) -> str:
    words = dataset.attrs.get("where") or " ".join([_called(dataset), *_recipe(dataset)])
    return re.sub("[^a-z0-9]+", "-", words.lower()).strip("-")


def _origin(model: str, dataset: xr.Dataset) -> str:
    """Where a dataset's numbers come from, as far as it says so."""
    if "provenance" not in dataset.attrs:
        return f"{model}: computed from recorded runs, and names no commit"
    by = commits(json.loads(dataset.attrs["provenance"])) or ["unknown"]
    return f"{model}: measured by relusparsity at commit{'s' if len(by) > 1 else ''} {', '.join(by)}"


def table(drawn: list[tuple[str, xr.Dataset]]) -> str:
    """Datasets as one CSV text: a row for each point that has a value, and a column `source` if there are several."""
    frames = []
    for label, dataset in drawn:
        frame = dataset.to_dataframe().dropna(how="all", subset=list(map(str, dataset.data_vars))).reset_index()
        if label:
            frame.insert(0, "source", label)
        frames.append(frame)
    return pd.concat(frames).to_csv(index=False, float_format="%.4g", lineterminator="\n")

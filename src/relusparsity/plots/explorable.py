"""The recipes of the factorial under the reader's hand: five switches, six bars, the loss; and all of them at once.

HTML, not a chart: form controls that a keyboard reaches, bars that a style sheet colours. `book/static/explorable.js`
moves the bars; without scripts the small multiples stand alone.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import product

import numpy as np
import xarray as xr

from ..source import BATCH_USE
from . import style
from .recipes import FULL

SWITCHES = {
    "embedding_std": ("Initial embeddings", {"0.02": "std 0.02", "1.0": "std 1"}),
    "tied": ("Output matrix", {"True": "the embeddings (tied)", "False": "its own (untied)"}),
    "weight_decay": ("Weight decay", {"0.1": "0.1", "1.0": "1"}),
    "init": ("Initial matrices", {"xavier": "Xavier", "normal": "normal, std 0.02"}),
    "lr": ("Learning rate", {"0.0003": "3e-4", "0.001": "1e-3"}),
}
"""Factor → its name and its two levels, by the value that the dataset has."""

SHORT = {
    "embedding_std": {"0.02": "embeddings 0.02", "1.0": "embeddings 1"},
    "tied": {"True": "tied", "False": "untied"},
    "weight_decay": {"0.1": "decay 0.1", "1.0": "decay 1"},
    "init": {"xavier": "Xavier", "normal": "normal"},
    "lr": {"0.0003": "rate 3e-4", "0.001": "rate 1e-3"},
}
"""The same levels under the small multiples."""

MID = (
    "Mid (6 layers of 8,192 units), 49 million tokens, mean of two seeds: the share of a layer's units that fire "
    "in 8,192 "
    "held-out tokens at the end of training."
)
"""What the recorded recipes are of."""

START = ("0.02", "True", "1.0", "xavier", "0.0003")
"""What is shown at first: the levels of the recipe from which the search for the paper's numbers began."""


@dataclass(frozen=True)
class Explorable:
    """The figure as a notebook shows it; see `explorable`."""

    datasets: Sequence[xr.Dataset]
    about: str

    def _repr_html_(self) -> str:
        return explorable(self.datasets, self.about)

    def __repr__(self) -> str:
        shown = cells(self.datasets)
        return "\n".join(
            [f"{len(shown)} recipes. {self.about}", *(f"{key}: {said(cell)}" for key, cell in shown.items())]
        )


def cells(datasets: Sequence[xr.Dataset]) -> dict[str, dict[str, list[float] | float]]:
    """Levels, joined by spaces in the order of `SWITCHES` → use (percent) by layer: mean, low, high over seeds; loss;
    and whether every seed has the same lowest layer.

    Parameters
    ----------
    datasets
        Each with `final_batch_use` (recipe, seed, set, layer), fractions, `final_loss` (recipe, seed), nats per token,
        and a coordinate of `recipe` for each factor. A cell that diverged is left out.
    """
    found: dict[str, dict[str, list[float] | float]] = {}
    for dataset in datasets:
        use = 100 * dataset["final_batch_use"].mean("set").transpose("recipe", "seed", "layer").astype(float)
        loss = dataset["final_loss"].transpose("recipe", "seed").astype(float)
        for at in range(dataset.sizes["recipe"]):
            key = " ".join(str(dataset[factor].values[at]) for factor in SWITCHES)
            if not np.isfinite(use.values[at]).all():
                continue
            of = {"use": use.values[at].mean(0), "low": use.values[at].min(0), "high": use.values[at].max(0)}
            found[key] = {name: values.round(1).tolist() for name, values in of.items()} | {
                "loss": round(float(loss.values[at].mean()), 2),
                "agree": len(set(use.values[at].argmin(1).tolist())) == 1,
            }
    return found


def explorable(datasets: Sequence[xr.Dataset], about: str) -> str:
    """The figure as HTML.

    Parameters
    ----------
    about
        A sentence on the model, the tokens and the number of seeds.
    """
    known = cells(datasets)
    shown = known[" ".join(START)]
    rows = "".join(_bar(layer, shown) for layer in range(len(shown["use"])))  # type: ignore[arg-type]
    switches = "".join(_switch(factor, start) for factor, start in zip(SWITCHES, START, strict=True))
    every = (" ".join(levels) for levels in product(*(levels for _, levels in SWITCHES.values())))
    multiples = "".join(_small(key, known[key]) for key in every if key in known)
    return (
        f'<figure class="explorable" id="explorable">\n<script type="application/json">{json.dumps(known)}</script>\n'
        f"<noscript><p>Shown: {', '.join(_words(START))}.</p></noscript>\n"
        f"<form hidden><p>Choose levels and see which layer empties.</p>{switches}</form>\n"
        f'<div class="explorable-bars">{rows}</div>\n'
        f'<p class="explorable-said" aria-live="polite">{said(shown)}</p>\n'
        f"<details open><summary>All {len(known)} recipes at once</summary>"
        f'<div class="explorable-all">{multiples}</div></details>\n'
        f"<figcaption>{escape(about)} The upright mark on layers 0 and 5 is what Wild and Anderson report, of a wider "
        "model. A thin line spans the seeds.</figcaption>\n</figure>"
    )


def said(cell: dict[str, list[float] | float]) -> str:
    """What a cell shows, in words: which layer is the lowest, where one is under `FULL` and the seeds agree on it."""
    use, loss = np.array(cell["use"]), f"Loss {cell['loss']:.2f} nats per token."
    if use.min() >= 100 * FULL:
        return f"No layer empties: all end at {100 * FULL:g} % or more. {loss}"
    doubt = "" if cell["agree"] else " on average, but the seeds disagree"
    return f"Layer {use.argmin()} is the lowest{doubt}, at {use.min():.1f} %. {loss}"


def _bar(layer: int, cell: dict[str, list[float] | float]) -> str:
    use, low, high = (cell[name][layer] for name in ("use", "low", "high"))  # type: ignore[index]
    source = BATCH_USE.get(layer)
    mark = f'<i class="source" style="left:{source}%" title="W&amp;A {source} %"></i>' if source else ""
    return (
        f'<div class="row"><span>layer {layer}</span><span class="track">'
        f'<b style="width:{use}%;background:var(--figure-{style.layer_colour(layer, 6)})"></b>'
        f'<i class="range" style="left:{low}%;width:{high - low:.1f}%"></i>{mark}</span>'
        f"<output>{use:.1f} %</output></div>"
    )


def _switch(factor: str, start: str) -> str:
    name, levels = SWITCHES[factor]
    choices = "".join(
        f'<label><input type="radio" name="{factor}" value="{value}"{" checked" * (value == start)}> {word}</label>'
        for value, word in levels.items()
    )
    return f"<fieldset><legend>{name}</legend>{choices}</fieldset>"


def _words(levels: Sequence[str]) -> list[str]:
    return [SHORT[factor][level] for factor, level in zip(SHORT, levels, strict=True)]


def _small(key: str, cell: dict[str, list[float] | float]) -> str:
    words = _words(key.split(" "))
    use: list[float] = cell["use"]  # type: ignore[assignment]
    bars = "".join(
        f'<path d="M{10 * i} 100v-{u:.0f}h8v{u:.0f}z" fill="var(--figure-{style.layer_colour(i, len(use))})"/>'
        for i, u in enumerate(use)
    )
    label = f"{', '.join(words)}: " + ", ".join(f"{u:g}" for u in use) + " %"
    return (
        f'<div><svg viewBox="0 0 58 100" preserveAspectRatio="none" role="img">'
        f"<title>{label}</title>{bars}</svg>"
        f"<small>{', '.join(words[:2])}<br>{', '.join(words[2:])}<br>loss {cell['loss']:.2f}</small></div>"
    )

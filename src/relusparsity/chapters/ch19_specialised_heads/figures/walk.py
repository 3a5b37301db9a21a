"""Figure of chapter 19 to walk through: all heads by a score, and the attention of one of them on a sentence."""

from dataclasses import replace

import numpy as np
import xarray as xr

from ....plots import style
from ....plots.chart import Axis, Chart, Mark, Panel
from ....plots.figure import Figure, figure
from .page import START, colour, page, side
from .scores import FUNCTIONS, LEAST, named, number, of_head, said, scores
from .sentences import Sentences

SIZES = 8
"""Sizes of the squares in the drawing; on the page they have all."""


def walk(dataset: xr.Dataset) -> Figure:
    """The map of heads to walk through: coloured by a score, with the attention of a head on a stored sentence.

    Parameters
    ----------
    dataset : Dataset
        As `scores.scores` and `sentences.Sentences` read it.
    """
    of, sentences = scores(dataset, "walk"), Sentences(dataset, "walk")
    trained = of.sel(reading="text")
    layer, head = best(trained.sel(score=START))
    sentence = sentences.clearest(layer, head)
    query = sentences.telling(sentence, layer, head)
    seen = sentences.given(sentence, layer, head, query)
    tokens = sentences.tokens[sentence][: query + 1]
    chart = Chart([_map(trained.sel(score=START)), _looks(tokens, seen)], [230, 60 + 17 * len(tokens)], legend="")
    what = said(layer, head, of_head(trained, layer, head))
    caption = (
        "Every square is a head: its size and colour are its score, and it is empty where that is below 0. A head has "
        f"a function where its score is {LEAST:g} or more, and may have several; the table has its scores on the same "
        "tokens in random order and with random weights, too. Below a token stands what the outlined token gives it, "
        "in percent of its attention."
    )
    drawn = [("scores", trained.drop_vars("reading").to_dataset("score")), ("attention", _numbers(tokens, seen))]
    made = figure(f"{__name__}.walk", chart, caption, drawn, _finding(trained), named(dataset))
    alt = (
        f"A map of {trained.sizes['layer']} layers of {trained.sizes['head']} heads by their {START} score, and the "
        f"attention of one head on a sentence. {what} {sentences.said(sentence, layer, head, query)}"
    )
    return replace(made, alt=alt, page=page(of, sentences, (layer, head), (sentence, query), alt))


def best(score: xr.DataArray) -> tuple[int, int]:
    """Layer and head, by places, of the highest score: (layer, head); the first if none was measured."""
    values = np.nan_to_num(score.transpose("layer", "head").values, nan=-np.inf)
    layer, head = np.unravel_index(int(values.argmax()), values.shape)
    return int(layer), int(head)


def _finding(trained: xr.DataArray) -> str:
    """How many heads do more than look at the first token, how many both, and which is the best induction head."""
    values = trained.transpose("score", "layer", "head")
    *others, first = (values.sel(score=score.name) >= LEAST for score in FUNCTIONS)
    more = np.any([other.values for other in others], axis=0)
    layer, head = best(trained.sel(score=START))
    value = of_head(trained, layer, head)[START]
    end = f"highest in induction is layer {layer}, head {head}, at {number(value)}"
    if not np.isfinite(value):
        end = "induction was not measured"
    if not more.any():
        return f"None of {more.size} heads has a function beyond the first token; {end}"
    both = int((more & first.values).sum())
    too = f"{both} of these look there, too" if both else "none of these looks there, too"
    return f"Of {more.size} heads {int(more.sum())} have a function beyond the first token, and {too}; {end}"


def _map(score: xr.DataArray) -> Panel:
    """The map as dots of a few sizes, in the order of layers."""
    values = score.transpose("layer", "head").values
    marks = []
    sizes = np.array([[side(value) for value in row] for row in values])
    for step in range(SIZES):
        at = np.argwhere(np.minimum((SIZES * sizes / 100).astype(int), SIZES - 1) == step)
        if at.size:
            colours = [f"layer-{colour(values[layer, head])}" for layer, head in at]
            told = [[number(values[layer, head])] for layer, head in at]
            size, hover = 2.0 + 13.0 * (step + 0.5) / SIZES, f"layer {{x}}, head {{y}}\n{START} {{0}}"
            marks.append(Mark("points", at[:, 0], at[:, 1], colours, hover=hover, size=size, extra=told))
    layers, heads = values.shape
    ups = Axis("head", limits=(heads - 0.4, -0.6), ticks=([*map(float, range(heads))], [*map(str, range(heads))]))
    return Panel(f"{START}: score of every head", Axis("layer", limits=(-0.7, layers - 0.3)), ups, marks)


def _looks(tokens: list[str], seen: np.ndarray) -> Panel:
    """What a query, the last of the tokens, gives each of them."""
    places = np.arange(len(tokens), dtype=float)
    share = 100 * seen.astype(float) / 255
    hover = [[token.strip()] for token in tokens]
    dots = Mark("points", share, places, style.ACCENT, hover="“{0}”: {x} %", size=8.0, extra=hover)
    stems = [Mark("line", [0.0, float(x)], [y, y], style.ACCENT, width=3.0) for x, y in zip(share, places, strict=True)]
    ups = Axis(
        limits=(len(tokens) - 0.4, -0.6), ticks=(places.tolist(), [token.strip() for token in tokens]), names=True
    )
    title = f"where “{tokens[-1].strip()}” looks, the last of these tokens"
    return Panel(title, Axis("% of its attention", limits=(0.0, 104.0)), ups, [*stems, dots], row=1)


def _numbers(tokens: list[str], seen: np.ndarray) -> xr.Dataset:
    weights = xr.DataArray(
        np.round(seen.astype(float) / 255, 4), dims="position", coords={"token": ("position", tokens)}
    )
    return weights.to_dataset(name="weight").assign_coords(position=range(len(tokens)))

"""Row 44 of the ledger as code: heads that find a token's earlier occurrence, taken away, in a model of others.

Written before any head of that model was taken away. What the ledger's words leave open, and what we chose:

- *top 2 % of heads*: of 270 heads 5, rounded, those of the highest prefix-matching score, mean over the draws of
  repeated random tokens. The texts below are others: English, and tokens drawn anew.
- *repeated text*: English, 16 pieces of 64 tokens, each of which comes twice in a sequence of its own. The gain is the
  mean loss of tokens when they are read first less that of the same tokens when they are read again; a piece's first
  token is left out of both, for nothing says yet that it repeats. What any longer context saves is part of it. As many
  pieces of random tokens are shown beside.
- *remove*: a head's output is replaced, at every token, by its mean over all tokens of the same text in the intact
  model. Zero in its place is the second way, shown and not judged. The share removed is 1 − gain without / gain with.
- *20 random draws of as many heads in the same layers*: in each layer as many as the top has there, never one of the
  top. Their mean decides; the largest is shown.
- *the 1-layer model's best score*: the highest of any head, seed and measured step of our own decoder of one layer,
  which is stricter than that of its last step. It is read from the dataset of its training; while that is not
  recorded, or a run of it has no end, the row is not yet tested.

The ledger's scales are "own" and "real": the heads are taken away in the model of others, the bound is on our own.
"""

import numpy as np
import xarray as xr

from ...claims import Finding, Reading, Rule
from ...claims.reading import Floats, NotTestable, at, seeds, take

SHARE = 0.02
"""Of all heads, those taken away."""
DRAWS = 20
LEAST, MOST, HIGHEST = 50.0, 10.0, 0.1
"""Percent of the gain that the top removes at least, a draw at most; and what a head of one layer scores at most."""

TRAINED, ENGLISH, RANDOM_TOKENS, MEAN, ZERO = "trained", "english", "random tokens", "mean", "zero"
NONE, TOP, ONE_LAYER = "none", "top", "one layer"
DRAWN = tuple(f"random {number}" for number in range(DRAWS))

BIRTH = "induction_birth"
"""The experiment that trains the decoder of one layer."""


def gain(dataset: xr.Dataset, text: str = ENGLISH, way: str = MEAN) -> xr.DataArray:
    """Nats per token that a second reading saves: (evaluation)."""
    dims = ("evaluation", "way", "text")
    first, second = (take(dataset, f"repeat_{which}_loss", *dims) for which in ("first", "second"))
    return at(at(first - second, "text", text), "way", way)


def removed(dataset: xr.Dataset, text: str = ENGLISH, way: str = MEAN) -> xr.DataArray:
    """Percent of the gain that is lost without some heads: (evaluation).

    Raises
    ------
    NotTestable
        If the intact model gains nothing.
    """
    saved = gain(dataset, text, way)
    whole = float(at(saved, "evaluation", NONE))
    if whole <= 0:
        raise NotTestable(f"the model gains nothing from a second reading ({whole:.3f} nats per token)")
    return 100 * (1 - saved / whole)


def number(heads: int) -> int:
    """Heads that are taken away, of so many.

    >>> number(270), number(16)
    (5, 1)
    """
    return max(1, round(SHARE * heads))


def top(scores: Floats, count: int | None = None) -> np.ndarray:
    """Which heads have the highest scores, (layer, head) → bool of the same shape; None: 2 % of them."""
    chosen = np.zeros(scores.size, dtype=bool)
    chosen[np.argsort(-scores.ravel(), kind="stable")[: number(scores.size) if count is None else count]] = True
    return chosen.reshape(scores.shape)


def scores(dataset: xr.Dataset) -> Floats:
    """Prefix-matching scores of the trained model, mean over draws: (layer, head)."""
    every = take(dataset, "prefix_matching", "weights", "draw", "layer", "head", share=True)
    means: Floats = at(every, "weights", TRAINED).mean("draw").values
    return means


def specialised(birth: xr.Dataset, dataset: xr.Dataset) -> Finding:
    """Row 44; see this module.

    Parameters
    ----------
    birth
        `prefix_matching` (arm, seed, step, layer, head) of our own decoders while they train.
    dataset
        `repeat_first_loss`, `repeat_second_loss` (evaluation, way, text), `ablated` (evaluation, layer, head) and
        `prefix_matching` (weights, draw, layer, head) of the model of others, with the coordinate `seed` of one.

    Raises
    ------
    NotTestable
        If the model gains nothing from a second reading.
    """
    by, drawn = removed(dataset), [each for each in dataset["evaluation"].values.tolist() if each in DRAWN]
    of_top, of_drawn = float(at(by, "evaluation", TOP)), by.sel(evaluation=drawn).values
    limits = [] if len(drawn) == DRAWS else [f"{len(drawn)} random draws, the rule's are {DRAWS}"]
    limits += _chosen(dataset, drawn)
    one_layer = best(birth)
    average = float(of_drawn.mean()) if len(drawn) else np.nan
    values: dict[str, float | str] = {
        "removed by the top 2 % (% of the gain)": of_top,
        "by random heads, mean (%)": average if len(drawn) else "none drawn",
        "by random heads, largest (%)": float(of_drawn.max()) if len(drawn) else "none drawn",
        "best score, one layer": "not run" if np.isnan(one_layer) else one_layer,
    }
    margins = tuple(round(each, 9) for each in (of_top - LEAST, MOST - average, HIGHEST - one_layer))
    if np.isnan(one_layer):
        readings = [Reading(seed, None, values, "a run of one layer has no end") for seed in seeds(dataset)]
        return Finding(tuple(readings), tuple(limits), to_come="the runs of one layer are still to come")
    holds = margins[0] >= 0 and margins[1] >= 0 and margins[2] > 0
    return Finding(tuple(Reading(seed, holds, values, margins=margins) for seed in seeds(dataset)), tuple(limits))


def best(birth: xr.Dataset) -> float:
    """The highest prefix-matching score of the decoder of one layer, any head, seed and step; NaN if one is missing.

    Layers that a decoder of one layer does not have are missing everywhere, and do not count.
    """
    dims = ("arm", "seed", "step", "layer", "head")
    every = at(take(birth, "prefix_matching", *dims, share=True, missing=True), "arm", ONE_LAYER)
    first = every.isel(layer=0)
    return float(first.max()) if bool(first.notnull().all()) else float("nan")


def _chosen(dataset: xr.Dataset, drawn: list[str]) -> list[str]:
    """How the heads taken away are not those of the rule, in words; none where they are."""
    gone = take(dataset, "ablated", "evaluation", "layer", "head").astype(bool)
    ours = top(scores(dataset))
    said = []
    if not (at(gone, "evaluation", TOP).values == ours).all():
        said.append(f"the heads taken away are not the {number(ours.size)} of the highest scores")
    draws = gone.sel(evaluation=drawn).values
    if (draws & ours).any() or (draws.sum(-1) != ours.sum(-1)).any():
        said.append("random draws are not as many other heads of the same layers")
    return said


RULES = {"44": Rule("real_heads", specialised, beside=BIRTH)}
"""The ledger's row that these runs decide."""

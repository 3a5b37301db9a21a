"""What a report shows of attention: heads and sinks by layer, heads that do one thing most, massive activations."""

import html
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import xarray as xr

Rows = Callable[[Sequence[str], Sequence[Sequence[str]], Sequence[int]], str]
"""The HTML of a table: head, rows, and which columns are text."""
KINDS = {
    "attention_first": "first token",
    "attention_previous": "previous token",
    "attention_next": "next token",
    "attention_same": "same token",
    "attention_delimiter": "delimiters",
    "prefix_matching": "induction",
}
SHOWN = 3
"""Heads of a kind in a report."""


def shown(of: str, data: xr.Dataset, rows: Rows) -> Iterator[str]:
    """The sections on attention; nothing where it was not measured.

    Parameters
    ----------
    of
        " of NAME" among several models, else empty.
    data
        With what `attending.attended` adds.
    rows
        Makes a table.
    """
    if "attention_first" not in data:
        return
    layers = data.sizes["attention_layer"]
    read = f"{data.attrs['attention_tokens']:,} tokens"
    yield f"<h2>Where heads look{html.escape(of)}</h2>"
    yield (
        f"<p><b>{_sinks(data)}</b> A head's sink is its sequence's first token where it gets more than 0.3 of the "
        "attention, averaged over the first 64 queries (Sink%, arXiv 2410.10781). Means over all heads of a layer, on "
        f"{read}: attention in %, entropy in nats, distance in tokens.</p>"
    )
    names = ("attention_first", "attention_previous", "attention_delimiter", "attention_entropy", "attention_distance")
    head = ["layer", "first token", "previous", "delimiters", "entropy", "distance", "Sink%"]
    table = []
    for layer in range(layers):
        means = [float(data[name][0, layer].mean()) for name in names]
        cells = [_percent(value) for value in means[:3]] + [f"{means[3]:.2f}", f"{means[4]:.1f}"]
        table.append([str(layer), *cells, _percent(float(data["sink_rate"][0, layer].mean()))])
    yield rows(head, table, ())
    if np.isnan(data["attention_learned_sink"]).all():
        yield "<p class=note>Weights are sigmoids, which have any sum; Sink% is of those divided by it.</p>"
    if float(data["attention_learned_sink"].max()) > 1e-6:
        shares = data["attention_learned_sink"][0].mean("head").values
        ends = f"{_percent(float(shares.min()))} to {_percent(float(shares.max()))} %"
        yield f"<p class=note>Sinks that are no token take {ends} of a layer's attention.</p>"
    yield f"<p class=note>{_kinds(data)}</p>"
    yield rows(["kind", *(["head", "score"] * SHOWN)], list(_best(data)), (0,))
    yield f"<h2>Massive activations{html.escape(of)}</h2>"
    yield f"<p>{massive(data)}</p>"
    head = ["layer", "largest entry", "at token", "which is", "dimension", "median size", "dimensions"]
    yield rows(head, list(_spikes(data)), (3,))


def _sinks(data: xr.Dataset) -> str:
    share = 100 * float(data["sink_rate"].mean())
    by_layer = data["sink_rate"][0].mean("head").values
    most = int(by_layer.argmax())
    return f"Sink% is {share:.1f}; it is highest in layer {most}: {_percent(float(by_layer[most]))}."


def _kinds(data: xr.Dataset) -> str:
    of = f"heads with the largest score of a kind, as layer.head: mean attention in % of {_read(data)}"
    if "prefix_matching" not in data:
        return f"The {of}. There is no test of induction: the model predicts no next token, or reads too few."
    period = data.attrs["induction_period"]
    return (
        f"The {of}; induction by the prefix-matching score, the attention to the token after the earlier occurrence, "
        f"where {period} random tokens are read twice ({data.attrs['induction_draws']} draws)."
    )


def _read(data: xr.Dataset) -> str:
    return f"{data.attrs['attention_tokens']:,} tokens"


def _best(data: xr.Dataset) -> Iterator[list[str]]:
    """Of each kind the heads that do it most, a row a kind."""
    for name, kind in KINDS.items():
        if name not in data or not np.isfinite(data[name]).all():
            continue
        scores = data[name].values[0]
        if scores.max() < 1e-6:
            continue  # the next token, where none is seen
        best = np.argsort(-scores, axis=None, kind="stable")[:SHOWN]
        cells = [f"{at // scores.shape[1]}.{at % scores.shape[1]}" for at in best.tolist()]
        values = [_percent(float(scores.flat[at])) for at in best]
        pairs = [each for pair in zip(cells, values, strict=True) for each in pair]
        yield [kind, *pairs, *[""] * (2 * SHOWN - len(pairs))]


def massive(data: xr.Dataset) -> str:
    """What is massive in the residual stream, in a sentence: `massive_dimensions`, `spike_dimension` (seed, layer)."""
    number = data["massive_dimensions"].values[0]
    rule = "above 100 and above 1,000 times the median size of the layer's entries (arXiv 2402.17762)"
    if not number.any():
        return f"No entry of the residual stream is massive: {rule}."
    layers = np.flatnonzero(number).tolist()
    of = f"layer {layers[0]} of {len(number)}"
    if len(layers) > 1:
        of = f"{len(layers)} of {len(number)} layers, from layer {layers[0]} to layer {layers[-1]}"
    dims = sorted(set(data["spike_dimension"].values[0, layers].tolist()))
    where = f"dimension{'s' * (len(dims) > 1)} {', '.join(map(str, dims))}"
    return (
        f"The residual stream has massive activations, {rule}, after {of}; the largest of each layer lies in {where}."
    )


def _spikes(data: xr.Dataset) -> Iterator[list[str]]:
    for layer in range(data.sizes["stream_layer"]):
        one = {name: data[name].values[0, layer] for name in ("spike", "spike_token", "spike_dimension")}
        yield [
            str(layer),
            f"{one['spike']:,.1f}".replace("-", "−"),
            str(int(one["spike_token"])),
            str(data["spike_text"].values[layer]),
            str(int(one["spike_dimension"])),
            f"{float(data['stream_median'][0, layer]):.3g}",
            str(int(data["massive_dimensions"][0, layer])),
        ]


def _percent(share: float) -> str:
    return "–" if not np.isfinite(share) else f"{100 * share:.1f}"

"""What a report shows, section by section: pieces of HTML for a page of its own, or for one of the book."""

import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from .. import plots
from ..plots import Figure, measured
from ..plots.pruning import named as removed_by
from ..plots.reading import how_many
from ..plots.style import si
from ..store import results
from . import attended, following, found

Draw = Callable[[Figure], str]
"""The HTML of a figure, as the page that it stands on needs it."""
SEEN = 0.001
"""Share of a layer's silent units below which the figure of them, whose axis ends at 1 % or more, is empty."""


def body(models: Mapping[str, xr.Dataset], draw: Draw) -> Iterator[str]:
    """The report below its heading, of one model or of several side by side.

    Parameters
    ----------
    models
        Datasets of `measure.measure` by short name. One without numbers of single units (`final_firing_count`) gets
        what those by layer show, and says so.
    draw
        Gives each figure's HTML.
    """
    alone = len(models) == 1
    for name, data in models.items():
        yield _found("" if alone else name, data)
    for name, data in models.items():
        yield from _facts("" if alone else name, data)
    by_unit = all("final_firing_count" in data for data in models.values())
    if not by_unit:
        yield (
            "<p class=note>The recorded dataset keeps numbers of layers and of chosen units, not of every unit. So "
            "histograms of single units, the figure of their specificity and the units left in each layer after a "
            "removal are not shown here; a report that measure writes has them.</p>"
        )
    yield _section("How much of each layer is used", draw(measured.layer_use(models)))
    yield from (_table("" if alone else name, data) for name, data in models.items())
    yield _section("Over how much text", draw(measured.windows(models)))
    yield _section("How often single units fire", draw(measured.firing_rates(models)))
    if alone and by_unit:
        (one,) = models.values()
        caption = (
            f"Share of a layer's units by firing rate over {si(one.attrs['final_sample_tokens'])} tokens, in bins of a "
            "quarter decade; units that never fired are counted above the panel."
        )
        yield draw(replace(plots.layer_to_units(one), caption=caption))
    seen = any(float(data["silent_units"].max()) >= SEEN * data.attrs["d_ff"] for data in models.values())
    yield _section("Silent units, and how sure that is", draw(measured.silent(models)) if seen else "")
    yield from (_silence("" if alone else name, data) for name, data in models.items())
    if by_unit:
        yield from _between(models, draw)
    for name, data in models.items():
        yield from _specific("" if alone else f" of {name}", data, draw)
    for name, data in models.items():
        yield from _removal("" if alone else f" from {name}", data, draw)
    for name, data in models.items():
        yield from attended.shown("" if alone else f" of {name}", data, _rows)


def _found(name: str, data: xr.Dataset) -> str:
    """What was found, for those who read no further; the first sentence stands out."""
    first, *others = map(html.escape, found.sentences(data))
    return f"<p class=found>{f'{html.escape(name)}: ' if name else ''}<b>{first}</b> {' '.join(others)}</p>"


def _facts(name: str, data: xr.Dataset) -> Iterator[str]:
    facts = results.provenance(data)
    if name:
        yield f"<h2>{html.escape(name)}</h2>"
    text = facts["text"]
    files = ", ".join(each[0] for each in text.get("files", [])) or "given as tokens"
    environment = facts["environment"]
    rows = {
        "model": f"{facts['model']['name']} ({facts['model']['class']}, {facts['precision']})",
        "layers": f"{len(facts['layers'])} of {data.attrs['d_ff']:,} units each: {facts['layers'][0]}, …",
        "a unit fires where": facts["rule"]["name"] + found.rule_facts(facts["rule"]["facts"]),
        "text": f"{text['tokens']:,} tokens in sequences of {text['seq_len']:,} ({files}); "
        + text.get("packing", "packed, attention crosses documents"),
        "run": f"{environment['device']}, {facts['wall_seconds']:,.0f} s, by relusparsity "
        f"{environment['packages']['relusparsity']} at commit {environment['commit']}",
        "read with": ", ".join(_versions(environment)),
    }
    if "package" in facts["model"]:
        package, licence, sha256 = (facts["model"][key] for key in ("package", "licence", "sha256"))
        rows["weights"] = f"package {package}, licence {licence}, sha256 {sha256}"
    if facts.get("not_counted"):
        rows["not counted"] = facts["not_counted"]
    if text.get("special_tokens"):
        rows["special tokens"] = text["special_tokens"]
    if text.get("without_text"):
        rows["left out"] = f"{text['without_text']:,} records whose text is null"
    if facts["model"].get("notes"):
        rows["note"] = "; ".join(facts["model"]["notes"])
    if "final_loss" in data:
        rows["loss"] = f"{float(data['final_loss'][0]):.3f} nats per token on this text"
    yield "<dl>" + "".join(f"<dt>{k}</dt><dd>{html.escape(v)}</dd>" for k, v in rows.items()) + "</dl>"


def _versions(environment: Mapping[str, Any]) -> Iterator[str]:
    yield f"Python {environment['python']}"
    yield from (f"{name} {of}" for name, of in environment["packages"].items() if name != "relusparsity")


def _table(name: str, data: xr.Dataset) -> str:
    has = 8192 in data["window"].values
    head = [
        "layer",
        "module",
        "at a token",
        f"in {data.attrs['seq_len']:,}",
        *(["in 8,192"] if has else []),
        "in all",
        "median rate",
        "silent",
    ]
    window = data["final_window_use"][0]
    rows = []
    for i, module in enumerate(data["layer_name"].values):
        use = [float(data["final_token_use"][0, i]), float(data["final_sequence_use"][0, i])]
        use += [float(window[i].sel(window=8192))] if has else []
        use.append(1 - int(data["silent_units"][0, i]) / data.attrs["d_ff"])
        median = data["firing_rate_percentiles"].sel(percentile=50)[0, i]
        cells = [f"{100 * v:.1f}" for v in use]
        rows.append([str(i), str(module), *cells, f"{100 * float(median):.3g}", f"{int(data['silent_units'][0, i]):,}"])
    what = f" of {html.escape(name)}" if name else ""
    return f"<p class=note>Units that fire{what}, % (median rate: % of tokens; silent: units).</p>" + _rows(
        head, rows, (1,)
    )


def _silence(name: str, data: xr.Dataset) -> str:
    sequences = int(data["layer_sequences"].values.max())
    counts, read = data["silent_units"][0].values, f"{data.attrs['final_sample_tokens']:,}"
    what = f"{html.escape(name)}: " if name else ""
    if not counts.any():
        return f"<p>{what}No unit was silent: each fired somewhere in {read} tokens, {sequences:,} sequences.</p>"
    of = data["silent_token_bound"][0].values[counts > 0]  # of the layers that have silent units
    bound, resampled = float(data["silent_sequence_bound"].max()), float(data["silent_if_resampled"].sum())
    ends = dict.fromkeys(f"{100 * value:.2g}" for value in (of.min(), of.max()))
    return (
        f"<p>{what}{how_many(int(counts.sum()), 'unit')} fired at none of {read} tokens, which are {sequences:,} "
        "sequences. Firings cluster in sequences, so these are the draws: at 95 % confidence a silent unit fires in at "
        f"most {100 * bound:.2g} % of sequences like them. If it fires in no more of a sequence than its layer's "
        f"rarest units that did fire, that is at most {' to '.join(ends)} % of tokens (where none was rare, all of a "
        f"sequence is assumed). Drawing as many of these sequences again would leave "
        f"{how_many(round(resampled), 'unit')} silent.</p>"
    )


def _between(models: Mapping[str, xr.Dataset], draw: Draw) -> Iterator[str]:
    """Deaths and revivals from each checkpoint to the next, where they are checkpoints of one model on one text."""
    for (one, before), (two, after) in pairwise(models.items()):
        why, caveat = following.whether(before, after)
        if why:
            yield f"<p class=note>{html.escape(one)} and {html.escape(two)} {why}, so units are not followed.</p>"
            continue
        before, after = (d.assign_attrs(name=n) for n, d in ((one, before), (two, after)))
        yield _section(f"From {one} to {two}", draw(measured.changes(before, after)))
        if caveat:
            yield f"<p class=note>{caveat}</p>"


def _specific(of: str, data: xr.Dataset, draw: Draw) -> Iterator[str]:
    title = f"What units{of} fire on"
    if "token_selectivity" in data:
        if not np.isfinite(data["token_selectivity"]).any():
            yield f"<p class=note>No unit{html.escape(of)} fired often enough (100 times) to have a specificity.</p>"
            return
        yield _section(title, _specificity(of, data, draw))
    elif "example_text" in data:
        yield _section(title, "")
    if "example_text" not in data:
        return
    rows = []
    for i in range(data.sizes["example"]):
        texts = [t for t in data["example_text"].values[i].tolist() if t]
        one = [data["example_layer"], data["example_unit"], data["example_rule"], data["example_types"]]
        rows.append([*(str(v.values[i]) for v in one), "\n".join(texts)])
    followed = results.provenance(data)["config"].get("options", {}).get("followed", 0)
    yield (
        f"<p class=note>Units chosen by rule{f' of {followed} evenly spaced ones a layer' * bool(followed)}, of equal "
        "ones the first (where all fire in every sequence, none is more clustered than another); what they fire on "
        "most often, and their strongest tokens in context.</p>"
    )
    yield _rows(["layer", "unit", "chosen as", "token types, % of firings", "strongest, in context"], rows, (2, 3, 4))


def _specificity(of: str, data: xr.Dataset, draw: Draw) -> str:
    followed = int(np.isfinite(data["token_selectivity"].values).sum(axis=-1).max())
    figure = plots.specificity(data)
    sample = si(data.attrs["final_sample_tokens"])
    caption = (
        f"Each point is a unit: those of {followed} evenly spaced ones a layer, whose token types were counted, that "
        f"fired at least 100 times in {sample} tokens; lines: medians of units that fire about as often. Above: how "
        "much of a sequence a unit fires in, given that it fires there, relative to random firing as often (1: no "
        "clustering). Below: token selectivity, 0 for firing on tokens as they come, 1 for one token type only. "
        "Compare layers at "
        "equal firing rate: rare firing alone looks specific."
    )
    return draw(replace(figure, name=f"{figure.name}{of}", caption=caption))


def _removal(of: str, data: xr.Dataset, draw: Draw) -> Iterator[str]:
    if "loss" not in data:
        options = results.provenance(data)["config"].get("options", {})
        quick = "final_loss" in data and not options.get("removal", True)
        why = "measure it with --full" if quick else "the model does not predict next tokens, or the text was short"
        why = "it was not asked for" if options.get("loss_tokens") == 0 else why
        yield f"<p class=note>No loss without units{html.escape(of)}: {why}.</p>"
        return
    baseline, silent = (float(data[n][0, 0]) for n in ("baseline_loss", "silent_loss"))
    yield _section(f"Removing units{of}", _pruned(of, data, draw) if "units_left" in data else "")
    number, units = int(data["silent_units"].sum()), data.sizes["layer"] * data.attrs["d_ff"]
    yield (
        f"<p>Taking out what is silent ({how_many(number, 'unit')}, {100 * number / units:.3g} %) changes "
        f"the loss on text that they were not chosen on from {baseline:.4f} to {silent:.4f} nats per token "
        f"({100 * (silent / baseline - 1):+.4f} %).</p>"
    )
    head = [
        "units removed, %",
        *(f"{removed_by(m)}, loss" for m in data["chosen_by"].values),
        *(f"{removed_by(m)}, %" for m in data["chosen_by"].values),
    ]
    rows = []
    for at, share in enumerate(data["share"].values):
        losses = [float(v) for v in data["loss"][0, :, at, 0]]
        rises = [f"{100 * (v / baseline - 1):+.2f}" for v in losses]
        rows.append([f"{100 * share:.3g}", *(f"{v:.4f}" for v in losses), *rises])
    yield _rows(head, rows)


def _pruned(of: str, data: xr.Dataset, draw: Draw) -> str:
    figure = plots.pruning(data)
    caption = (
        "Units are removed over all layers. Bars: units left in each layer when those that fire least go. The matched "
        "draw, for comparison, takes as many of each layer at random. Below: change of the loss on text set apart, % "
        "of that of the whole model."
    )
    return draw(replace(figure, name=f"{figure.name}{of}", caption=caption))


def _section(title: str, content: str) -> str:
    return f"<h2>{html.escape(title)}</h2>\n{content}"


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]], text: Sequence[int] = ()) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return "".join(_cell(cell, tag, at in text) for at, cell in enumerate(cells))

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f"<table><thead><tr>{line(head, 'th')}</tr></thead><tbody>{body}</tbody></table>"


def _cell(text: str, tag: str, left: bool) -> str:
    shown = html.escape(text)
    kind = ' class="text context"' if "[[" in text else ' class="text"' if left else ""
    if "[[" in text:
        shown = shown.replace("[[", "<mark>").replace("]]", "</mark>")
    return f"<{tag}{kind}>{shown}</{tag}>"

"""Datasets of measured models → one HTML file that needs nothing else: no server, no network, no other file."""

import base64
import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import xarray as xr

from .. import plots
from ..anymodel.rules import EXACT
from ..errors import UserError
from ..plots import Figure, measured, moves, page, palette, written
from ..plots.pruning import named as removed_by
from ..plots.style import si
from ..store import results, sealed
from . import following, found

STATIC = Path(plots.__file__).parents[1] / "book" / "static"
STYLE = """
:root { --pst-color-text-base: #23282e; --pst-color-border: #dcdfe3; --pst-color-surface: #f6f7f8; --muted: #5c646e;
  --link: #1f5a8a; --page: #fff; color-scheme: light dark;
  --book-sans: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", Helvetica, Arial, sans-serif;
  --book-serif: Charter, "Bitstream Charter", "Sitka Text", Cambria, Georgia, serif; }
@media (prefers-color-scheme: dark) { :root { --pst-color-text-base: #d5dae0; --pst-color-border: #39424e;
  --pst-color-surface: #1c2229; --muted: #9aa4b0; --link: #8fbfe6; --page: #14181d; } }
body { margin: 0 auto; max-width: 820px; padding: 1.5rem 1rem 4rem; background: var(--page);
  color: var(--pst-color-text-base); font: 17px/1.6 var(--book-serif); }
h1 { font-size: 1.9rem; line-height: 1.25; overflow-wrap: anywhere; margin-bottom: 0.3em; }
h2 { font-size: 1.35rem; margin: 2.2em 0 0.5em; }
a { color: var(--link); }
table { display: block; overflow-x: auto; border-collapse: collapse; font: 0.8em/1.45 var(--book-sans);
  font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 0.3em 0.8em; border-bottom: 1px solid var(--pst-color-border);
  vertical-align: top; }
th { font-weight: 600; } .text { text-align: left; } td.context { white-space: pre-wrap; min-width: 22em; }
mark { background: none; color: inherit; font-weight: 700; border-bottom: 2px solid #f18600; }
figure { margin: 0.6em 0 1.8em; } figure :is(img, svg) { display: block; width: 100%; }
figure.is-live picture { display: none; } figure svg { font-family: var(--book-sans); }
.figure-controls { font: 0.84em var(--book-sans); } .figure-controls [type=range] { display: block; height: 24px; }
.figure-controls fieldset { border: 0; padding: 0; } .figure-hint { color: var(--muted); margin: 0; }
.figure-tip { position: fixed; pointer-events: none; white-space: pre-line; max-width: 260px; padding: 4px 8px;
  background: var(--page); border: 1px solid var(--pst-color-border); font: 13px/1.4 var(--book-sans); }
figcaption, .note, dl { color: var(--muted); font-size: 0.9em; }
figcaption a { font: 0.85em var(--book-sans); color: inherit; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.15em 1em; }
dd { margin: 0; overflow-wrap: anywhere; }
@media print { .figure-controls, .figure-tip { display: none; } }
"""
COLOURS = palette.css(dark=":root", screen="screen and (prefers-color-scheme:dark)")


def write(models: Sequence[xr.Dataset], path: Path) -> None:
    """Write the report of one model, or of several side by side, atomically.

    Raises
    ------
    UserError
        If two of several were measured by different rules, which cannot be compared.
    """
    named = _named(models)
    rules = {data.attrs["rule"] for data in models}
    if len(rules) > 1 and not rules <= set(EXACT):
        raise UserError(f"different rules are never compared: {'; '.join(sorted(rules))}; measure again by one rule.")
    title = " and ".join(named)
    body = "\n".join(_body(named))
    page = (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}: which units fire</title>\n<style>{STYLE}{COLOURS}</style>\n"
        f"<script>{(STATIC / 'figures.js').read_text(encoding='utf-8')}</script>\n"
        f"</head><body>\n<h1>{html.escape(title)}: which units fire</h1>\n{body}\n</body></html>\n"
    )
    with sealed.atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _named(models: Sequence[xr.Dataset]) -> dict[str, xr.Dataset]:
    """Datasets by a short name; the same name twice gets numbers."""
    short = [str(data.attrs["name"]).rstrip("/").rpartition("/")[2] for data in models]
    return {
        name if short.count(name) == 1 else f"{name} ({i + 1})": data
        for i, (name, data) in enumerate(zip(short, models, strict=True))
    }


def _body(models: Mapping[str, xr.Dataset]) -> Iterator[str]:
    for name, data in models.items():
        yield _found(name if len(models) > 1 else "", data)
    for name, data in models.items():
        yield from _facts(name if len(models) > 1 else "", data)
    one = next(iter(models.values())) if len(models) == 1 else None
    yield _section("How much of each layer is used", measured.layer_use(models))
    yield from (_table(name if len(models) > 1 else "", data) for name, data in models.items())
    yield _section("Over how much text", measured.windows(models))
    yield _section("How often single units fire", measured.firing_rates(models))
    if one is not None:
        caption = (
            f"Share of a layer's units by firing rate over {si(one.attrs['final_sample_tokens'])} tokens, in bins of a "
            "quarter decade; units that never fired are counted above the panel."
        )
        yield _figure(replace(plots.layer_to_units(one), caption=caption))
    yield _section("Silent units, and how sure that is", measured.silent(models))
    yield from (_silence(name if len(models) > 1 else "", data) for name, data in models.items())
    yield from _between(models)
    for name, data in models.items():
        yield from _specific(f" of {name}" if len(models) > 1 else "", data)
    for name, data in models.items():
        yield from _removal(f" from {name}" if len(models) > 1 else "", data)


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
    rows = {
        "model": f"{facts['model']['name']} ({facts['model']['class']}, {facts['precision']})",
        "layers": f"{len(facts['layers'])} of {data.attrs['d_ff']:,} units each: {facts['layers'][0]}, …",
        "a unit fires where": facts["rule"]["name"] + found.rule_facts(facts["rule"]["facts"]),
        "text": f"{text['tokens']:,} tokens in sequences of {text['seq_len']:,} ({files}); packed, attention crosses "
        "documents",
        "run": f"{facts['environment']['device']}, {facts['wall_seconds']:,.0f} s, relusparsity "
        f"{facts['environment']['packages']['relusparsity']}",
    }
    if text.get("special_tokens"):
        rows["special tokens"] = text["special_tokens"]
    if text.get("without_text"):
        rows["left out"] = f"{text['without_text']:,} records whose text is null"
    if facts["model"].get("notes"):
        rows["note"] = "; ".join(facts["model"]["notes"])
    if "final_loss" in data:
        rows["loss"] = f"{float(data['final_loss'][0]):.3f} nats per token on this text"
    yield "<dl>" + "".join(f"<dt>{k}</dt><dd>{html.escape(v)}</dd>" for k, v in rows.items()) + "</dl>"


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
    bound, token = float(data["silent_sequence_bound"].max()), data["silent_token_bound"][0].values
    resampled, count = (float(data[n].sum()) for n in ("silent_if_resampled", "silent_units"))
    what = f"{html.escape(name)}: " if name else ""
    return (
        f"<p>{what}{count:,.0f} units fired at none of {data.attrs['final_sample_tokens']:,} tokens, which are "
        f"{sequences:,} sequences. Firings cluster in sequences, so these are the draws: at 95 % confidence each "
        f"silent unit fires in at most {100 * bound:.2g} % of sequences like them. If it fires in no more of a "
        f"sequence than the rarest units that did fire, that is at most {100 * token.min():.2g} to "
        f"{100 * token.max():.2g} % of tokens, depending on the layer (where none was rare, all of a sequence is "
        f"assumed). Drawing as many of these sequences again would leave {resampled:,.0f} units silent.</p>"
    )


def _between(models: Mapping[str, xr.Dataset]) -> Iterator[str]:
    """Deaths and revivals from each checkpoint to the next, where they are checkpoints of one model on one text."""
    for (one, before), (two, after) in pairwise(models.items()):
        why, caveat = following.whether(before, after)
        if why:
            yield f"<p class=note>{html.escape(one)} and {html.escape(two)} {why}, so units are not followed.</p>"
            continue
        before, after = (d.assign_attrs(name=n) for n, d in ((one, before), (two, after)))
        yield _section(f"From {one} to {two}", measured.changes(before, after))
        if caveat:
            yield f"<p class=note>{caveat}</p>"


def _specific(of: str, data: xr.Dataset) -> Iterator[str]:
    if not np.isfinite(data["token_selectivity"]).any():
        yield f"<p class=note>No unit{html.escape(of)} fired often enough (100 times) to have a specificity.</p>"
        return
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
    yield _section(f"What units{of} fire on", replace(figure, name=f"{figure.name}{of}", caption=caption))
    if "example_text" not in data:
        return
    rows = []
    for i in range(data.sizes["example"]):
        texts = [t for t in data["example_text"].values[i].tolist() if t]
        one = [data["example_layer"], data["example_unit"], data["example_rule"], data["example_types"]]
        rows.append([*(str(v.values[i]) for v in one), "\n".join(texts)])
    yield "<p class=note>Units chosen by rule, what they fire on most often, and their strongest tokens in context.</p>"
    yield _rows(["layer", "unit", "chosen as", "token types, % of firings", "strongest, in context"], rows, (2, 3, 4))


def _removal(of: str, data: xr.Dataset) -> Iterator[str]:
    if "loss" not in data:
        options = results.provenance(data)["config"]["options"]
        quick = "final_loss" in data and not options.get("removal", True)
        why = "measure it with --full" if quick else "the model does not predict next tokens, or the text was short"
        yield f"<p class=note>No loss without units{html.escape(of)}: {why}.</p>"
        return
    baseline, silent = (float(data[n][0, 0]) for n in ("baseline_loss", "silent_loss"))
    figure = plots.pruning(data)
    caption = (
        "Units are removed over all layers. Bars: units left in each layer when those that fire least go. The matched "
        "draw, for comparison, takes as many of each layer at random. Below: change of the loss on text set apart, % "
        "of that of the whole model."
    )
    yield _section(f"Removing units{of}", replace(figure, name=f"{figure.name}{of}", caption=caption))
    number = int(data["silent_units"].sum())
    yield (
        f"<p>Taking out the {number:,} silent units ({100 * number / data['final_firing_count'].size:.3g} %) changes "
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


def _section(title: str, figure: Figure) -> str:
    return f"<h2>{html.escape(title)}</h2>\n{_figure(figure)}"


def _figure(figure: Figure) -> str:
    name = re.sub("[^a-z0-9]+", "-", figure.name.lower()).strip("-")
    chart = written.from_json(figure.chart)
    drawn = moves.figure(chart)
    svgs = {size: page.alone(each["svg"]).encode() for size, each in drawn["drawings"].items()}
    urls = {size: f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}" for size, svg in svgs.items()}
    data = base64.b64encode(figure.csv.encode()).decode()
    return (
        f'<figure class="live-figure" id="fig-{name}" data-figure="{name}">'
        f"{page.picture(urls['wide'], urls['narrow'], figure.alt)}{page.form(chart, name)}"
        f"<script>{page.script(name, drawn)}</script>"
        f"<figcaption><b>{html.escape(figure.heading)}</b> {html.escape(figure.caption)} "
        f'<a download="{name}.csv" href="data:text/csv;base64,{data}">data (CSV)</a></figcaption></figure>'
    )


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

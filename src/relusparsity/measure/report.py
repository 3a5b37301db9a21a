"""Datasets of measured models → one HTML file that needs nothing else: no server, no network, no other file."""

import base64
import html
import re
from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from .. import plots
from ..anymodel.rules import EXACT
from ..errors import UserError
from ..plots import Figure, moves, page, palette, written
from ..store import sealed
from . import sections

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
    body = "\n".join(sections.body(named, _embedded))
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


def _embedded(figure: Figure) -> str:
    """A figure whose drawings, data and numbers stand in the page itself."""
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

"""One static page: a figure is its title, the form controls that move it and a still; its data lie in a file."""

import html
import json
from pathlib import Path
from typing import Any

from figures import Bars, Units

LIGHT = """ --ground: #fff; --ink: #23282e; --muted: #5b636d; --grid: #dcdfe3; --ramp0: #08306b; --ramp1: #0f4f8f;
  --ramp2: #2171b5; --ramp3: #3f8fc8; --ramp4: #5a9bc9; --ramp5: #6d98b8; """
DARK = """ --ground: #14181e; --ink: #dfe3e8; --muted: #a2abb5; --grid: #39424e; --ramp0: #f0f6fc; --ramp1: #cfe1f2;
  --ramp2: #a8cde6; --ramp3: #82b6da; --ramp4: #629fcb; --ramp5: #4d8bbb; """
CSS = (
    f""":root {{{LIGHT}}} [data-theme=dark] {{{DARK}}}
@media print {{ [data-theme] {{{LIGHT}}} form {{ display: none !important; }} }}"""
    + """
body { background: var(--ground); color: var(--ink); font: 16px system-ui, sans-serif; margin: 0 auto; max-width: 760px;
  padding: 0 12px; }
figure { margin: 1em 0 2em; } figure > img, figure svg { width: 100%; height: auto; } .is-live > img { display: none; }
form { display: flex; flex-wrap: wrap; gap: .5em 1.2em; } form[hidden] { display: none; } label { flex: 1 0 9em; }
input[type=range] { width: 100%; } select { font: inherit; min-height: 28px; } output { font-weight: 600; }
"""
)
# A slider's place, or the levels of the switches, is the number of a state; `apply` draws it.
CONTROLS = """
"use strict";
function connect(figure, states, apply) {
  const form = figure.querySelector("form");
  figure.classList.add("is-live");
  if (!form) return;
  form.hidden = false;
  const inputs = [...form.elements].filter((e) => e.matches("input, select")), output = form.querySelector("output");
  const show = () => {
    const state = inputs.reduce((n, e) => n * (e.options?.length ?? 1) + Number(e.value), 0);
    output.textContent = states[state];
    inputs[0].type === "range" && inputs[0].setAttribute("aria-valuetext", states[state]);
    return apply(state);
  };
  form.addEventListener("input", show);
}
"""


def controls(name: str, content: Bars | Units) -> str:
    """Native form elements, hidden until a script is there to answer to them."""
    if isinstance(content, Units):
        return ""
    said = f"<output>{content.labels[content.first]}</output>"
    if not content.factors:
        last = len(content.labels) - 1
        slider = f'<input type="range" min="0" max="{last}" value="{content.first}">'
        return f"<form hidden><label>seen: {said}{slider}</label></form>"
    parts = []
    for words, levels in content.factors:
        options = "".join(f'<option value="{i}">{level}</option>' for i, level in enumerate(levels))
        parts.append(f"<label>{words} <select>{options}</select></label>")
    return f"<form hidden>{''.join(parts)}{said}</form>"


def figure(name: str, content: Bars | Units, still: str, form: str | None = None) -> str:
    form = controls(name, content) if form is None else form
    title = f"<figcaption><strong>{html.escape(content.title)}</strong></figcaption>"
    return f'<figure id="{name}">{title}{form}{still}</figure>'


def picture(folder: Path, name: str, content: bytes, suffix: str, alt: str) -> str:
    (folder / f"{name}.{suffix}").write_bytes(content)
    return f'<img src="{name}.{suffix}" alt="{html.escape(alt)}">'


def write(folder: Path, page: str, figures: list[str], scripts: list[str], head: str = "") -> None:
    tags = "".join(f'<script src="{script}" defer></script>' for script in scripts)
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{page}</title>{head}'
    head += f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{CSS}</style>{tags}'
    (folder / f"{page}.html").write_text(f"{head}<main><h1>{page}</h1>{''.join(figures)}</main></html>")


def data(folder: Path, name: str, content: Any) -> str:
    """A figure's data as a script: Chromium lets a page from file:// read no JSON."""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    (folder / f"{name}.js").write_text(f'(window.FIGURES ??= {{}})["{name}"]={text};', encoding="utf-8")
    return f"{name}.js"

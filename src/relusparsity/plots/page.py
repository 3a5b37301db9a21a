"""A figure's HTML: its drawing, which needs no script, and the form that a script brings to life."""

import html
import json
from typing import Any

import numpy as np

from .chart import Chart, Control
from .palette import css

RADIOS = 6
"""Choices up to which each has its own button; more are a list."""


def script(name: str, data: dict[str, Any]) -> str:
    """The figure's data as a script: a page from file:// may read no JSON. A page may hold it, too."""
    content = json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("</", "<\\/")
    return f"(window.FIGURES??={{}})[{json.dumps(name)}]={content};"


def alone(svg: str) -> str:
    """A drawing as a file of its own, in the colours that the reader's system prefers."""
    look = css("svg", "svg", "screen and (prefers-color-scheme:dark)")
    return svg.replace(">", f"><style>svg{{font-family:system-ui,sans-serif}}{look}</style>", 1)


def picture(wide: str, narrow: str, alt: str) -> str:
    """The drawing as an image, given where its two widths lie."""
    return (
        f'<picture><source srcset="{narrow}" media="(max-width: 600px)">'
        f'<img src="{wide}" alt="{html.escape(alt)}"></picture>'
    )


def form(chart: Chart, name: str) -> str:
    """Form elements for the chart's control, hidden until a script is there to answer to them; without one, nothing."""
    if chart.control is None:
        return ""
    hint = f'<p class="figure-hint">{html.escape(chart.control.hint)}</p>' if chart.control.hint else ""
    return f'<form class="figure-controls" hidden>{_inputs(chart.control, name)}{hint}</form>'


def _inputs(control: Control, name: str) -> str:
    words, active = html.escape(control.prefix), control.active
    labels = [html.escape(state.label) for state in control.states]
    if control.kind == "slider":
        top = len(labels) - 1  # a label names the first element in it, which is the output
        return (
            f'<label>{words}: <output>{labels[active]}</output><input type="range" aria-label="{words}" min="0" '
            f'max="{top}" value="{active}" aria-valuetext="{labels[active]}"></label>'
        )
    if not control.questions:
        return _choice(words, labels, active, name)
    sizes = [len(answers) for answers in control.questions.values()]
    places = [int(place) for place in np.unravel_index(active, sizes)]
    return "".join(
        _choice(html.escape(question), list(map(html.escape, answers)), place, f"{name}-{n}")
        for n, ((question, answers), place) in enumerate(zip(control.questions.items(), places, strict=True))
    )


def _choice(words: str, labels: list[str], active: int, name: str) -> str:
    if len(labels) > RADIOS:
        options = "".join(f"<option{' selected' * (k == active)}>{label}</option>" for k, label in enumerate(labels))
        return f"<label>{words}: <select>{options}</select></label>"
    group = html.escape(name)
    each = "".join(
        f'<label><input type="radio" name="{group}" value="{k}"{" checked" * (k == active)}> {label}</label>'
        for k, label in enumerate(labels)
    )
    return f"<fieldset><legend>{words}</legend>{each}</fieldset>"

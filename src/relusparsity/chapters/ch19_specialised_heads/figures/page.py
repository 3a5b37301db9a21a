"""The map to walk through as the page has it: HTML that stands without scripts, and the numbers for `walk.js`."""

import json
from html import escape

import numpy as np
import xarray as xr

from ....plots import style
from .scores import FUNCTIONS, LEAST, READINGS, SCORES, number, of_head, said
from .sentences import Sentences, percent

START = "induction"
"""The score that is shown at first."""
HINT = (
    "Click a head, or go through the map by the arrow keys. Then point at a token, or choose it by the arrow keys: "
    "what does it look at?"
)
KEY = (0.0, 0.25, 0.5, 0.75, 1.0)


def page(of: xr.DataArray, sentences: Sentences, start: tuple[int, int], shown: tuple[int, int], alt: str) -> str:
    """The figure's HTML.

    Parameters
    ----------
    of
        All scores: (score, reading, layer, head).
    start, shown
        The layer and head, and the sentence and its query, that are shown at first.
    alt
        The map in words, for readers who do not see it.
    """
    layer, head = start
    data = {
        "scores": [_score(of.sel(score=score.name), at) for at, score in enumerate(SCORES)],
        "functions": len(FUNCTIONS),
        "least": LEAST,
        "readings": READINGS,
        "layers": of.sizes["layer"],
        "heads": of.sizes["head"],
        "start": [layer, head, *shown],
        "tokens": sentences.tokens,
        "attention": sentences.packed(),
    }
    told = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    names = _options([f"{score.name}{f', {score.unit}' * bool(score.unit)}" for score in SCORES], 0)
    texts = _options(sentences.names, shown[0])
    looks = escape(sentences.said(shown[0], layer, head, shown[1]))
    does = said(layer, head, of_head(of.sel(reading="text"), layer, head))
    return (
        f'<script type="application/json">{told}</script>\n'
        f'<form class="figure-controls" hidden><label>Score: <select>{names}</select></label> '
        f'<label>Sentence: <select>{texts}</select></label><p class="figure-hint">{HINT}</p></form>\n'
        f'<div class="walk-map" role="img" aria-label="{escape(alt)}">{_map(of, start)}</div>\n'
        f'<p class="walk-key" aria-hidden="true">{_key()}</p>\n'
        f'<div class="walk-head"><div><p class="walk-said" aria-live="polite">{does}</p>\n'
        f'<div class="walk-tokens">{_tokens(sentences, start, shown)}</div>\n'
        f'<p class="walk-looks" aria-live="polite">{looks}</p></div>\n'
        f"{_table(of, layer, head)}</div>"
    )


def side(value: float, most: float = 1.0) -> int:
    """The side of a head's square, percent of its place: the square's area is the score."""
    return round(100 * float(np.sqrt(min(abs(value) / most, 1.0)))) if np.isfinite(value) else 0


def colour(value: float, most: float = 1.0) -> int:
    """The step of the ramp of layers that a score has: the strongest for the highest."""
    return round(style.STEPS * (1 - min(abs(value) / most, 1.0))) if np.isfinite(value) else style.STEPS


def _score(of: xr.DataArray, at: int) -> dict[str, object]:
    score = SCORES[at]
    values = [[None if np.isnan(v) else round(float(v), 4) for v in of.sel(reading=r).values.ravel()] for r in READINGS]
    known = [each if any(value is not None for value in each) else None for each in values]
    return {"name": score.name, "of": score.of, "unit": score.unit, "most": score.most, "values": known}


def _options(words: list[str], active: int) -> str:
    return "".join(f"<option{' selected' * (k == active)}>{escape(word)}</option>" for k, word in enumerate(words))


def _map(of: xr.DataArray, start: tuple[int, int]) -> str:
    """A label and the heads of each layer; before them a row of the heads' numbers."""
    values = of.sel(score=START, reading="text").transpose("layer", "head").values
    numbers = "".join(f"<b><span>head </span>{head}</b>" for head in range(values.shape[1]))
    rows = "".join(
        f"<div><b><span>layer </span>{layer}</b>"
        f"{''.join(_cell(value, (layer, head) == start) for head, value in enumerate(row))}</div>"
        for layer, row in enumerate(values)
    )
    return f'<div><b class="walk-corner"><span>layer</span></b>{numbers}</div>{rows}'


def _cell(value: float, chosen: bool = False) -> str:
    kind = " ".join(["walk-chosen"] * chosen + ["walk-below"] * bool(value < 0) + ["walk-none"] * bool(np.isnan(value)))
    look = f' style="--s:{side(value)}%;--c:var(--figure-layer-{colour(value)})"'
    return f"<i{f' class={json.dumps(kind)}' if kind else ''}{look}></i>"


def _key() -> str:
    return "".join(f"{_cell(share)}<span>{share:g}</span>" for share in KEY)


def _tokens(sentences: Sentences, start: tuple[int, int], shown: tuple[int, int]) -> str:
    sentence, query = shown
    given = sentences.given(sentence, *start, query)
    out = []
    for place, token in enumerate(sentences.tokens[sentence]):
        kind = " class=walk-query" * (place == query) + " class=walk-later" * (place > query)
        share = percent(given[place]) if place <= query else 0
        out.append(f'<span{kind} style="--w:{share}%">{escape(token)}<small>{share or ""}</small></span>')
    return "".join(out)


def _table(of: xr.DataArray, layer: int, head: int) -> str:
    """A head's scores in every reading."""
    first = "".join(f'<th scope="col">{reading}</th>' for reading in READINGS)
    rows = []
    for score in SCORES:
        values = [float(of.sel(score=score.name, reading=reading)[layer, head]) for reading in READINGS]
        cells = "".join(f"<td>{number(value) if np.isfinite(value) else '–'}</td>" for value in values)
        name = f"{score.name}{f', {score.unit}' * bool(score.unit)}"
        mark = ' class="walk-of"' * (score.name == START)
        rows.append(f'<tr{mark}><th scope="row">{name}</th>{cells}</tr>')
    return (
        f'<table class="walk-scores"><thead><tr><th scope="col">score</th>{first}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )

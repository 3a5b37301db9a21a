"""The claims as a table: text for a terminal and for comparison under test, HTML for the page, Markdown for README."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from itertools import groupby

import numpy as np
import pandas as pd

from .judge import Outcome, Verdict
from .ledger import LEDGER, Claim, ledger_hash, rows_hash
from .reading import model_name, scale_name


@dataclass(frozen=True, repr=False)
class Table:
    """Outcomes as rows: the claim, the source's number, recorded values by seed, this machine's, and the verdict."""

    outcomes: tuple[Outcome, ...]

    def __repr__(self) -> str:
        lines = [self._caption()]
        for row, outcomes in self._rows():
            lines += [f"{row.number:>3}  {row.claim} (source: {row.source})", f"     rule: {row.rule}"]
            lines += [f"     {_where(o)}: {'; '.join(_parts(o))}" for o in outcomes]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = "".join(
            f'<th scope="col">{name}</th>'
            for name in ("row", "claim", "source", "recorded, seed by seed", "this machine", "verdict")
        )
        body = "".join(_html_row(row, outcomes) for row, outcomes in self._rows())
        return (
            f'<table class="claims"><caption>{escape(self._caption())}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )

    def markdown(self) -> str:
        """A Markdown table of the recorded outcomes, without this machine's."""
        lines = ["| # | claim | source | recorded, seed by seed | verdict |", "|---|---|---|---|---|"]
        for row, outcomes in self._rows():
            kept = [o for o in outcomes if not o.here]
            shown = "<br>".join(f"{model_name(o.scale)}: {'; '.join(_values(o))}" for o in kept if o.readings) or "–"
            verdicts = "<br>".join(f"{model_name(o.scale)}: {_verdict(o)}" for o in kept if o.verdict)
            cells = (row.number, row.claim, row.source, shown, verdicts)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        return "\n".join(lines)

    def _caption(self) -> str:
        """What the rows are and when they were written, with their hash."""
        ledger = f"Claims ledger, version {LEDGER[0].version} of {LEDGER[0].date}, sha256 {ledger_hash()}"
        own = [row for row in dict.fromkeys(outcome.row for outcome in self.outcomes) if row not in LEDGER]
        if not own:
            return ledger
        dates = ", ".join(sorted({row.date for row in own}))
        beside = f"Rows of a chapter's own, of {dates}, sha256 {rows_hash(own)}"
        return beside if all(outcome.row in own for outcome in self.outcomes) else f"{ledger}. {beside}"

    def _rows(self) -> Iterator[tuple[Claim, list[Outcome]]]:
        for row, outcomes in groupby(self.outcomes, key=lambda outcome: outcome.row):
            yield row, list(outcomes)


def table(outcomes: list[Outcome]) -> Table:
    """A table of the outcomes of `evaluate`; the same outcomes give the same text on every machine."""
    return Table(tuple(outcomes))


def verdicts(recipes: Mapping[str, list[Outcome]], scale: str) -> pd.DataFrame:
    """What the ledger says of several recipes at one shape: a row per claim, a column per recipe.

    Parameters
    ----------
    recipes
        Name of a recipe → outcomes of `evaluate` on its datasets.
    scale
        The shape, or the ledger's letter.
    """
    rows: dict[str, dict[str, str]] = {}
    for name, outcomes in recipes.items():
        for outcome in outcomes:
            if outcome.scale == scale_name(scale) and outcome.verdict:
                reason = f" ({outcome.reason})" if outcome.reason else ""
                rows.setdefault(outcome.row.number, {"claim": outcome.row.claim})[name] = f"{outcome.verdict}{reason}"
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("row")


def number(value: float | str) -> str:
    """A value to three significant digits, without an exponent.

    Examples
    --------
    >>> number(1234.5), number(0.012345), number(-0.0), number("never")
    ('1230', '0.0123', '0', 'never')
    """
    if isinstance(value, str):
        return value
    if not math.isfinite(value):
        raise ValueError(f"{value} is no value to show: a rule let it through.")
    return np.format_float_positional(float(f"{value:.2e}") + 0.0, trim="-").replace("-", "−")


def _values(outcome: Outcome) -> list[str]:
    """One entry per quantity: its label and unit, then the values in the order of the seeds."""
    if not outcome.readings:
        return []
    entries = [
        f"{label}: {', '.join(number(reading.values[label]) for reading in outcome.readings)}"
        for label in outcome.readings[0].values
    ]
    seeds = ", ".join(f"{r.seed}{' (search)' if r.seed in outcome.ignored else ''}" for r in outcome.readings)
    entries.append(f"seed{'s' if len(outcome.readings) > 1 else ''} {seeds}")
    return entries


def _verdict(outcome: Outcome) -> str:
    text = str(outcome.verdict) if outcome.verdict else ""
    if outcome.reason:
        text = f"{text} ({outcome.reason})" if text else outcome.reason
    if outcome.verdict in (Verdict.REPRODUCED, Verdict.NOT_REPRODUCED, Verdict.INCONCLUSIVE):
        text += f", n = {outcome.n}"
        if outcome.agreement:
            text += ", numerical agreement in {} of {} seeds".format(*outcome.agreement)
    return text


def _where(outcome: Outcome) -> str:
    if outcome.here:
        return f"this machine, {model_name(outcome.scale)}"
    return model_name(outcome.scale) if outcome.verdict else f"{model_name(outcome.scale)}, not judged here"


def _parts(outcome: Outcome) -> list[str]:
    recipe = [f"recipe: {outcome.recipe}"] if outcome.recipe else []
    return [part for part in (_verdict(outcome), *_values(outcome), *recipe) if part]


def _html_row(row: Claim, outcomes: list[Outcome]) -> str:
    recorded = [o for o in outcomes if not o.here and (o.readings or not o.verdict)]
    own = [o for o in outcomes if o.here]
    verdicts = "".join(
        f'<div class="{str(o.verdict).replace(" ", "-")}">{model_name(o.scale)}: <strong>{o.verdict}</strong>'
        f"{escape(_verdict(o).removeprefix(str(o.verdict)))}"
        + (f"<br><small>recipe: {escape(o.recipe)}</small>" if o.recipe else "")
        + "</div>"
        for o in outcomes
        if o.verdict
    )
    cells = (
        f"{escape(row.claim)}<br><small>{escape(row.rule)}</small>",
        escape(row.source),
        "".join(map(_html_values, recorded)) or "–",
        "".join(map(_html_values, own)) or "–",
        verdicts,
    )
    return f'<tr><th scope="row">{row.number}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _html_values(outcome: Outcome) -> str:
    entries = _values(outcome) if outcome.verdict else [outcome.reason, *_values(outcome)]
    lines = "<br>".join(escape(entry) for entry in entries if entry)
    return f'<div title="{escape(outcome.recipe)}"><strong>{escape(_where(outcome))}</strong><br>{lines}</div>'

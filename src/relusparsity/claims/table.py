"""The claims as a table: a line each on a page, text for a terminal and under test, Markdown for README."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from itertools import groupby

import numpy as np
import pandas as pd
import xarray as xr

from .judge import Outcome, Verdict, evaluate
from .ledger import ADDED, DATA_SEEN, LEDGER, Claim, ledger_hash, rows_hash, source_class
from .multiverse import Count
from .reading import model_name, scale_name

_WORDS = {"holds": "mean holds", "fails": "mean fails", "open": "mean open"}
"""The interval's word → its chip."""


WHAT = "Each claim, what our runs show, and the word that its rule gives"
"""What a table is: its caption begins with it."""


@dataclass(frozen=True, repr=False)
class Table:
    """Outcomes by row: the claim and its rule, the source's number, ours, and the verdicts."""

    outcomes: tuple[Outcome, ...]
    counts: Mapping[tuple[str, str], Count] = field(default_factory=dict)
    """(row, letter) → in how many of all recorded runs of that width the rule holds."""
    origins: bool = False
    """Whether the folds of a page say on which machine, by which commit and of which text the numbers were recorded."""

    def __repr__(self) -> str:
        lines = [f"{WHAT}. {self.caption()}"]
        for row, outcomes in self._rows():
            known = source_class(row.number)
            lines += [f"{row.number:>3}  {row.claim} (source: {row.source}{f', {known}' if known else ''})"]
            lines += [f"     rule: {row.rule}"]
            lines += [f"     {_where(o)}: {'; '.join(_parts(o))}" for o in outcomes]
            lines += [f"     {said}" for said in self._counted(row, outcomes)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        source = "W&amp;A" if all(source_class(o.row.number) for o in self.outcomes) else "source"
        columns = ("row", "claim", source, "ours: mean (range)", "verdict")
        head = "".join(f'<th scope="col">{n}</th>' for n in columns)
        body = "".join(self._html_row(row, outcomes) for row, outcomes in self._rows())
        others = ' data-of="others"' if source == "source" else ""  # a phone's card names the column by it
        return (
            f'<table class="claims"{others}><caption>{WHAT}. <small>{escape(self.caption())}</small></caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )

    def markdown(self) -> str:
        """A Markdown table of the verdicts: a line a row, a column for each model and recipe that is judged."""
        judged = [outcome for outcome in self.outcomes if outcome.verdict and not outcome.here]
        columns = list(dict.fromkeys(model_of(outcome) for outcome in judged if outcome.readings))
        models = [column.partition(",")[0] for column in columns]
        columns.sort(key=lambda column: models.index(column.partition(",")[0]))  # recipes of a model stand together
        lines = [f"| # | claim | W&A | {' | '.join(columns)} |", "|---|---|---|" + "---|" * len(columns)]
        for row, outcomes in self._rows():
            words = {model_of(o): str(o.verdict) for o in outcomes if o.verdict and not o.here}
            cells = [words.get(column, words.get(column.partition(",")[0], "–")) for column in columns]
            lines.append(f"| {' | '.join([row.number, row.claim, row.source, *cells])} |")
        return "\n".join(lines)

    def _rows(self) -> Iterator[tuple[Claim, list[Outcome]]]:
        order = {row: place for place, row in enumerate((*LEDGER, *ADDED))}
        together = sorted(self.outcomes, key=lambda outcome: order.get(outcome.row, len(order)))
        for row, outcomes in groupby(together, key=lambda outcome: outcome.row):
            kept = list(outcomes)
            scales = [*row.scales, "P", "S", "L", *(o.scale for o in kept)]  # judged first, then the larger first
            yield row, sorted(kept, key=lambda o: (o.here, scales.index(o.scale)))  # recipes of a model stand together

    def caption(self) -> str:
        """The versions of these rows with their dates and hashes."""
        rows = list(dict.fromkeys(outcome.row for outcome in self.outcomes))
        own = [row for row in rows if row not in (*LEDGER, *ADDED)]
        versions = {row.version: row.date for row in rows if row not in own}
        said = []
        if versions:
            of = (f"version {v} of {date}, sha256 {ledger_hash(v)}" for v, date in sorted(versions.items()))
            said.append(f"Claims ledger, {'; '.join(of)}")
        if own:
            dates = ", ".join(sorted({row.date for row in own}))
            said.append(f"Rows of a chapter's own, of {dates}, sha256 {rows_hash(own)}")
        return ". ".join(said)

    def _counted(self, row: Claim, outcomes: Sequence[Outcome]) -> list[str]:
        letters = dict.fromkeys(o.scale for o in outcomes if o.verdict and (row.number, o.scale) in self.counts)
        counts = [(letter, self.counts[row.number, letter]) for letter in letters]
        return [f"holds in {c.held} of {c.runs} recorded runs of {model_name(letter)}'s width" for letter, c in counts]

    def _html_row(self, row: Claim, outcomes: list[Outcome]) -> str:
        shown = [o for o in outcomes if o.readings or not o.verdict]
        counted = "".join(f"<br><small>{escape(said)}</small>" for said in self._counted(row, outcomes))
        seen = "<br>its data were seen in part before the rule was written" if row.number in DATA_SEEN else ""
        fold = "".join(_html_details(o, self.origins) for o in shown)
        within = "seeds, recipes, machines, hashes" if self.origins else "seeds and recipes"
        known = source_class(row.number)
        origin = f"<br><small>{known}</small>" if known and known not in row.source else ""
        cells = (
            f'{escape(row.claim)}<br><small class="rule">{escape(row.rule)}{seen}</small>'
            + (f"<details><summary>{within}</summary>{fold}</details>" if fold else ""),
            escape(row.source) + origin,
            ("".join(map(_html_summary, shown)) or "–") + counted,
            "".join(_html_verdict(o) for o in outcomes if o.verdict),
        )
        body = "".join(f"<td>{cell}</td>" for cell in cells)
        return f'<tr id="row-{row.number}"><th scope="row">{row.number}</th>{body}</tr>'


def table(
    outcomes: Sequence[Outcome], counts: Mapping[tuple[str, str], Count] | None = None, *, origins: bool = False
) -> Table:
    """A table of the outcomes of `evaluate`, of one recipe a shape or of several; each recipe keeps its line.

    The same outcomes give the same text on every machine. `counts` are those of `multiverse`; with
    `origins` the folds of a page name machine, commit and text.
    """
    return Table(tuple(outcomes), counts or {}, origins)


def of_recipes(experiment: str, datasets: Sequence[xr.Dataset], rows: tuple[Claim, ...]) -> list[Outcome]:
    """Outcomes of rows that read one experiment, for every model and recipe: of two recipes of a shape, of both.

    Parameters
    ----------
    datasets
        The experiment's; of a shape the first is judged with its other shapes, and every row says whether it has runs.
    """
    first = {(experiment, str(dataset.attrs["scale"])): dataset for dataset in reversed(datasets)}
    outcomes = evaluate(first, rows=rows)
    for dataset in datasets:
        if not any(dataset is of for of in first.values()):
            other = evaluate({(experiment, str(dataset.attrs["scale"])): dataset}, rows=rows)
            outcomes += [outcome for outcome in other if outcome.readings]
    return outcomes


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


def _summary(outcome: Outcome) -> list[str]:
    """One entry per quantity: its label and unit, then the mean of the seeds that count and their range, or words."""
    counted = [reading for reading in outcome.readings if reading.seed not in outcome.ignored] or outcome.readings
    entries = []
    for label in counted[0].values if counted else ():
        values = [reading.values[label] for reading in counted]
        numbers = [value for value in values if not isinstance(value, str)]
        words = list(dict.fromkeys(value for value in values if isinstance(value, str)))
        said = []
        if numbers:
            low, high = number(min(numbers)), number(max(numbers))
            mean = number(sum(numbers) / len(numbers))
            said.append(mean if low == high else f"{mean} ({low} to {high})")
        entries.append(f"{label} {', '.join(said + words)}")
    return entries


def _interval(outcome: Outcome) -> str:
    word = outcome.interval if outcome.verdict else ""
    return f", {_WORDS[word]} (95 %)" if word else ""


def _verdict(outcome: Outcome) -> str:
    text = str(outcome.verdict) if outcome.verdict else ""
    if outcome.reason:
        text = f"{text} ({outcome.reason})" if text else outcome.reason
    if outcome.verdict in (Verdict.REPRODUCED, Verdict.NOT_REPRODUCED, Verdict.INCONCLUSIVE):
        text += f", n = {outcome.n}{_interval(outcome)}"
        if outcome.agreement:
            text += ", numerical agreement in {} of {} seeds".format(*outcome.agreement)
    return text


def model_of(outcome: Outcome) -> str:
    """As `who`, but of two shapes the larger, which the row is about."""
    return who(replace(outcome, scale=outcome.scale.split(" + ")[-1]))


def who(outcome: Outcome) -> str:
    """The model, and its recipe where that has a name."""
    named, colon, _ = outcome.recipe.partition(":")
    return f"{model_name(outcome.scale)}, {named}" if colon else model_name(outcome.scale)


def _where(outcome: Outcome) -> str:
    if outcome.here:
        return f"this machine, {model_name(outcome.scale)}"
    return model_name(outcome.scale) if outcome.verdict else f"{model_name(outcome.scale)}, not judged here"


def _parts(outcome: Outcome) -> list[str]:
    recipe = [f"recipe: {outcome.recipe}"] if outcome.recipe else []
    return [part for part in (_verdict(outcome), *_values(outcome), *recipe) if part]


def _html_summary(outcome: Outcome) -> str:
    model = f"this machine, {model_name(outcome.scale)}" if outcome.here else who(outcome)
    said = _summary(outcome) or [outcome.reason]
    return f"<div><strong>{escape(model)}</strong> {escape('; '.join(said))}</div>"


def _html_verdict(outcome: Outcome) -> str:
    word, interval = str(outcome.verdict), outcome.interval
    rest = _verdict(outcome).removeprefix(word).replace(_interval(outcome), "", 1).removeprefix(", ")
    chips = f'<span class="chip {word.replace(" ", "-")}">{word}</span>'
    if interval:
        chips += f' <span class="chip mean-{interval}">{_WORDS[interval]}, 95 %</span>'
    return f"<div>{escape(who(outcome))}: {chips}" + (f"<br><small>{escape(rest)}</small>" if rest else "") + "</div>"


def _html_details(outcome: Outcome, origins: bool) -> str:
    lines = [_where(outcome), *([outcome.reason] if outcome.reason and not outcome.verdict else [])]
    lines += _values(outcome) + ([f"recipe: {outcome.recipe}"] if outcome.recipe else [])
    lines += [f"recorded on {outcome.made}"] if origins and outcome.made else []
    return f"<div>{'<br>'.join(map(escape, lines))}</div>"

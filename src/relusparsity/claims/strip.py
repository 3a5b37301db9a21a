"""The ledger in one line per model: a chip for each claim, which a switch turns from recipe to recipe."""

from collections.abc import Sequence
from html import escape

from .judge import Outcome
from .ledger import source_class
from .table import model_of


def strip(outcomes: Sequence[Outcome], page: str = "ledger.html") -> str:
    """Chips of the judged rows as HTML, a group for each model and recipe, of which a style sheet shows the chosen.

    Parameters
    ----------
    outcomes
        Of `evaluate`, for one recipe a shape or for several.
    page
        Where the rows are; a chip leads to its row there.
    """
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.verdict and outcome.readings and not outcome.here:
            groups.setdefault(model_of(outcome), []).append(outcome)
    switch = "".join(
        f'<label><input type="radio" name="strip" value="{place}"{" checked" if place == 0 else ""}> '
        f"{escape(name)}</label>"
        for place, name in enumerate(groups)
    )
    chips = "".join(
        f'<div class="group" data-group="{place}"><strong>{escape(name)}</strong> '
        + " ".join(_chip(outcome, page) for outcome in group)
        + "</div>"
        for place, (name, group) in enumerate(groups.items())
    )
    return (
        '<div class="verdict-strip">\n'
        f"<fieldset><legend>Verdicts on the ledger's claims, by model and recipe</legend>{switch}</fieldset>\n"
        f"{chips}\n</div>"
    )


def _chip(outcome: Outcome, page: str) -> str:
    row, verdict = outcome.row, str(outcome.verdict)
    own = " (ours)" if source_class(row.number) == "ours" else ""
    return (
        f'<a class="chip {verdict.replace(" ", "-")}" href="{page}#row-{row.number}" '
        f'title="{escape(row.rule)}">{row.number} {escape(row.claim)}{own}: {verdict}</a>'
    )

"""The claims of the paper, the rules that decide them, and what recorded runs say: see `ledger` first."""

from .judge import Outcome, Rule, Verdict, evaluate
from .ledger import LEDGER, Claim, for_chapter, ledger_hash
from .reading import Finding, Reading
from .statistics import kendall_tau, poisson_upper
from .table import Table, table, verdicts

__all__ = [
    "LEDGER",
    "Claim",
    "Finding",
    "Outcome",
    "Reading",
    "Rule",
    "Table",
    "Verdict",
    "evaluate",
    "for_chapter",
    "kendall_tau",
    "ledger_hash",
    "poisson_upper",
    "table",
    "verdicts",
]

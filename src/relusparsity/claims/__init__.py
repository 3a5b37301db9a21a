"""The claims of the paper, the rules that decide them, and what recorded runs say: see `ledger` first."""

from .judge import Outcome, Rule, Verdict, evaluate
from .ledger import ADDED, DATA_SEEN, LEDGER, Claim, for_chapter, ledger_hash, source_class
from .multiverse import Count, ends, multiverse
from .reading import Finding, Reading
from .strip import strip
from .table import Table, of_recipes, table, verdicts

__all__ = [
    "ADDED",
    "DATA_SEEN",
    "LEDGER",
    "Claim",
    "Count",
    "Finding",
    "Outcome",
    "Reading",
    "Rule",
    "Table",
    "Verdict",
    "ends",
    "evaluate",
    "for_chapter",
    "ledger_hash",
    "multiverse",
    "of_recipes",
    "source_class",
    "strip",
    "table",
    "verdicts",
]

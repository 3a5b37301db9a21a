"""The ledger: what would count as reproducing each claim, written before any run, as data.

A row is never edited: a later change is a new row with its own date and version, and `ledger_hash` shows it. Version 1
is here; version 2 adds the rows of ``version_2.toml`` and says from where we know what each row speaks of. A chapter
beyond the paper may bring rows of its own, in `rows` of its folder; `rows_hash` shows those.
"""

import hashlib
import json
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..source import BATCH_USE

PREAMBLE = (
    "P: 6 layers, d_ff 32768. S: 6 layers, d_ff 8192, d_model 512. L: laptop. U_l: batch use of layer l at the "
    "end of training, percent, mean over 64 held-out sets of 8,192 tokens. Verdicts: reproduced (the rule holds "
    "in every seed), not reproduced (fails in every seed), inconclusive (mixed), not testable here (with the "
    "reason), not yet tested (its experiment does not exist yet: rows 10 and 11 at first). At P at least 3 seeds, "
    "at S and L at least 5 for rows 10–12. The recipe is named with the verdict; a recipe found by searching for "
    "the source's numbers is frozen and then run on fresh seeds, and those alone count. AF (attributable "
    "fraction) = 1 − deaths with the control / deaths without, among units alive at the fork, same batches."
)


@dataclass(frozen=True)
class Claim:
    """One row: a claim of the paper and the rule that decides it."""

    number: str
    """Row of the ledger: 1 to 14, and 3b; of a chapter's own: the chapter's number, a point and its own, as 24.1."""
    claim: str
    source: str
    """What the paper states: a number with its unit, or its words in quotation marks."""
    rule: str
    scales: tuple[str, ...]
    """Where it is judged: P (Wide), S (Mid), L (Laptop), each alone; "L + P", both together; or the ledger's word."""
    date: str = "2026-11-21"
    version: int = 1


LEDGER: tuple[Claim, ...] = (
    Claim(
        "1", "the first layer collapses", f"{BATCH_USE[0]} %", "U_0 < 30; numerical agreement: within 5 points", ("P",)
    ),
    Claim(
        "2",
        "the last layer survives",
        f"{BATCH_USE[5]} %",
        "U_5 ≥ 90; numerical agreement: within 5 points",
        ("P", "S"),
    ),
    Claim("3", "layers differ dramatically", "82.3 points", "U_5 − U_0 ≥ 50", ("P", "S")),
    Claim(
        "3b",
        "an early layer collapses, whichever",
        "(ours)",
        "min(U_0, U_1, U_2) < 30 and U_5 ≥ 90",
        ("P", "S"),
    ),
    Claim(
        "4",
        "first and last are inverted",
        '"inverted relationships"',
        "U_0 is the lowest and U_5 the highest of the six, each by ≥ 5 points",
        ("P", "S"),
    ),
    Claim(
        "5",
        "activations are highly sparse at a token",
        '"high levels of sparsity"',
        "median token_use ≤ 10 in every layer",
        ("P", "S"),
    ),
    Claim(
        "6",
        "token use falls gradually",
        '"gradual decrease"',
        "for layer 0 no stretch of 2 % of the tokens holds more than 20 % of its fall in log token_use",
        ("P", "S", "L"),
    ),
    Claim(
        "7",
        "then layer 0 shifts per sequence",
        '"followed by"',
        "half of layer 0's log fall in token_use comes at least 10 % of the tokens before sequence_use has lost "
        "10 points",
        ("P", "S"),
    ),
    Claim(
        "8",
        "that shift is layer 0's own",
        '"unique"',
        "its largest change of sequence_use in 10 % of the tokens is ≥ 2× that of any other layer after warm-up",
        ("P", "S"),
    ),
    Claim(
        "9",
        "units turn off",
        '"turning off"',
        "≥ 80 % of the units silent on 8,192 tokens are silent on 1 M tokens, beyond what Good–Turing allows",
        ("P", "S"),
    ),
    Claim(
        "10",
        "death is not random",
        '"rather than randomly"',
        "with the direction of each unit's data-driven update randomised step by step (diffusion), deaths fall "
        "by at least half: AF(diffusion) ≥ 0.5",
        ("S", "L"),
    ),
    Claim(
        "11",
        "death is not the work of outliers",
        '"as a result of outliers"',
        "with per-unit updates winsorised at p99 and path length restored, deaths change by no more than 10 %, "
        "equivalence to random winsorising",
        ("S", "L"),
    ),
    Claim(
        "12",
        "units can be pruned",
        '"minimal impact"',
        "removing the units silent on 1 M tokens costs ≤ 0.1 % loss on c4-eval; removing the lowest-rate half "
        "≤ 1 %, random half ≥ 5 × that",
        ("P", "S"),
    ),
    Claim(
        "13",
        "first and last layers represent differently",
        '"Feature Specificity"',
        "specificity differs with the same sign in every seed, Cliff's δ ≥ 0.33, against units of equal firing rate",
        ("P", "S"),
    ),
    Claim(
        "14",
        "small models mislead",
        '"limitations of small-ReLU models"',
        "Kendall's τ between the layer order of U at L and at P < 0.6",
        ("L + P",),
    ),
)

_SECOND = tomllib.loads(Path(__file__).with_name("version_2.toml").read_text("utf-8"))

ADDED: tuple[Claim, ...] = tuple(
    Claim(
        *(row[name] for name in ("number", "claim", "source", "rule")),
        scales=tuple(row["scales"]),
        date=_SECOND["date"],
        version=_SECOND["version"],
    )
    for row in _SECOND["row"]
)
"""The rows of version 2, in the order of their numbers."""

DATA_SEEN = frozenset(row["number"] for row in _SECOND["row"] if row.get("data_seen"))
"""Rows whose rule was written when part of their data had been seen."""


def source_class(number: str) -> str:
    """From where we know what a row of the paper says: abstract, first page, summary (a third party's), ours, or "".

    Examples
    --------
    >>> source_class("4"), source_class("2"), source_class("10b"), source_class("22")
    ('abstract', 'summary', 'abstract', '')
    """
    of = {row: name for name, rows in _SECOND["source_class"].items() for row in rows}
    return of.get(number) or of.get(number.rstrip("b"), "")


_CHAPTERS = {
    1: ("5",),
    2: ("1", "2", "3", "3b", "4", "5", "6", "7", "8"),
    3: ("9", "10", "11"),
    4: ("13",),
    5: ("12",),
    6: ("14",),
    7: ("15",),
    9: ("10b", "11b", "16"),
    10: ("17", "18"),
    12: ("20", "21", "22", "23", "24"),
    19: ("44",),
}


def for_chapter(chapter: int) -> tuple[Claim, ...]:
    """The rows at the end of a chapter.

    Raises
    ------
    UserError
        For a chapter that has no rows.

    Examples
    --------
    >>> [row.claim for row in for_chapter(5)]
    ['units can be pruned']
    """
    if chapter not in _CHAPTERS:
        raise UserError(
            f"chapter {chapter!r} has no rows in the ledger; chapters {', '.join(map(str, _CHAPTERS))} have."
        )
    return tuple(row for row in (*LEDGER, *ADDED) if row.number in _CHAPTERS[chapter])


def ledger_hash(version: int = 1) -> str:
    """sha256 of a version's canonical JSON (preamble and rows; sorted keys, no spaces, UTF-8), in hexadecimal.

    Version 2's covers its own rows, their preamble, the classes of sources and which rows' data had been seen.

    Raises
    ------
    UserError
        For a version that does not exist.
    """
    if version not in (1, 2):
        raise UserError(f"there is no version {version!r} of the ledger; there are 1 and 2.")
    first = {"preamble": PREAMBLE, "rows": [asdict(row) for row in LEDGER]}
    return _sha256(first if version == 1 else _SECOND)


def rows_hash(rows: Iterable[Claim]) -> str:
    """sha256 of rows alone, in the same way."""
    return _sha256([asdict(row) for row in rows])


def _sha256(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


_SEEDS = {"24": 20, "25": 10, "26": 10, "27": 10, "44": 1}
"""Row → the seeds that its own rule asks for; a model that others published is one."""


def seeds_needed(number: str, scale: str) -> int:
    """Seeds below which a row is not judged.

    The ledger asks for 3 at P, and for 5 at S and L in rows 10 to 12. It does not say how many the other rows need at
    S and L; we ask for 3, as at P, and so of a chapter's own rows at any shape.
    """
    if number in _SEEDS:
        return _SEEDS[number]
    return 5 if scale != "P" and number in ("10", "11", "12") else 3

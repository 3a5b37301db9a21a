"""The scoreboard counts what the experiments' own tables say, and leaves out what has no end yet."""

from pathlib import Path

import pandas as pd
import pytest

from relusparsity import claims
from relusparsity.book import scoreboard
from relusparsity.experiments import dissociation, sweep_table
from relusparsity.recipes import FROZEN
from relusparsity.store import results


def test_it_sums_what_held_of_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    forecasts = [("one", "2026-11-28", pd.Series([True, False, None])), ("two", "2026-11-29", pd.Series([None, True]))]
    monkeypatch.setattr(scoreboard, "scores", lambda: iter(forecasts))
    assert scoreboard.markdown(scoreboard.known()).splitlines()[2:] == [
        "| one | <time>2026-11-28</time> | 1 | 2 |",
        "| two | <time>2026-11-29</time> | 1 | 1 |",
        "| **all** | | **2** | **3** |",
    ]


def test_every_forecast_has_runs_that_ended() -> None:
    for words, written, holds in scoreboard.scores():
        assert holds.notna().any(), words
        assert written >= "2026-11-28"


def test_normal_matrices_are_judged_by_what_was_written_of_them() -> None:
    written = sweep_table.row("rate_or_units", "mid").predicted
    assert "layer 5 at 93 to 100 %, layer 0 at 80 to 100 %, the loss within 0.1 of the twin's" in written
    use = 100 * results.recorded("rate_or_units", "mid")["final_batch_use"].values.astype(float).reshape(-1, 6).mean(0)
    assert scoreboard.rate_or_units().tolist() == [93 <= use[5] <= 100, 80 <= use[0] <= 100, True]


def test_the_summary_counts_each_verdict_of_wide_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoreboard, "scores", lambda: iter([("one", "2026-11-28", pd.Series([True, False, None]))]))
    row, reading = claims.LEDGER[0], claims.Reading(2, True, {})
    chosen, other = (f"{name}: with all that it fixes" for name in (FROZEN["wide"], "first"))
    words = claims.Verdict
    given = [("P", chosen, words.REPRODUCED), ("P", chosen, words.NOT_REPRODUCED), ("S + P", chosen, words.REPRODUCED)]
    left_out = [("P", other, words.REPRODUCED), ("S", chosen, words.REPRODUCED), ("P", chosen, None)]
    outcomes = [
        claims.Outcome(row, scale, verdict, readings=(reading,), recipe=by) for scale, by, verdict in given + left_out
    ]
    said = scoreboard.summary(scoreboard.known(), outcomes)
    assert said.startswith("Of 2 predictions") and "1 held" in said
    assert "Of 3 claims that Wide decides" in said and said.endswith("2 are reproduced, 1 is not reproduced.")


def test_what_did_not_come_out_is_listed_by_model_with_a_link_to_each_row() -> None:
    rows = {row.number: row for row in (*claims.LEDGER, *claims.ADDED)}
    words, reading = claims.Verdict, claims.Reading(2, False, {})
    given = [
        ("13", "P", "nearest: a", words.INCONCLUSIVE),
        ("2", "P", "nearest: a", words.NOT_REPRODUCED),
        ("1", "P", "nearest: a", words.REPRODUCED),
        ("4", "S", "first: b", words.NOT_REPRODUCED),
        ("8", "S", "first: b", words.NOT_YET_TESTED),
        ("21", "recorded", "vision Transformer, of no name", words.NOT_REPRODUCED),
        ("24", "any", "", words.INCONCLUSIVE),
    ]
    outcomes = [claims.Outcome(rows[n], scale, said, readings=(reading,), recipe=by) for n, scale, by, said in given]
    wide, mid, others = scoreboard.failed(outcomes).splitlines()
    link = '<a href="ledger.html#row-{}">{} {}</a>'
    assert wide == (
        f"- **Wide, nearest**, not reproduced: {link.format(2, 2, 'the last layer survives')}; "
        f"inconclusive: {link.format(13, 13, 'first and last layers represent differently')}."
    )
    assert mid == f"- **Mid, first**, not reproduced: {link.format(4, 4, 'first and last are inverted')}."
    assert others == (
        f"- **Other models**, not reproduced: {link.format(21, 21, '… and in a ViT')}; "
        f"inconclusive: {link.format(24, 24, 'cross-entropy pushes activations down at the start')}."
    )


def test_the_front_page_says_what_row_15_came_to(root: Path) -> None:
    word = dissociation.verdict(dissociation.judge(results.recorded("dissociation", "mid")))
    assert f"row 15 is {word}" in (root / "book/index.md").read_text().replace("\n", " ")

"""The scoreboard counts what the experiments' own tables say, and leaves out what has no end yet."""

import pandas as pd
import pytest

from relusparsity.book import scoreboard


def test_it_sums_what_held_of_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    forecasts = [("one", "2026-11-28", pd.Series([True, False, None])), ("two", "2026-11-29", pd.Series([None, True]))]
    monkeypatch.setattr(scoreboard, "scores", lambda: iter(forecasts))
    assert scoreboard.markdown().splitlines()[2:] == [
        "| one | 2026-11-28 | 1 | 2 |",
        "| two | 2026-11-29 | 1 | 1 |",
        "| **all** | | **2** | **3** |",
    ]


def test_every_forecast_has_runs_that_ended() -> None:
    for words, written, holds in scoreboard.scores():
        assert holds.notna().any(), words
        assert written >= "2026-11-28"

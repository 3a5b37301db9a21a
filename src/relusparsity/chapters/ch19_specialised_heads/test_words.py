"""The sentences on heads that others trained say what the dataset has, and turn with it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from relusparsity.chapters.ch19_specialised_heads import rows, words


@pytest.fixture
def real() -> xr.Dataset:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[4] / "tests"))
        import specialised_made

        return specialised_made.heads()


def test_heads_are_counted_by_hand(real: xr.Dataset) -> None:
    held = np.stack(
        [
            real["prefix_matching"].sel(weights="trained").mean("draw").values,
            *(real[f"attention_{name}"].sel(reading="text").values for name in ("previous", "delimiter", "first")),
        ]
    )
    held = held.round(4) >= 0.3
    text = words.of_map(real).text
    assert f"**{held[:3].any(0).sum()} of 270 heads" in text and f"which {held[3].sum()} do" in text
    assert f"0.3 or more, a line of our choice: {held[0].sum()} (induction)" in text
    assert f"{(held.sum(0) > 1).sum()} heads have several" in text


def test_what_training_makes_follows_the_control(real: xr.Dataset) -> None:
    assert "none of" in words.of_controls(real).text and "Training makes all" in words.of_controls(real).text
    real["attention_first"].loc["random weights", 3, 4] = 0.9
    assert "heads still score: 1 (first token)" in words.of_controls(real).text
    assert "Training makes most" in words.of_controls(real).text


@pytest.mark.parametrize(("kept", "said"), [(0.4, "60 % of what"), (0.8, "20 % of what")])
def test_what_is_removed_is_judged_by_the_row(real: xr.Dataset, kept: float, said: str) -> None:
    real["repeat_second_loss"].loc["top", "english", "mean"] = 5.0 - 2.0 * kept
    text = words.of_removed(real).text
    assert said in text and ("more than row 44" if kept <= 0.5 else "less than row 44") in text
    assert "saves 2.00 nats per token" in text and text.startswith("**5 heads of 270 carry")


def test_every_sentence_is_one_of_the_row(real: xr.Dataset) -> None:
    asked: Callable[[xr.Dataset], xr.DataArray] = rows.removed
    drawn = asked(real).sel(evaluation=list(rows.DRAWN))
    assert f"{float(drawn.mean()):.1f} % in the mean of 20" in words.of_removed(real).text


def test_functions_outlive_a_shuffle_by_their_counts(real: xr.Dataset) -> None:
    for name in ("previous", "delimiter", "first"):
        real[f"attention_{name}"].loc["shuffled"] = 0.0
    assert "0 of 3 functions outlive" in words.of_controls(real).text
    real["attention_first"].loc["shuffled"] = 1.0
    assert "1 of 3 functions outlive" in words.of_controls(real).text

"""Chapter 02: its tables and sentences, on made-up numbers and on what is recorded."""

import numpy as np
import pytest
import xarray as xr

from relusparsity import store
from relusparsity.chapters.ch02_layer_patterns import tables, words


def test_the_first_token_stands_beside_the_mean_of_the_later_ones() -> None:
    use = np.full((2, 3, 12), 0.25)  # seed, layer, position
    use[:, :, : tables.SETTLED] = 0.75  # in neither row but for the first
    use[0, 1, 0], use[1, 1, 0] = 0.5, 0.7
    dataset = xr.Dataset({"position_use": (("seed", "layer", "position"), use)}, attrs={"scale": "made up"})
    table = tables.first_token(dataset)
    assert table.index.tolist() == ["made up first token", "made up from position 8"]
    assert table.values.tolist() == [[75.0, 60.0, 75.0], [25.0, 25.0, 25.0]]


@pytest.fixture(scope="module")
def recorded() -> dict[str, xr.Dataset]:
    return {name: store.recorded("layer_patterns", name) for name in ("wide", "mid", "laptop")}


def test_tables_of_the_chapter_are_the_recorded_numbers(recorded: dict[str, xr.Dataset]) -> None:
    wide = recorded["wide"]
    table = tables.by_seed(wide)
    for seed in wide["seed"].values:
        of = wide.sel(seed=seed)
        assert table.loc[seed, "layer 4"] == round(100 * float(of["final_batch_use"][:64, 4].astype(float).mean()), 1)
        assert table.loc[seed, "loss"] == round(float(of["final_loss"]), 2)
    shown = tables.before_and_after(wide)
    assert shown.loc["layer 5", "token use, after"] == round(
        100 * float(wide["token_use"].isel(step=-1).sel(layer=5).mean()), 1
    )
    gap = (wide["final_rarefied_use"] - wide["final_window_use"]).sel(window=512, layer=5).mean()
    assert tables.bunched(wide).loc["512 tokens", "layer 5"] == round(100 * float(gap), 1)
    loss = recorded["mid"]["final_loss"].astype(float).values
    assert tables.learned(recorded["mid"]).iloc[0, 0] == f"{loss.mean():.2f} ({loss.min():.2f} to {loss.max():.2f})"


def test_sentences_of_the_chapter_are_those_of_the_data(recorded: dict[str, xr.Dataset]) -> None:
    wide, mid, laptop = recorded.values()
    use = 100 * wide["final_batch_use"].isel(set=slice(64)).astype(float).mean("set").transpose("seed", "layer").values
    near = int((abs(use[:, 0] - 13.3) <= 5).sum())
    said = words.pattern(wide).text
    assert f"in {near} of 3 seeds" in said and f"by {np.ptp(use, axis=1).min():.0f} points and more" in said
    assert "layer 1 in 3 of 3 seeds" in said and (use.argmin(1) == 1).all() and (use.argmax(1) == 5).all()
    apart = ", ".join(f"{value:.0f}" for value in np.ptp(use, axis=0)[:-1])
    assert f"Seeds differ by {apart} and {np.ptp(use[:, 5]):.0f} points" in words.seeds_apart(wide).text
    other = wide.assign(final_batch_use=wide["final_batch_use"] * 0 + 0.133)
    assert "in 3 of 3 seeds" in words.pattern(other).text and "every seed" not in words.pattern(other).text
    of_mid = 100 * mid["final_batch_use"].isel(set=slice(64)).astype(float).mean("set").sel(layer=5).values
    assert f"within {abs(of_mid - 95.6).max():.1f} points" in words.of_mid(mid).text
    position = wide["position_use"].astype(float).mean("seed").transpose("layer", "position").values
    times = position[:, 0] / position[:, 8:].mean(1)
    assert f"uses {times.min():.1f} to {times.max():.1f} times" in words.first_token(wide, 8).text
    windows = wide["final_window_use"].astype(float).mean("seed").transpose("layer", "window")
    more = 100 * (windows.values[:, -1] - windows.sel(window=8192).values)
    assert f"at most {more.max():.2f} points more" in words.flat(wide).text
    assert "layer 3 in 2 of 3 seeds" in words.of_laptop(laptop).text


def test_the_prose_of_the_chapter_holds(recorded: dict[str, xr.Dataset]) -> None:
    """Sentences on data that is complete and will not change."""
    wide, _, laptop = recorded.values()
    use = wide["batch_use"].astype(float).mean("seed").transpose("step", "layer").values
    tokens = wide["tokens"].values
    at = int(abs(tokens - 1_000_000).argmin())
    assert use[at].argmin() == 5 == use[-1].argmax(), "the first exercise"
    half = int(abs(tokens - tokens[-1] / 2).argmin())
    lost = 1 - use[-1]
    assert ((1 - use[half]) > 0.9 * lost).all(), "nearly all of the fall comes in the first half"
    assert abs(use[tokens >= 2 / 3 * tokens[-1]] - use[-1]).max() < 0.015, "and stands still over the last third"
    median = wide["firing_rate_percentiles"].isel(step=-1).sel(percentile=50).mean("seed")
    assert (median.sel(layer=[0, 1, 2, 3]) == 0).all()
    windows = laptop["final_window_use"].astype(float).mean("seed").transpose("layer", "window").values
    assert (windows[1:, -1] - windows[1:, -2]).max() > 0.005, "Laptop's curves still rise"
    flat = wide["final_window_use"].astype(float).mean("seed").transpose("layer", "window").values
    assert (flat[:, -1] - flat[:, -2]).max() < 0.003, "Wide's are flat"
    facts = store.provenance(wide)
    assert round(facts["config"]["train"]["tokens"] / facts["corpus"]["train_tokens"], 1) == 2.6

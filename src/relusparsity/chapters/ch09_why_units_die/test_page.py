"""What the page of chapter 09 says and tabulates, against sums over the recorded dataset and made-up ones."""

import numpy as np
import pytest
import xarray as xr

from relusparsity import store
from relusparsity.experiments import attribution, freezes, outliers, sealing

from . import experiment, short, tables, words


@pytest.fixture(scope="module")
def laptop() -> xr.Dataset:
    return store.recorded(experiment.NAME, "laptop")


def test_the_controls_row_is_that_of_sums_over_the_recorded_forks(laptop: xr.Dataset) -> None:
    treated = laptop.sel(treated=True)
    twin, exchanged = "at 50 %: untreated", "at 50 %: exchange"
    died = {arm: float(treated["died"].sel(arm=arm).sum()) for arm in (twin, exchanged)}
    path = {arm: float(treated["path_length"].sel(arm=arm).sum()) for arm in (twin, exchanged)}
    row = tables.compared(laptop, experiment.POINT).loc["exchange"]
    assert row["deaths in the twin"] == f"{died[twin]:.0f}" and row["with the control"] == f"{died[exchanged]:.0f}"
    assert float(row["AF"]) == pytest.approx(1 - died[exchanged] / died[twin], abs=0.005)
    assert row["path, % from the twin's"] == f"{100 * (path[exchanged] / path[twin] - 1):+.1f}"
    assert row["counts by row 10b"] == "no"
    said = words.taken(laptop, experiment.POINT).text
    assert f"{died[twin]:.0f} treated units die in the twin, and {died[exchanged]:.0f} with" in said
    assert "not its verdict" in said and f"{died[twin]:.0f} treated units die" in short.in_short().finding


def test_a_control_that_stays_near_its_twin_counts(laptop: xr.Dataset) -> None:
    near = laptop.copy(deep=True)
    near["path_length"] = near["path_length"].sel(arm=experiment.TWIN, drop=True).broadcast_like(near["path_length"])
    near = near.assign(path_length=near["path_length"].transpose(*laptop["path_length"].dims))
    assert tables.compared(near, experiment.POINT).loc["exchange", "counts by row 10b"] == "yes"
    assert "the control counts" in words.taken(near, experiment.POINT).text


def test_what_moved_a_unit_is_added_up_to_the_first_kept_step_after_its_last_firing(laptop: xr.Dataset) -> None:
    parts = words.by_cause(laptop)
    expected = []
    of = laptop.isel(seed=0)
    for layer, chosen in np.ndindex(6, 3):
        here = of.isel(layer=layer, chosen=chosen)
        if int(here["life_unit"]) >= 0:
            seen, onset = here["life_tokens"].values.tolist(), float(here["life_onset"])
            end = next(at for at, tokens in enumerate(seen) if tokens >= onset)  # as in the figure's title
            expected.append(here["life_change"].values[: end + 1].sum(0))
    np.testing.assert_allclose(parts.values, expected, rtol=1e-5)
    data, decay, _ = np.transpose(expected)
    said = words.moved(laptop).text
    assert f"{(np.argmin(expected, axis=1) == 0).sum()} of {len(expected)} followed units" in said
    assert f"Decay raised it in {(decay > 0).sum()} of {len(expected)}" in said and (data < 0).all()


def test_revivals_are_said_as_they_were_counted(laptop: xr.Dataset) -> None:
    frozen = sealing.named(frozen=experiment.LAYER)
    back = {arm: int(laptop["came_back"].sel(arm=arm, layer=3).sum()) for arm in (experiment.TWIN, frozen)}
    said = words.sealed(laptop, experiment.LAYER, experiment.TWIN).text
    assert f"{back[experiment.TWIN]} come back, and {back[frozen]} with all before the layer frozen" in said
    assert f"{100 * (1 - back[frozen] / back[experiment.TWIN]):.0f} % fewer" in said
    loss = laptop["final_loss"].isel(seed=0)
    assert f"{100 * float(loss.sel(arm=frozen) / loss.sel(arm=experiment.TWIN) - 1):.1f} % higher" in said
    below = laptop.sel(arm=frozen, layer=2).isel(seed=0)
    assert f"wakes {int(below['came_back'])} of {int(below['dead_at_fork'])}" in said


def test_what_the_forks_are_is_read_off_their_configuration(laptop: xr.Dataset) -> None:
    said = words.made(laptop, "at 50 %: exchange").text
    assert "65,536 tokens, 64 steps" in said and "after 409,600 tokens" in said and "for 200 steps" in said
    assert "treat 25 % of each layer" in said and "every 100 steps" in said


def test_every_forecast_of_the_forks_to_come_is_shown() -> None:
    experiments = (attribution, outliers, freezes, sealing)
    shown = tables.expected()
    assert len(shown) == sum(len(each.EXPECTED) for each in experiments)
    assert shown.loc[attribution.named("25 %", "exchange"), "between"] == "−0.3 to 0.4"
    assert set(tables.LATER) < set(tables.chances().index)
    assert tables.chances()["written"].str.contains("Laptop seen").sum() == len(tables.LATER)
    assert set(tables.chances().index) == {sentence for each in experiments for sentence in each.CHANCES}
    forks = sum(len(each.ARMS) for each in experiments if not each.RAN)
    assert f"{forks} forks of each of five seeds" in words.to_come().text

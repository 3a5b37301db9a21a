"""What the page of chapter 09 says and tabulates, against sums over the recorded dataset and made-up ones."""

import numpy as np
import pytest
import scipy
import xarray as xr

from relusparsity import claims, store
from relusparsity.experiments import attribution, freezes, outliers, sealing, written

from . import experiment, gradients, revivals, short, tables, words


@pytest.fixture(scope="module")
def laptop() -> xr.Dataset:
    return store.recorded(experiment.NAME, "laptop")


@pytest.fixture(scope="module")
def mid() -> xr.Dataset:
    return store.recorded("attribution", "mid")


@pytest.fixture(scope="module")
def frozen() -> xr.Dataset:
    return store.recorded("sealing", "mid")


@pytest.fixture(scope="module")
def rare() -> xr.Dataset:
    return store.recorded("outliers", "mid")


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
    assert f"{died[twin]:.0f} treated units die in the twin, {died[exchanged]:.0f} with" in said
    assert "not its verdict" in said


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
    said = revivals.sealed(laptop, experiment.LAYER, experiment.TWIN).text
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


def test_what_exchange_does_in_mid_is_that_of_sums_over_the_recorded_forks(mid: xr.Dataset) -> None:
    twin, exchanged = (mid.sel(arm=f"at 25 %: {kind}", treated=True) for kind in ("untreated", "exchange"))
    died, without = (each["died"].sum("decile").values for each in (exchanged, twin))
    taken = 1 - died.sum(1) / without.sum(1)
    low, high = scipy.stats.t.interval(0.95, len(taken) - 1, taken.mean(), scipy.stats.sem(taken))
    path = np.array([each["path_length"].sum("layer").values for each in (exchanged, twin)])
    longer = 100 * (path[0] / path[1] - 1)
    said = words.exchanged(mid, "25 %").text
    assert f"takes away {100 * low:.0f} to {100 * high:.0f} %** (95 %, 5 seeds)" in said
    by_layer = 1 - (died / without)[:, :4].mean(0)
    spread = [scipy.stats.t.interval(0.95, 4, of.mean(), scipy.stats.sem(of)) for of in (1 - died / without).T[:4]]
    for at, (share, ends) in enumerate(zip(by_layer, spread, strict=True)):
        assert f"{share:.2f} ({ends[0]:.2f} to {ends[1]:.2f}) in layer {at}".replace("-", "−") in said
    assert f"Its path is {longer.min():+.0f} to {longer.max():+.0f} % from the twin's, where row 10b allows 5" in said
    assert "counts in none of the seeds" in said
    assert f"it would not hold: AF reaches 0.5 in {(by_layer >= 0.5).sum()} of these 4 layers" in said
    shown = short.in_short()
    assert (
        f"{100 * by_layer[0]:.0f} % in layer 0, {100 * by_layer[1]:.0f} % in layer 1, none in layer 2" in shown.finding
    )
    assert f"in layer 3 it adds {-100 * by_layer[3]:.0f} %" in shown.finding
    assert f"{longer.max():.0f} % longer" in shown.lines[0]
    lived = mid["lived"].sel(arm="at 25 %: untreated").sum(["decile", "treated"]).values
    dead = ", ".join(f"{share:.0f}" for share in 100 * (1 - lived / 8192).mean(0))
    assert f"in layers 0 to 5 of Mid {dead} % of the units were dead" in words.silent(mid, "25 %").text


def test_what_the_other_controls_do_in_mid_is_that_of_sums(mid: xr.Dataset) -> None:
    died = mid["died"].sum(["layer", "decile"])

    def taken(kind: str, treated: bool = True) -> float:
        of = died.sel(treated=treated)
        return float((1 - of.sel(arm=f"at 25 %: {kind}") / of.sel(arm="at 25 %: untreated")).mean("seed"))

    said = words.others(mid, "25 %").text.replace("−", "-")
    assert f"(AF {taken('signs of 1'):.2f})" in said
    assert f"({taken('signs of 10'):.2f} and {taken('signs of 100'):.2f})" in said
    left, all_ = (int(died.sel(arm=f"at 25 %: {kind}", treated=True).sum()) for kind in ("reflect", "untreated"))
    assert f"leaves {left} of the twins' {all_:,} deaths" in said
    assert f"does not touch {100 * taken('reflect', False):.0f} % fewer die" in said
    assert "changes deaths by -3.0 to +0.3 %** (90 %), within the 10 %" in said


def test_what_was_written_of_the_controls_stands_beside_what_came(mid: xr.Dataset) -> None:
    came, said = written.came(attribution, mid), written.said(attribution, mid)
    assert came.index.tolist() == list(attribution.EXPECTED) and said.index.tolist() == list(attribution.CHANCES)
    assert came.loc["at 25 %: exchange"].tolist() == ["−0.3 to 0.4", "0.16", "yes"]
    assert came.loc["at 10 %: exchange"].tolist() == ["−0.3 to 0.4", "not all have run", "–"]
    table = tables.over_seeds(mid, "25 %")
    assert table.loc["reflect"].tolist() == ["1.00", "1.00 to 1.00", "0.66", "+2.0", "+22.6", "in 0 of 5"]
    assert table.loc["signs of 10", "AF"] == "−0.67" and table["counts"].tolist().count("in 5 of 5") == 1
    assert said["holds"].tolist() == ["–", "yes", "no", "yes", "no", "no"] and said["chance"].tolist()[0] == "8 %"


def test_no_row_is_testable_with_these_forks(mid: xr.Dataset, frozen: xr.Dataset, rare: xr.Dataset) -> None:
    datasets = {("attribution", "mid"): mid, ("sealing", "mid"): frozen, ("outliers", "mid"): rare}
    verdicts = claims.evaluate(datasets, rows=claims.for_chapter(9), rules=tables.RULES)
    assert [(each.row.number, str(each.verdict)) for each in verdicts] == [
        ("10b", "not testable here"),
        ("11b", "not testable here"),
        ("16", "not testable here"),
    ]
    said = "seeds 2, 3, 4, 5, 6: exchange does not count, path more than 5 % from the twin's"
    assert verdicts[0].reason == said, "what all seeds have is said once"
    assert min(float(each.values["path of updates, from the twin's (%)"]) for each in verdicts[0].readings) > 5
    free, still = (frozen["came_back"].sel(arm=arm, layer=2).values for arm in (sealing.named(), sealing.floor(2)))
    assert f"{(free - still).mean():.0f} in layer 2" in verdicts[2].reason
    assert f"{times_of(rare['died'].sum('layer', skipna=False)).mean():.2f} (" in verdicts[1].reason


def test_what_wakes_the_dead_of_mid_is_that_of_sums(frozen: xr.Dataset) -> None:
    arms = ("as its parent", "upstream of layer 2 frozen", "all that moves the dead of layer 2 frozen")
    of = frozen.sel(layer=2)
    free, held, still = (100 * (of["came_back"] / of["dead_at_fork"]).sel(arm=arm).values for arm in arms)
    said = revivals.over_seeds(frozen).text
    spans = [f"{each.mean():.1f} % ({each.min():.1f} to {each.max():.1f})" for each in (free, held, still)]
    assert f"dead units {spans[0]} fire again" in said and "bring 16 times as much text" in said
    assert f"floor {spans[2]} do, in {(still > free).sum()} seeds more" in said
    assert f"it is {spans[1]}, in {(held < still).sum()} of 5 seeds less than at the floor" in said
    late = of["silent_fired"].where(of["silent_steps"] >= 2048, 0).sum("silent_steps")
    loose, stuck = (late.sel(arm=arm).values for arm in (arms[0], arms[2]))
    assert f"{loose.sum():.0f} firings with nothing frozen and {stuck.sum():.0f} at the floor" in said
    assert f"more in {(loose > stuck).sum()} of 5 seeds" in said
    at_risk = of["silent_at_risk"].sel(silent_steps=2048).sum("seed")
    assert abs(at_risk.sel(arm=arms[0]) / at_risk.sel(arm=arms[2]) - 1) < 0.05, "about as many unit-steps"
    assert still.mean() > free.mean() / 2, "most had only been rare"
    counts = frozen["came_back"]
    assert np.array_equal(
        counts.sel(arm=sealing.named(dead=False, frozen=2), layer=2), counts.sel(arm=arms[2], layer=2)
    )
    for layer, name in ((1, "layer 1 (4 seeds)"), (3, "layer 3 (4 seeds)")):
        loose, stuck = (counts.sel(arm=arm, layer=layer).values[:4] for arm in (arms[0], sealing.floor(layer)))
        assert f"{stuck.sum() / loose.sum():.2f} in {name}" in said and stuck.sum() > loose.sum() / 2
    asked = revivals.row_16(frozen).text
    assert "24 in layer 2" in asked and "layers 1 and 3 one seed has not run" in asked
    assert f"{free.mean():.1f} % fire again" in short.in_short().lines[2]


def test_what_is_said_of_outliers_is_that_of_the_seeds_that_ran(rare: xr.Dataset) -> None:
    died = rare["died"].sum("layer", skipna=False)
    ran = died.notnull().all("arm").values
    said = gradients.said(rare).text
    for arm, twin in ((outliers.TENFOLD, outliers.UNCLIPPED), (outliers.LARGEST, outliers.UNTREATED)):
        times = (died.sel(arm=arm) / died.sel(arm=twin)).values[ran]
        assert f"{times.min():.2f} to {times.max():.2f}" in said
    assert ("fewer units die" in said) == bool((times_of(died) < 1).all())
    assert ran.all() and f"in all {len(ran)} seeds" in said and "**not testable** here" in said
    steps = np.random.default_rng(0).normal(size=(1000, 10_000))
    falls = np.sort(np.maximum(-steps, 0))
    assert f"{100 * (falls[:, -100:].sum(1) / falls.sum(1)).mean():.1f}.{' Row 11b'}" in said
    assert f"leave {times_of(died).mean():.2f} times as many" in short.in_short().lines[1]
    fewer = rare.assign(died=rare["died"].where(rare["seed"] != rare["seed"][-1]))
    text = gradients.said(fewer).text
    assert f"in the {len(ran) - 1} seeds that have run" in text and "so it stays open" in text
    killing = rare.assign(died=rare["died"].where(rare["arm"] != outliers.TENFOLD, 2 * rare["died"]))
    assert "more units die" in gradients.said(killing).text and "not testable" not in gradients.said(killing).text
    assert written.said(outliers, rare)["holds"].tolist()[:2] == ["no", "no"]


def times_of(died: xr.DataArray) -> np.ndarray:
    """Deaths with ten-fold gradients in those without, of the seeds that ran."""
    times = (died.sel(arm=outliers.TENFOLD) / died.sel(arm=outliers.UNCLIPPED)).values
    return times[np.isfinite(times)]


def test_every_forecast_of_the_forks_to_come_is_shown(mid: xr.Dataset, frozen: xr.Dataset, rare: xr.Dataset) -> None:
    experiments = (freezes,)
    shown = tables.expected()
    assert len(shown) == sum(len(each.EXPECTED) for each in experiments)
    assert set(tables.chances().index) == {sentence for each in experiments for sentence in each.CHANCES}
    forks = 5 * sum(len(each.ARMS) for each in experiments if not each.RAN)
    missing = sum(int(np.isnan(each["final_loss"].values).sum()) for each in (mid, frozen, rare))
    said = words.to_come(mid, frozen, rare).text
    assert f"{forks + missing} forks of Mid wait" in said and f"{missing} of them" in said


def test_what_is_said_of_forks_that_are_all_missing_is_that_they_are_to_come(
    mid: xr.Dataset, frozen: xr.Dataset, rare: xr.Dataset
) -> None:
    for dataset, arm, told in (
        (rare, outliers.TENFOLD, [gradients.said]),
        (frozen, sealing.floor(sealing.LAYER), [revivals.over_seeds]),
        (mid, "at 25 %: exchange", [lambda of: words.exchanged(of, "25 %"), lambda of: words.others(of, "25 %")]),
        (mid, "at 25 %: untreated", [lambda of: words.silent(of, "25 %")]),
    ):
        lacking = dataset.map(lambda of, arm=arm: of.astype(float).where(of["arm"] != arm) if "arm" in of.dims else of)
        for of in told:
            assert of(lacking).text == f"**Still to come**: no run of *{arm}* has come to its end yet."

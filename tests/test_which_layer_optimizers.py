"""Chapter 07: sentences on other optimizers and on width against rate follow the runs, whatever they come to."""

from typing import Any

import pytest
import xarray as xr

from relusparsity import store
from relusparsity.chapters.ch07_which_layer import optimizers, widths
from relusparsity.experiments import sign_like_steps, width_or_rate
from test_experiments_arms import ends

TREATED = store.recorded("dissociation", "mid")


def made(use: Any, gamma: Any = lambda arm, seed: 0.5) -> xr.Dataset:
    return ends(sign_like_steps.ARMS, use, gamma=gamma).assign_coords(layer=range(6))


def test_what_optimizers_do_is_said_as_it_came() -> None:
    def use(arm: str, seed: int) -> float:
        return 10 if "add" in arm else 99

    said = str(optimizers.found(made(use), TREATED))
    assert said.startswith("**A vector empties layer 1 under SGD, too.** It ends at 10, 10 and 10 %.")
    assert "cannot say" in said and "emptier in no of three seeds" in said
    assert "That holds under Adafactor (chance given: 60 %) and holds under SGD (chance given: 12 %)" in said
    assert "its first half says nothing" in said and "the treatment failed" in said, "γ is the same in all arms"
    gammas = made(lambda arm, seed: 99 - ("centre" in arm), lambda arm, seed: 0.1 if "centre" in arm else 1.0)
    other = str(optimizers.found(gammas, TREATED))
    assert other.startswith("**Under SGD, a vector does not empty layer 1.**") and "cannot say" not in other
    assert "emptier in three of three seeds" in other
    assert "the treatment failed" not in other and other.count("fails under") == 2 and "says nothing" not in other


def test_a_failed_treatment_is_named_by_its_optimizer() -> None:
    def gamma(arm: str, seed: int) -> float:
        return 0.6 if arm == "SGD, centre" else 0.1 if "centre" in arm else 1.0

    said = optimizers._not_centred(made(lambda arm, seed: 50, gamma))
    assert said.count("the treatment failed") == 1 and "0.60 at the end, untreated 1.00" in said and "SGD" in said


def test_the_recorded_runs_say_where_centring_did_not_centre() -> None:
    dataset = store.recorded("sign_like_steps", "mid")
    gamma = dataset["gamma"].astype(float).isel(step=-1).sel(layer=1).mean("seed")
    said = str(optimizers.found(dataset, TREATED))
    for optimizer in sign_like_steps.OPTIMIZERS:
        failed = gamma.sel(recipe=f"{optimizer}, centre") > gamma.sel(recipe=f"{optimizer}, untreated") / 2
        assert (f"fast under {optimizer}" in said) == bool(failed)
    table = optimizers.table(dataset)
    assert len(table) == 6 and table.loc["SGD, with the vector", "layer 1 by seed, %"] == "6.9, 6.5, 7"


@pytest.mark.parametrize("missing", [(), (3,), (3, 4)])
def test_only_seeds_with_all_three_runs_are_compared(missing: tuple[int, ...]) -> None:
    def use(arm: str, seed: int) -> list[float]:
        if seed in missing and arm == widths.SLOW:
            return [float("nan")] * 6
        return [70, 40, 20 + 60 * (arm == widths.SLOW), 60, 90, 90 + seed]

    dataset = ends(width_or_rate.ARMS, use).assign_coords(layer=range(6))
    lacking = [[arm == widths.SLOW and seed in missing for seed in (2, 3, 4)] for arm in width_or_rate.ARMS]
    dataset["final_loss"] = dataset["final_loss"].where(~xr.DataArray(lacking, dims=("recipe", "seed")))
    said = str(widths.begun(dataset))
    assert said.startswith(f"Of the 24 runs that test this guess, {24 - len(missing)} have ended.")
    assert (
        "layers 0 to 5 end at 70, 40, 80, 60, 90 and" in said
        and "instead of 70, 40, 20, 60, 90 and" in said
        and f"{('three', 'two', 'one')[len(missing)]} seed" in said
    )

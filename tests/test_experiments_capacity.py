"""Chapter 06: widths differ in d_ff alone, every model is measured on the same text, and growth is read right."""

import numpy as np
import pytest
import xarray as xr

from relusparsity.chapters.ch06_limits_and_capacity import experiment, figures, tables
from relusparsity.config import to_dict
from relusparsity.experiments import layer_patterns
from relusparsity.store import results


@pytest.fixture(scope="module")
def dataset() -> xr.Dataset:
    return experiment.run(experiment.config("smoke"))


@pytest.mark.parametrize("scale", experiment.WIDTHS)
def test_widths_train_alike(scale: str) -> None:
    config = experiment.config(scale)
    assert {run.model.d_ff for run in (*config.runs, *config.others)} == set(experiment.WIDTHS[scale])
    for run in config.others:
        own, other = to_dict(config.runs[0]), to_dict(run)
        own["model"].pop("d_ff"), other["model"].pop("d_ff")
        own["train"].pop("snapshots"), other["train"].pop("snapshots")  # what is kept, not what is trained
        assert own["model"] == other["model"] and own["train"] == other["train"] and own["seed"] == other["seed"]


def test_used_units_are_units(dataset: xr.Dataset) -> None:
    used = dataset["used_units"]
    known = used.notnull().all("layer")
    assert known.sum("seed").values.tolist() == [1, 1, 3, 1], "three seeds at the shared width, one elsewhere"
    assert bool((used <= used["d_ff"]).where(known, True).all()) and float(used.min()) > 0
    assert bool((dataset["token_units"] <= used).where(known, True).all())


def test_the_shared_width_agrees_with_the_shared_runs(dataset: xr.Dataset) -> None:
    shared = layer_patterns.run(layer_patterns.config("smoke"))
    expected = 64 * shared["batch_use"].isel(step=-1)
    np.testing.assert_allclose(dataset["used_units"].sel(d_ff=64), expected, rtol=1e-6)


def test_provenance_names_the_run_of_every_width(dataset: xr.Dataset) -> None:
    facts = results.provenance(dataset)
    assert len(set(facts["runs"])) == len(facts["wall_seconds"]) == 6, "three seeds and three other widths"


def test_growth_is_the_factor_a_doubling_beside_the_spread_of_seeds() -> None:
    used = np.array([[[10.0, 10.0], [20.0, 10.0], [80.0, 10.0]], [[np.nan] * 2, [25.0, 10.0], [np.nan] * 2]])
    made = xr.Dataset({"used_units": (("seed", "d_ff", "layer"), used)}, {"d_ff": [8, 16, 64], "layer": [0, 1]})
    table = tables.growth(made.assign_attrs(shared_d_ff=16))
    assert table.values.tolist() == [[2.0, 1.0], [2.0, 1.0], [1.25, 1.0]]
    assert tables.by_width(made, "used_units")[0].tolist() == [10, 22.5, 80]


def test_the_figure_reads_it(dataset: xr.Dataset) -> None:
    assert figures.width(dataset)

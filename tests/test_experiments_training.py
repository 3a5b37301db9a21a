"""Chapter 01: GELU differs in the activation alone, and the table of choices is the configuration."""

import numpy as np
import pytest
import xarray as xr

from relusparsity.chapters.ch01_model_and_training import experiment, tables
from relusparsity.config import RunConfig, to_dict
from relusparsity.experiments import layer_patterns
from relusparsity.models import build
from relusparsity.shapes import SHAPES
from relusparsity.store import results


@pytest.fixture(scope="module")
def dataset() -> xr.Dataset:
    return experiment.run(experiment.config("smoke"))


def test_gelu_runs_differ_in_the_activation_alone() -> None:
    config = experiment.config("laptop")
    relu, gelu = to_dict(config.runs[0]), to_dict(config.gelu[0])
    assert gelu["model"].pop("activation") == "gelu" and relu["model"].pop("activation") == "relu"
    assert relu == gelu


def test_relu_rows_are_the_shared_runs(dataset: xr.Dataset) -> None:
    shared = layer_patterns.run(layer_patterns.config("smoke"))
    for name in ("heldout_loss", "batch_use", "final_loss"):
        np.testing.assert_array_equal(dataset[name].sel(activation="relu"), shared[name])


def test_gelu_is_missing_for_the_seeds_it_was_not_trained_with(dataset: xr.Dataset) -> None:
    missing = np.isnan(dataset["heldout_loss"]).any("step")
    assert not missing.sel(activation="relu").any()
    assert missing.sel(activation="gelu").values.tolist() == [False, True, True]
    assert len(tables.endings(dataset)) == 4


def test_before_training_every_model_guesses(dataset: xr.Dataset) -> None:
    first = dataset["heldout_loss"].isel(step=0)
    assert float(abs(first - np.log(512)).max()) < 0.2
    assert float(dataset["heldout_loss"].isel(step=-1).max()) < float(first.min())
    use = tables.baseline(dataset)
    np.testing.assert_allclose(use["relu", "token use", "step 0"], 50, atol=3)


def test_choices_are_read_off_every_field() -> None:
    table = tables.choices(*(results.recorded("layer_patterns", scale) for scale in ("laptop", "wide")))
    parts = {
        name: part for name, part in to_dict(RunConfig()).items() if name not in ("seed", "intervention", "screens")
    }
    fields = {f"{section}.{name}" for section, part in parts.items() for name in part}
    assert set(table.index) == fields | {"seed"}
    assert table.loc["model.d_ff"].tolist() == ["32,768", "1,024", "32,768"]
    assert table.loc["train.lr"].tolist() == [tables.NOT_KNOWN, "0.003", "0.0003"]
    assert set(tables.STATED) <= set(table.index)


def test_sizes_count_the_model_that_is_built() -> None:
    counted = sum(p.numel() for p in build(SHAPES["smoke"].model, 0).parameters())
    table = tables.sizes("smoke", "wide")
    assert table.loc["parameters, total", "Smoke"] == f"{counted:,}"
    assert table.loc["hidden units, all layers", "Wide"] == "196,608"
    # 6 operations a matrix parameter: 6 layers of 4·16² + 2·16·64, the output layer 16·512; scores 12·6·32·16
    assert table.loc["FLOPs a training token", "Smoke"] == f"{6 * (6 * (4 * 256 + 2048) + 8192) + 36864:.2e}"

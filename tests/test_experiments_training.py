"""Chapter 01: GELU differs in the activation alone, tables are the configuration, and sentences follow the data."""

import io

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from relusparsity import store
from relusparsity.chapters.ch01_model_and_training import experiment, figures, tables, words
from relusparsity.config import RunConfig, to_dict
from relusparsity.experiments import layer_patterns
from relusparsity.models import build
from relusparsity.plots.written import from_json
from relusparsity.shapes import SHAPES
from relusparsity.store import results


@pytest.fixture(scope="module")
def dataset() -> xr.Dataset:
    return experiment.run(experiment.config("smoke"))


@pytest.fixture(scope="module")
def models() -> tuple[xr.Dataset, ...]:
    return tuple(store.recorded("layer_patterns", scale) for scale in ("wide", "mid", "laptop"))


@pytest.fixture(scope="module")
def recorded() -> xr.Dataset:
    return store.recorded("training", "laptop")


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


def test_before_training_every_model_guesses(dataset: xr.Dataset) -> None:
    first = dataset["heldout_loss"].isel(step=0)
    assert float(abs(first - np.log(512)).max()) < 0.2
    assert float(dataset["heldout_loss"].isel(step=-1).max()) < float(first.min())
    use = tables.baseline(dataset)
    np.testing.assert_allclose(use["ReLU, token, before"], 50, atol=3)


# Tables


def test_use_by_activation_is_the_mean_of_the_seeds_that_ran(recorded: xr.Dataset) -> None:
    table = tables.baseline(recorded)
    assert table.shape == (6, 8)
    of_one = 100 * recorded["token_use"].sel(activation="gelu", seed=0).isel(step=-1).astype(float)
    np.testing.assert_allclose(table["GELU, token, after"], of_one, atol=0.051)
    of_three = 100 * recorded["batch_use"].sel(activation="relu").isel(step=-1).astype(float).mean("seed")
    np.testing.assert_allclose(table["ReLU, batch, after"], of_three, atol=0.051)


def test_choices_are_read_off_every_field(models: tuple[xr.Dataset, ...]) -> None:
    table = tables.choices(*models)
    parts = {
        name: part
        for name, part in to_dict(RunConfig()).items()
        if name not in ("seed", "intervention", "control", "screens", "fork", "prune")
    }
    fields = {f"{section}.{name}" for section, part in parts.items() for name in part}
    of_other_runs = {"train.fork_states", "measure.earlier", "model.top_k", "model.attention"}
    assert set(table.index) == fields - of_other_runs | {"seed"}
    assert table.loc["model.d_ff"].tolist() == ["32,768", "32,768", "8,192", "1,024"]
    assert table.loc["train.lr"].tolist() == [tables.NOT_KNOWN, "0.0003", "0.0006", "0.003"]
    assert set(tables.STATED) <= set(table.index)


def test_the_ten_choices_are_those_of_the_whole_table(models: tuple[xr.Dataset, ...]) -> None:
    ten, whole = tables.main_choices(*models), tables.choices(*models)
    assert ten.shape == (10, 5) and ten.map(len).max().max() <= 50, "pandas cuts what is longer"
    assert whole.map(len).max().max() <= 50
    said = {field: value for field, value in whole["W&A"].items() if value != tables.NOT_KNOWN}
    assert (ten["W&A"] != tables.NOT_KNOWN).sum() == len(said) - 1, "the layers and their units share a row"
    of = {
        "positions": "model.positions",
        "layers × units": "model.d_ff",
        "residual stream; heads": "model.d_model",
        "text; vocabulary": "model.vocab_size",
        "training tokens; per step": "train.batch_tokens",
        "AdamW: rate; decay": "train.lr",
        "window of batch use": "measure.set_tokens",
    }
    for choice, field in of.items():
        for model in ("Wide, nearest", "Mid, first", "Laptop, default"):
            assert whole.loc[field, model] in ten.loc[choice, model], (choice, model)
    assert set(whole.loc["train.optimizer"][1:]) == {"adamw"}, "as its row's name says"


def test_the_reasons_hold(models: tuple[xr.Dataset, ...]) -> None:
    facts = [results.provenance(each)["config"] for each in models]
    assert [each["model"]["d_ff"] // each["model"]["d_model"] for each in facts] == [32, 16, 16]
    assert {each["model"]["norm_place"] for each in facts} == {"pre"}
    assert {each["model"]["embedding_std"] for each in facts} == {0.02}
    assert [each["corpus"]["source"] == "docs" for each in facts] == [False, False, True]
    assert {each["measure"]["set_tokens"] for each in facts} == {8192}


def test_sizes_count_the_model_that_is_built() -> None:
    smoke = layer_patterns.run(layer_patterns.config("smoke"))
    counted = sum(p.numel() for p in build(SHAPES["smoke"].model, 0).parameters())
    (column,) = (table := tables.sizes(smoke)).columns
    assert column == "Smoke, default" and table.loc["parameters", column] == f"{counted / 1e3:.3g} thousand"
    assert table.loc["hidden units, all layers", column] == "384"
    # 6 operations a matrix parameter: 6 layers of 4·16² + 2·16·64, the output layer 16·512; scores 12·6·32·16
    flops = 6 * (6 * (4 * 256 + 2048) + 8192) + 36864
    superscript = {"⁵": 5, "⁹": 9}
    for row, value in (("operations per training token", flops), ("operations per run", flops * 12_800)):
        digits, _, power = table.loc[row, column].partition(" × 10")
        assert float(digits) * 10 ** superscript[power] == pytest.approx(value, rel=0.03)
    assert table.loc["tokens per parameter", column] == f"{12_800 / counted:.2g}"


def test_every_model_has_more_parameters_than_tokens_as_its_limits_say(models: tuple[xr.Dataset, ...]) -> None:
    table = tables.sizes(*models)
    assert (table.loc["tokens per parameter"].astype(float) < 1).all()
    for data in models:
        loss = data["heldout_loss"].astype(float).mean("seed").values
        assert loss[-1] < loss[-5:-1].min(), "it still falls at the end"
    assert table.loc["one point of use, units of a layer"].tolist() == ["328", "82", "10"]


def test_a_row_of_endings_is_the_mean_of_its_seeds(models: tuple[xr.Dataset, ...]) -> None:
    table, by_seed = tables.endings(*models), tables.per_seed(*models)
    for name in table.index:
        mean, (low, high) = (
            float(table.loc[name, "final loss"]),
            map(float, table.loc[name, "of the seeds"].split(" to ")),
        )
        losses = by_seed.loc[name, "final loss"]
        assert mean == pytest.approx(losses.mean(), abs=0.006)
        assert (low, high) == pytest.approx((losses.min(), losses.max()), abs=0.006)
        assert len(losses) == table.loc[name, "seeds"]
        assert high + 1 < float(table.loc[name, "guessing"]) < float(table.loc[name, "before"]), "it has learned"


def test_what_this_machine_made_stands_beside_its_own_seed(recorded: xr.Dataset) -> None:
    here = recorded.isel(seed=slice(0, 2)).assign(final_loss=recorded["final_loss"] + 1)
    table = tables.beside(recorded, here)
    kept = table["recorded, Laptop"].notna() & table["this machine, Laptop"].notna()
    difference = (table["this machine, Laptop"] - table["recorded, Laptop"])[kept]
    np.testing.assert_allclose(difference, 1, atol=2e-3)
    assert len(table) == 4 and kept.sum() == 3, "three seeds of ReLU and one of GELU; two of ReLU and one of GELU"


# Sentences


def test_token_use_in_words_is_the_final_one(models: tuple[xr.Dataset, ...]) -> None:
    use = [100 * data["final_token_use"].astype(float).mean("seed").values for data in models]
    said = words.sparse(*models).text
    assert said.startswith("**Training makes every layer of Wide and Mid sparse") and use[1].max() < 10 < use[2].max()
    assert f"{use[0].min():.2f} to {use[0].max():.1f} %" in said
    for name, of, digits in (("Mid", use[1], 1), ("Laptop", use[2], 0)):
        assert f"layer {of.argmax()} of {name} uses {of.max():.{digits}f} %" in said
    assert 1.5 * use[0].max() < min(use[1].max(), use[2].max()), "the fullest layers of the smaller models keep more"
    assert f"in layer {use[0].argmin()}, {32_768 * use[0].min() / 100:.0f} of 32,768 units" in said


def test_the_two_losses_are_told_apart(models: tuple[xr.Dataset, ...]) -> None:
    said = words.two_losses(*models).text
    gaps = [float((data["final_loss"] - data["heldout_loss"].isel(step=-1)).astype(float).mean()) for data in models]
    assert f"{min(gaps):.2f} to {max(gaps):.2f} nats per token higher" in said and min(gaps) > 0
    assert "16,384" in said and "1,048,576" in said
    worse = [data.assign(final_loss=data["final_loss"] - 1) for data in models]
    assert "nats per token lower" in words.two_losses(*worse).text


def test_memorising_is_said_where_it_is(models: tuple[xr.Dataset, ...]) -> None:
    wide, mid, _ = models
    said = words.memory(wide, mid).text
    assert said.startswith("Wide reads its text 2.6 times, Mid less than once.") and "memory plays hardly any" in said
    gaps = [float((data["final_loss"] - data["train_loss"].isel(step=-1)).astype(float).mean()) for data in (wide, mid)]
    assert f"is {gaps[0]:.2f} in Wide and {gaps[1]:.2f} in Mid".replace("-", "−") in said
    assert "an effect of memory" in words.memory(wide.assign(train_loss=wide["train_loss"] - 0.5), mid).text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (0.0, "worse than all three of ReLU"),
        (-0.09, "among those of ReLU"),
        (-0.5, "better than all three of ReLU"),
    ],
)
def test_one_seed_of_gelu_is_placed_among_those_of_relu(change: float, said: str, recorded: xr.Dataset) -> None:
    moved = recorded.assign(
        final_loss=recorded["final_loss"]
        + change * xr.DataArray([0.0, 1.0], {"activation": ["relu", "gelu"]}, "activation")
    )
    text = words.gelu(moved).text
    assert f"The one seed of GELU ends {said}.**" in text and "One seed does not bound" in text
    own = moved["final_loss"].sel(activation="gelu").dropna("seed")
    assert f"{float(own.item()):.2f} nats" in text
    assert f"{float(moved['final_loss'].sel(activation='relu', seed=own.seed).item()):.2f}" in text


def test_answers_are_those_of_the_data(models: tuple[xr.Dataset, ...]) -> None:
    wide, mid, laptop = models
    units = 32_768 * wide["final_token_use"].astype(float).mean("seed").values
    said = words.answer_units(wide).text
    assert said.startswith(f"It is layer {units.argmax()}, with {units.max():.0f} of 32,768 units.")
    assert f"{units.sum():,.0f} of 196,608" in said
    said = words.answer_losses(laptop, mid).text
    bits = [float(data["final_bits_per_byte"].astype(float).mean()) for data in (laptop, mid)]
    assert said.startswith("No.") and f"{bits[0]:.2f} and {bits[1]:.2f}" in said
    assert ("Mid is the better" in said) == (bits[1] < bits[0])
    assert f"{np.log(4096):.1f} nats" in said and f"{np.log(32_768):.1f}" in said
    losses = [float(data["final_loss"].astype(float).mean()) for data in (laptop, mid)]
    assert abs(losses[0] - losses[1]) < 0.1, "nearly the same, as the exercise says"


# Figures


def test_the_figure_at_a_token_draws_means_over_seeds(models: tuple[xr.Dataset, ...]) -> None:
    (panel,) = from_json(figures.at_a_token(*models).chart).panels
    for data, name in zip(models, ("Wide", "Mid", "Laptop"), strict=True):
        (after,) = [mark for mark in panel.marks if mark.legend == name]
        np.testing.assert_allclose(after.y, 100 * data["final_token_use"].astype(float).mean("seed"), rtol=1e-3)


def test_what_this_machine_made_lies_over_the_recorded(recorded: xr.Dataset) -> None:
    here = recorded.assign(heldout_loss=recorded["heldout_loss"] + 1)
    (panel,) = from_json(figures.loss_curves(recorded, here).chart).panels
    (broad,) = [mark for mark in panel.marks if mark.group == "GELU"]
    (thin,) = [mark for mark in panel.marks if mark.group == "GELU on this machine"]
    np.testing.assert_allclose(np.subtract(thin.y, broad.y), 1, rtol=5e-3)
    assert thin.width < broad.width and thin.hover and {mark.dash for mark in panel.marks} == {"solid"}


def test_tokens_keep_their_digits_in_the_data(models: tuple[xr.Dataset, ...]) -> None:
    table = pd.read_csv(io.StringIO(figures.loss_curves(models[0]).csv), comment="#")
    assert set(table["tokens"]) <= set(models[0]["tokens"].values.tolist()) and table["tokens"].max() == 229_376_000

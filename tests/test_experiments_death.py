"""Chapter 03's experiment: counts against brute force, and chance against made-up firing."""

import numpy as np
import pytest
import torch
import xarray as xr

from relusparsity import claims
from relusparsity.chapters.ch03_neuron_death import experiment, figures
from relusparsity.config import ModelConfig
from relusparsity.models import build
from relusparsity.store import results
from relusparsity.train import run as train_run

EOS = 0


@pytest.fixture(scope="module")
def recorded() -> xr.Dataset:
    return experiment.run(experiment.config("smoke"))


def test_firing_by_document_is_what_stored_masks_say() -> None:
    generator = np.random.default_rng(1)
    model = build(ModelConfig(n_layers=2, d_model=8, d_ff=24, n_heads=2, seq_len=4, vocab_size=16), 3).eval()
    sequences = generator.integers(0, 4, (10, 5))
    sequences[1:, 0] = sequences[:-1, -1]  # the next token of one sequence begins the following one
    documents = experiment.document_of(sequences, EOS)
    masks: dict[int, np.ndarray] = {}
    with torch.no_grad():  # biases of both signs: units differ in how often they fire
        for block in model.blocks:
            block.mlp.fc_in.bias.copy_(torch.linspace(-0.06, 0.06, 24))
        inputs = torch.from_numpy(sequences[:, :-1])
        model(inputs, lambda layer, _x, _pre, a: masks.__setitem__(layer, (a > 0).numpy()))
    chosen = generator.random((2, 24)) < 0.7
    reader = experiment._Reader(model, batch=3, progress="test")  # a last, partial batch; documents across batches
    tables, counts = reader.fired_in_documents(sequences, documents, chosen)
    fired = reader.fired(sequences)
    for layer, mask in masks.items():
        assert 0 < mask.mean() < 1
        assert (fired[layer] == mask.any(axis=(0, 1))).all()
        picked = mask[:, :, chosen[layer]]
        assert (counts[layer] == picked.any(axis=1).sum(axis=0)).all()
        for number in range(documents.max() + 1):
            assert (tables[layer][number] == picked[documents == number].any(axis=0)).all()


def test_documents_end_with_their_eos() -> None:
    tokens = np.array([7, EOS, EOS, 5, 5, EOS, 3, 9, 1])
    sequences = np.stack([tokens[:5], tokens[4:9]])
    assert experiment.document_of(sequences, EOS).ravel().tolist() == [0, 0, 1, 2, 2, 2, 3, 3]


def test_forecast_and_wakings_are_what_random_firing_gives() -> None:
    rate, documents, units = 1e-3, 600, 20_000
    rare = np.random.default_rng(0).random((documents, units)) < rate
    silent, woken, expected = experiment.resample(rare, draws=40)
    half = documents / 2
    missed = (1 - rate) ** half
    assert woken.mean() == pytest.approx(units * missed * (1 - missed), rel=0.03)
    assert expected.mean() == pytest.approx(units * half * rate * (1 - rate) ** (half - 1), rel=0.03)
    never = (~rare.any(axis=0)).sum()
    assert (silent >= never).all() and silent.mean() > never  # a redrawn sample misses documents


def test_units_that_are_off_are_not_forecast_to_wake() -> None:
    fired = np.zeros((50, 30), dtype=bool)
    fired[:, :10] = True
    silent, woken, expected = experiment.resample(fired, draws=10)
    assert (silent == 20).all() and (woken == 0).all() and (expected == 0).all()


def test_the_two_samples_add_up_to_the_final_measurement(recorded: xr.Dataset) -> None:
    config = experiment.config("smoke")
    never = np.stack([(train_run(run).dataset["final_firing_count"] == 0).values for run in config.runs])
    assert (recorded["silent_both"].values == never.sum(axis=-1)).all()
    assert (recorded["silent_both"] <= recorded["silent_small"]).all()
    assert recorded["silent_small"].sum() > 0


def test_dead_units_are_counted_as_in_training(recorded: xr.Dataset) -> None:
    assert (recorded["dead_count"] == recorded["dead_units"].isel(step=-1)).all()
    assert (recorded["dead_and_silent_count"] <= recorded["dead_count"]).all()
    assert (recorded["dead_and_silent_count"] <= recorded["silent_both"]).all()
    ever = np.isfinite(recorded["death_onset"]).mean("unit")
    known = recorded["survival"].where(np.isfinite(recorded["survival"]), drop=True).isel(tokens_grid=-1)
    assert np.allclose(known, 1 - ever, atol=1 / recorded.sizes["unit"] + 1e-6)  # all onsets lie within the curve
    assert np.isnan(recorded["survival"].isel(tokens_grid=-1)).all()


def test_domains_are_compared_at_equal_sizes_with_a_control(recorded: xr.Dataset) -> None:
    silent = recorded["domain_silent_units"]
    assert silent.sizes["silent_on"] == silent.sizes["fires_on"] == 4
    assert silent.attrs["sample_tokens"] == 2048
    assert ((silent >= 0) & (silent <= recorded.sizes["unit"])).all()


def test_shares_by_early_rate_average_to_the_layers_share(recorded: xr.Dataset) -> None:
    onset = recorded["death_onset"].isel(unit=recorded["history_unit"].values.astype(int))
    share = recorded["death_share_by_rate"].sel(measured_at="before training")
    assert recorded.sizes["history_unit"] % 4 == 0  # quarters are equal
    assert np.allclose(share.mean("rate_quarter"), np.isfinite(onset).mean("unit"))


def test_figures_and_claims_read_it(recorded: xr.Dataset, tmp_path) -> None:
    results.save(recorded, tmp_path / "neuron_death.nc")
    again = results.load(tmp_path / "neuron_death.nc")
    xr.testing.assert_identical(again, recorded)
    for draw in (
        figures.death_onsets,
        figures.survival,
        figures.deaths_and_revivals,
        figures.dead_over_training,
        figures.drift_before_death,
        figures.revivals,
        figures.woken,
    ):
        draw(again)
    rows = claims.evaluate({("neuron_death", "smoke"): again}, rows=claims.for_chapter(3))
    assert any(outcome.row.number == "9" and len(outcome.readings) == 3 for outcome in rows)

"""Chapter 05: nothing removed changes nothing, silent units cost nothing, and counts are equal between methods."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from relusparsity import claims, corpora, distributed, interventions, plots, train
from relusparsity.chapters.ch05_pruning import draws, experiment, tables
from relusparsity.errors import UserError
from relusparsity.scales import base
from relusparsity.train import evaluate


@pytest.fixture(scope="module")
def dataset() -> xr.Dataset:
    config = experiment.config("smoke")
    return experiment.run(replace(config, runs=config.runs[:2], shares=(0.0, 0.5, 0.9)))


def test_removing_nothing_changes_nothing(dataset: xr.Dataset) -> None:
    none = dataset.sel(share=0)
    for name in ("loss", "bits_per_byte", "accuracy"):
        whole = dataset[f"baseline_{name}"]
        np.testing.assert_allclose(none[name], whole.broadcast_like(none[name]).transpose(*none[name].dims), rtol=1e-6)


def test_as_many_units_go_as_were_asked_for(dataset: xr.Dataset) -> None:
    left = dataset["units_left"]
    for share in (0.0, 0.5, 0.9):
        kept = left.sel(share=share, method="nearest") if share else left.sel(share=0)
        assert (kept.sum("layer") == 6 * 64 - round(share * 6 * 64)).all()
    assert (left == left.sel(chosen_by="rate")).all(), "methods differ in the units, not in how many of each layer"


def test_silent_units_go_for_nothing(dataset: xr.Dataset) -> None:
    assert (dataset["masked_difference"] == 0).all()
    assert (dataset["removed_difference"] <= 1e-5).all()
    assert (dataset["silent_removed"].sum("layer") > 0).all()
    np.testing.assert_allclose(dataset["silent_loss"], dataset["baseline_loss"], rtol=1e-3)


def test_methods_choose_different_units(dataset: xr.Dataset) -> None:
    loss = dataset["loss"].sel(share=0.9, method="nearest").isel(evaluation=0)
    assert len(np.unique(loss.isel(seed=0).values)) == 3


def test_draws_of_any_order_of_layers_are_those_of_a_reference(dataset: xr.Dataset) -> None:
    """Choice by choice with sorted lists, and losses of masked models in place of smaller ones."""
    config = experiment.config("smoke")
    run = train.run(config.runs[0], corpora.load(config.runs[0].corpus))
    model, counts = run.model(distributed.device()), run.dataset["final_firing_count"].values
    text = experiment.texts(corpora.load(run.config.corpus), run.config, config.evaluation_tokens)["heldout"]

    def chosen(number: int, draw: int) -> list[np.ndarray]:
        ties, alike, uniform = (interventions.random_scores(counts.shape, 3 * draw + k) for k in range(3))
        units = [divmod(i, counts.shape[1]) for i in range(counts.size)]
        out = [np.zeros(counts.shape, bool) for _ in range(3)]
        for unit in sorted(units, key=lambda u: (counts[u], ties[u]))[:number]:
            out[0][unit] = True
        for layer, own in enumerate(out[0].sum(1)):
            for unit in sorted(range(counts.shape[1]), key=lambda u: alike[layer, u])[:own]:
                out[1][layer, unit] = True
        for unit in sorted(units, key=lambda u: uniform[u])[:number]:
            out[2][unit] = True
        return out

    def loss(removed: np.ndarray) -> float:
        return evaluate.score(interventions.mask(model, removed), text.sequences, 8).loss

    half = np.array([[loss(removed) for removed in chosen(counts.size // 2, draw)] for draw in range(2)])
    found = dataset.isel(seed=0, evaluation=0)
    np.testing.assert_allclose(found["drawn_loss"].isel(drawn_share=1), half.mean(0), rtol=1e-5)
    left = np.mean([[(~removed).sum(1) for removed in chosen(counts.size // 2, draw)] for draw in range(2)], axis=0)
    np.testing.assert_allclose(found["drawn_units_left"].isel(drawn_share=1), left)
    silent = int((counts == 0).sum())
    beyond = silent + (counts.size - silent) // 2
    assert int(found["beyond_removed"]) == beyond
    every = [[loss(removed) for removed in chosen(beyond, draw)] for draw in range(2)]
    np.testing.assert_allclose(found["beyond_loss"].transpose("draw", "drawn"), every, rtol=1e-5)


def test_only_the_counts_of_layers_differ_where_all_that_goes_is_silent(dataset: xr.Dataset) -> None:
    left = dataset["drawn_units_left"]
    assert left["drawn"].values.tolist() == list(draws.DRAWN)
    np.testing.assert_allclose(left.sel(drawn="matched to it"), left.sel(drawn="rate, ties at random"))
    for share in dataset["drawn_share"].values:
        np.testing.assert_allclose(left.sel(drawn_share=share).sum("layer"), 6 * 64 - round(float(share) * 6 * 64))


@pytest.mark.parametrize(("scale", "shares", "draws"), [("laptop", 2, 2), ("mid", 8, 20), ("wide", 8, 20)])
def test_row_12bs_draws_are_twenty_where_it_is_judged(scale: str, shares: int, draws: int) -> None:
    config = experiment.config(scale)
    assert (len(config.drawn_shares), config.beyond_draws) == (shares, draws) and 0.5 in config.drawn_shares


def test_units_are_judged_on_text_that_did_not_choose_them() -> None:
    run = base("smoke")
    corpus = corpora.load(run.corpus)
    found = experiment.texts(corpus, run, 2048)
    chosen_on = corpora.heldout_sequences(corpus.heldout, 32)[: 4 * 1024 // 32]
    assert list(found) == ["heldout"] and found["heldout"].sequences.shape == (64, 33)
    # the first input follows the last input of the other text
    after = len(chosen_on) * 32
    np.testing.assert_array_equal(found["heldout"].sequences[0], corpus.heldout[after : after + 33])
    assert 0.1 < found["heldout"].tokens_per_byte < 1
    with pytest.raises(UserError, match=r"heldout.*lower measure.final_sets"):
        experiment.texts(corpus, run, 10**9)


def test_the_claim_and_the_figure_read_it(dataset: xr.Dataset) -> None:
    outcomes = claims.evaluate({}, {("pruning", "smoke"): dataset}, claims.for_chapter(5))
    assert any(outcome.here and outcome.readings for outcome in outcomes)
    assert plots.pruning(dataset)


def test_affordable_stops_at_the_first_share_that_costs_too_much() -> None:
    share = xr.DataArray([0.0, 0.3, 0.6, 0.9], dims="share")
    loss = xr.DataArray([[[[2.0], [2.01], [2.5], [2.0]]]], dims=("seed", "chosen_by", "share", "evaluation"))
    made = xr.Dataset(
        {"loss": loss, "baseline_loss": (("seed", "evaluation"), [[2.0]])},
        {"share": share, "seed": [0], "chosen_by": ["rate"], "evaluation": ["heldout"]},
    )
    assert float(tables.affordable(made, 1.0).iloc[0, 0]) == 30
    assert tables.costs(made)["rate"].tolist() == [0, 0.5, 25, 0]

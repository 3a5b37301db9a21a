"""Chapter 04's experiment: both measures on one sample, units chosen by the stated rules, contexts true to the text."""

import re

import numpy as np
import pytest
import xarray as xr
from tokenizers import Tokenizer

from relusparsity import claims, corpora, examples, plots, train
from relusparsity.chapters.ch04_feature_specificity import experiment
from relusparsity.corpora import bpe
from relusparsity.store import results


@pytest.fixture(scope="module")
def recorded() -> xr.Dataset:
    return experiment.run(experiment.config("smoke"))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return bpe.train(["the cat sat on the mat\n\tand slept"] * 3, 270)


def without_spaces(text: str) -> str:
    return re.sub("[ ␣]", "", text)


def test_units_are_chosen_by_the_stated_rules() -> None:
    selectivity = np.array([0.5, np.nan, 0.9, 0.1, 0.3])
    clustering = np.array([2.0, np.nan, 1.0, 7.0, 3.0])
    assert examples.choose(selectivity, clustering) == [
        ("most selective", 2),
        ("median selectivity", 4),  # the lower of the two in the middle
        ("most clustered", 3),
    ]
    assert examples.choose(np.full(3, np.nan), np.full(3, np.nan)) == []


def test_contexts_mark_the_strongest_token_once_a_sequence(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("the cat sat on the mat\n\tand slept").ids
    sequences = np.array([ids, ids, ids[::-1]])
    activation = np.zeros((3, len(ids) - 1), dtype=np.float32)
    activation[0, 3], activation[1, 3], activation[2, 1] = 2.0, 3.0, 1.0
    found = experiment.strongest(activation, sequences, tokenizer, most=3)
    assert [strength for _, strength in found] == [3.0, 1.0]  # the same text is shown once, at its strongest
    text = found[0][0]
    before, rest = text.split("[[")
    token, after = rest.split("]]")
    whole = "the cat sat on the mat⏎ and slept"
    assert whole.startswith(before + token.replace("␣", " "))
    assert after in whole
    assert all(c.isprintable() for shown, _ in found for c in shown)
    assert experiment.strongest(np.zeros_like(activation), sequences, tokenizer, most=3) == []


def test_top_types_are_shares_of_the_firings(tokenizer: Tokenizer) -> None:
    the, cat = (tokenizer.encode(word).ids[0] for word in ("the", " c"))
    sequences = np.array([[the, cat, the, the, cat]])
    fired = np.array([[True, True, True, False]])
    shown = experiment.top_types(fired, sequences, tokenizer)
    first, second = shown.split(" | ")
    assert first.endswith(" 67%") and second.endswith(" 33%")


def test_both_measures_and_their_count_share_one_sample(recorded: xr.Dataset) -> None:
    enough = recorded["firing_count"] >= 100
    assert 0 < enough.mean() < 1
    for name in ("within_sequence_rate", "within_sequence_rate_random", "token_selectivity"):
        assert (np.isfinite(recorded[name]) == enough).all()
    config = experiment.config("smoke")
    for seed, run in enumerate(config.runs):  # the sample is the first part of the final measurement's
        final = train.run(run).dataset["final_firing_count"].values
        assert (recorded["firing_count"].isel(seed=seed).values <= final).all()
    ratio = (recorded["within_sequence_rate"] / recorded["within_sequence_rate_random"]).where(enough, 1)
    assert ((ratio > 0.9) & (ratio < 32)).all()
    assert ((recorded["top_type_share"] > 0) & (recorded["top_type_share"] <= 1)).all()


def test_rounding_keeps_twelve_bits() -> None:
    values = np.array([0.1234567, 3e-5, 1.0, 0.0, np.nan])
    rounded = experiment._rounded(values)
    np.testing.assert_allclose(rounded, values, rtol=2**-12)
    assert len(np.unique(experiment._rounded(np.linspace(0.5, 1, 100_000, endpoint=False)))) <= 2**11 + 1


def test_examples_lie_in_the_text_that_was_read(recorded: xr.Dataset) -> None:
    config = experiment.config("smoke")
    corpus = corpora.load(config.runs[0].corpus)
    whole = without_spaces(examples.shown_text(corpus.tokenizer, corpus.heldout[: config.sample_tokens + 1]))
    assert set(recorded["example_rule"].values) == set(examples.RULES)
    for shown in recorded["example_text"].values.ravel():
        assert "[[" in shown and "]]" in shown
        pieces = without_spaces(shown.replace("[[", "", 1).replace("]]", "", 1)).split("·")  # ·: half a character
        assert all(piece in whole for piece in pieces)
    strengths = recorded["example_activation"].values
    assert (np.diff(strengths, axis=1) <= 0).all() and (strengths > 0).all()


def test_figures_and_claims_read_it(recorded: xr.Dataset, tmp_path) -> None:
    results.save(recorded, tmp_path / "feature_specificity.nc")
    again = results.load(tmp_path / "feature_specificity.nc")
    xr.testing.assert_identical(again, recorded)
    plots.specificity(again)
    rows = claims.evaluate({("feature_specificity", "smoke"): again}, rows=claims.for_chapter(4))
    assert any(outcome.row.number == "13" for outcome in rows)

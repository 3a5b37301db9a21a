"""Widths are one number or one for each layer: one name a shape, and what a layer lacks is missing in a dataset."""

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures_core import tiny_corpus, tiny_model, tiny_run
from relusparsity import corpora, identity, interventions
from relusparsity.__main__ import _parse
from relusparsity.config import RunConfig, from_dict, replace, to_dict
from relusparsity.errors import UserError
from relusparsity.model_config import ModelConfig
from relusparsity.models import build
from relusparsity.plots import reading
from relusparsity.store import ondisk
from relusparsity.train import Run, evaluate, golden, measurements
from relusparsity.train.axis import UnitAxis
from train_made import trained

WIDTHS = (32, 20)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("widths"), **{"model.d_ff": WIDTHS, "measure.earlier": 4})


def test_a_list_of_one_width_is_that_width_and_keeps_its_name() -> None:
    one, listed = tiny_run(), tiny_run(**{"model.d_ff": [32, 32]})
    assert listed == one and golden.run_id(listed, "text") == golden.run_id(one, "text")
    unlike = tiny_run(**{"model.d_ff": [32, 20]})
    assert unlike.model.d_ff == unlike.model.widths == WIDTHS and one.model.widths == (32, 32)
    assert identity.changed(unlike)["model.d_ff"] == WIDTHS
    assert from_dict(RunConfig, json.loads(json.dumps(to_dict(unlike)))) == unlike


def test_widths_are_typed_as_a_number_or_one_after_the_other() -> None:
    for typed, expected in {"48": 48, "8 16 24 32 40 48": (8, 16, 24, 32, 40, 48), "8 8 8 8 8 8": 8}.items():
        command: Any = _parse(shlex.split(f"train --scale smoke --model.d_ff {typed} --train.lr 1e-3"))
        assert command.run.model.d_ff == expected and command.run.train.lr == 1e-3


@pytest.mark.parametrize(
    ("d_ff", "said"),
    [
        ([8], r"d_ff = \[8\]: expected a width for each of the 2 layers, or a single number for all"),
        ([8, 16, 8], r"d_ff = \[8, 16, 8\]: expected a width for each of the 2 layers"),
        ([], r"d_ff = \[\]: expected a number above 0 and at most 16,777,216, or a list of such, one for each layer"),
        ([8, 0], r"d_ff = \[8, 0\]: expected a number above 0"),
        ([8, 1.5], r"d_ff = \[8, 1\.5\]: expected a number above 0"),
        ("8", r"d_ff = '8': expected a number above 0"),
    ],
)
def test_widths_that_are_none_are_refused(d_ff: Any, said: str) -> None:
    with pytest.raises(UserError, match=rf"^ModelConfig\.{said}"):
        ModelConfig(n_layers=2, d_ff=d_ff)


def test_a_dataset_has_every_layers_units_and_says_where_there_are_none(run: Run) -> None:
    data, sequences = run.dataset, corpora.heldout_sequences(tiny_corpus().heldout, 8)[: 3 * 8]
    assert run.model().widths() == list(WIDTHS) and data["width"].values.tolist() == [list(WIDTHS)] * data.sizes["step"]
    use = evaluate.firing_counts(run.model(), sequences, 5)
    of_units = [str(name) for name, value in data.variables.items() if "unit" in value.dims]
    assert {"final_firing_count", "last_fired", "earlier_firing_count"} <= set(of_units)
    for layer, (counted, width) in enumerate(zip(use.layers, WIDTHS, strict=True)):
        for name in of_units:
            there = data[name][layer].notnull().values
            assert not there[width:].any() and (there[:width].all() or name == "death_onset"), name
        np.testing.assert_array_equal(data["final_firing_count"][layer, :width], counted.unit_tokens)
        np.testing.assert_array_equal(data["final_sequences_fired"][layer, :width], counted.unit_sequences)
        assert float(data["final_token_use"][layer]) == pytest.approx(counted.token_use())
        assert int((data["last_fired"][layer] == 0).sum()) + int((data["last_fired"][layer] > 0).sum()) == width
    assert float(data["train_token_use"][1:].min()) > 0 and float(data["train_token_use"][1:].max()) < 1


def test_the_share_of_units_in_the_stream_is_of_each_layers_own(tmp_path: Path) -> None:
    whole = trained(tmp_path, **{"model.d_ff": WIDTHS, "train.tokens": 64, "train.warmup": 64, "measure.points": 1})
    model, step = build(whole.config.model, whole.config.seed), corpora.batch(tiny_corpus().train, 8, 8, 0, 0)
    fired: list[float] = []  # in the only step, before its update
    evaluate.score(model, step, 8, lambda _layer, _x, _z, a: fired.append(float((a > 0).float().mean())))
    np.testing.assert_allclose(whole.dataset["train_token_use"][1], fired, rtol=1e-6)


def test_the_units_whose_drift_is_recorded_are_evenly_spaced_over_the_widest_layer(run: Run) -> None:
    units = measurements.history_units(32, 5)
    data = run.dataset.isel(history_step=-1)
    assert data["history_unit"].values.tolist() == units.tolist()
    for layer, (mlp, width) in enumerate(zip(run.model().mlps(), WIDTHS, strict=True)):
        own = units[units < width]
        assert data["input_bias"][layer].notnull().values.tolist() == (units < width).tolist()
        np.testing.assert_allclose(data["input_bias"][layer, : len(own)], mlp.fc_in.bias.detach()[own], rtol=6e-4)


def test_the_command_that_shows_a_run_counts_a_layers_own_units(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(run.path.parent))
    said = ondisk.summary(run.path)
    fired = (run.dataset["final_firing_count"] > 0).sum("unit") / np.array(WIDTHS)
    assert "% of 32 and 20 a layer" in said and said.splitlines()[-1].endswith(f" {100 * float(fired[1]):.1f}")
    assert " 32, 20 " in ondisk.listing()


def test_what_needs_one_width_says_so(run: Run) -> None:
    assert "d_ff" not in run.dataset.attrs
    with pytest.raises(UserError, match="shares of one width, and the layers of this dataset have several"):
        reading.units(run.dataset, "silent")
    with pytest.raises(UserError, match="the layers have 32 and 20 hidden units: single ones are scored"):
        interventions.magnitude(run.model())
    with pytest.raises(UserError, match="treats as many units in each layer, but they have 32, 20"):
        tiny_run(**{"model.d_ff": WIDTHS, "control.kind": "watch"})
    with pytest.raises(UserError, match="the layers have 32 and 20 hidden units, where one width of all is read"):
        assert replace(tiny_model(), d_ff=WIDTHS).width


def test_an_axis_of_layers_of_one_width_keeps_whole_numbers() -> None:
    rows = [np.array([1, 2], dtype=np.int32), np.array([3, 4], dtype=np.int32)]
    assert UnitAxis([2, 2]).table(rows).dtype == np.int32

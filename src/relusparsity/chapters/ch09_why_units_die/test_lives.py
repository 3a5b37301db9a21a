"""Units from birth to death against loops over the kept weights, and a live run's forks against the runs themselves."""

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from relusparsity import corpora, scales, train
from relusparsity.config import replace
from relusparsity.errors import UserError
from relusparsity.experiments import forked, shared
from relusparsity.store import results
from relusparsity.train.step import learning_rate

from . import effects, experiment, figures, lives, words

Made = tuple[xr.Dataset, train.Run, list[train.Run]]


@pytest.fixture(scope="module")
def made() -> Made:
    """The experiment at scale smoke, its parent, and its forks."""
    config = experiment.config("smoke")
    dataset = experiment.run(config)
    parent, *forks = [train.run(run) for run in shared.with_parents(config.runs)]
    return dataset, parent, forks


def seen(parent: train.Run, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Inputs and pre-activations, (layer, token, …), of the first held-out set after a step; weights and biases."""
    heldout = corpora.load(parent.config.corpus).heldout[: 1024 + 1].astype(np.int64)
    model, inputs, z = parent.model(step=step), [], []
    with torch.no_grad():
        for start in range(0, 1024, 32):  # a sequence at a time

            def observe(layer: int, x: Any, pre: Any, a: Any) -> None:
                inputs.append(x[0].double().numpy())
                z.append(pre[0].numpy())

            model(torch.from_numpy(heldout[start : start + 32])[None], observe)
    of = [[np.concatenate(part[layer::6]) for layer in range(6)] for part in (inputs, z)]
    rows = [[w.detach().double().numpy() for w in (mlp.fc_in.weight, mlp.fc_in.bias)] for mlp in model.mlps()]
    weights, biases = (np.stack([row[k] for row in rows]) for k in (0, 1))
    return np.stack(of[0]), np.stack(of[1]), weights, biases


def test_the_histogram_and_what_moved_its_mean_are_those_of_the_checkpoints(made: Made) -> None:
    dataset, parent, _ = made
    of, run = dataset.isel(seed=0), parent.config
    kept = of["life_step"].values.tolist()
    assert kept == parent.snapshots() and kept[-1] == 50 and len(kept) == 26
    assert of["life_tokens"].values.tolist() == [256 * step for step in kept]
    read = {step: seen(parent, step) for step in (0, 1, 2, 25, 50)}
    checked = 0
    for (layer, chosen), unit in np.ndenumerate(of["life_unit"].values):
        here = of.isel(layer=layer, chosen=chosen)
        if unit < 0:
            assert np.isnan(here["life_mean"]).all() and not here["life_histogram"].any()
            continue
        edges = here["life_edges"].values.astype(float)
        for step, (_, z, *_) in read.items():
            values, counts = z[layer, :, unit], here["life_histogram"].sel(life_step=step).values
            assert counts.sum() == 1024
            assert counts[edges[:-1] > -1e-9].sum() == (values > 0).sum(), "right of zero, it fires"
            below = np.array([(values <= edge).sum() for edge in edges[1:]])
            assert np.abs(np.cumsum(counts) - below).max() <= 1, "but for one that lies on an edge, rounded"
            assert float(here["life_mean"].sel(life_step=step)) == pytest.approx(values.mean(dtype=float), abs=1e-5)
        (x0, _, w0, b0), (x1, _, w1, b1) = read[1], read[2]  # no step between them
        m0, m1 = x0[layer].mean(0), x1[layer].mean(0)
        w0, w1, middle = w0[layer, unit], w1[layer, unit], (m0 + m1) / 2
        off = -learning_rate(run.train, 256) * run.train.weight_decay * w0
        expected = [(w1 - w0 - off) @ middle + b1[layer, unit] - b0[layer, unit], off @ middle]
        expected.append((w0 + w1) / 2 @ (m1 - m0))
        found = here["life_change"].sel(life_step=2, cause=["data", "decay", "input"]).values
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-7)
        whole = here["life_change"].sum().item(), float(here["life_mean"][-1] - here["life_mean"][0])
        assert whole[0] == pytest.approx(whole[1], abs=1e-5), "the causes make up all of it"
        checked += 1
    assert checked >= 9


@pytest.mark.parametrize("decay_vectors", [False, True])
def test_decay_between_kept_steps_is_near_the_sum_over_all_of_them(decay_vectors: bool) -> None:
    """Weights that the data push about for twenty steps, and decay takes 3 % off, as AdamW does it."""
    run = replace(scales.base("smoke"), **{"train.decay_vectors": decay_vectors, "train.weight_decay": 0.5})
    rng, first, last = np.random.default_rng(0), 20, 40
    w, b = rng.normal(size=(20 + 1, 2, 3, 16)), rng.normal(size=(20 + 1, 2, 3))
    m = rng.normal(size=(2, 1, 2, 16)).repeat(21, 1)[0]  # the input stands still, so that each step's part is known
    off = np.zeros((2, 3))
    for place, step in enumerate(range(first, last)):
        kept = 1 - learning_rate(run.train, step * 256) * run.train.weight_decay
        off += (kept - 1) * ((w[place] * m[0][:, None]).sum(-1) + b[place] * decay_vectors)
        w[place + 1] = kept * w[place] + 0.02 * rng.normal(size=w[0].shape)
        b[place + 1] = (kept if decay_vectors else 1) * b[place] + 0.02 * rng.normal(size=b[0].shape)
    fine, coarse = (
        lives.changes(run, [first + at for at in places], m[places], w[places], b[places]).sum(2)
        for places in (list(range(21)), [0, 20])
    )
    np.testing.assert_allclose(fine[..., 1], off, rtol=1e-9)
    np.testing.assert_allclose(coarse.sum(-1), fine.sum(-1), rtol=1e-9)
    assert np.abs(fine[..., 2]).max() == 0 and np.abs(coarse - fine)[..., 1].max() < 0.05 * np.abs(off).max()


def test_units_died_once_and_for_good_and_come_in_the_order_of_their_last_firing(made: Made) -> None:
    dataset, parent, _ = made
    data, some = parent.dataset, 0
    for layer in range(6):
        rows = [
            (data["death_onset"].sel(layer=layer).values[unit], unit)
            for unit in range(64)
            if data["death_count"].sel(layer=layer).values[unit] == 1
            and data["revival_count"].sel(layer=layer).values[unit] == 0
        ]
        rows.sort()
        found = dataset["life_unit"].sel(seed=0, layer=layer).values.tolist()
        assert found[0] == (rows[0][1] if rows else -1) and found[-1] == (rows[-1][1] if rows else -1)
        if rows:
            onsets = dataset["life_onset"].sel(seed=0, layer=layer).values.tolist()
            assert onsets == sorted(onsets) and (onsets[1], found[1]) in rows
            some += 1
    assert some >= 3


def test_the_figure_shows_the_unit_that_is_asked_for(made: Made) -> None:
    dataset, *_ = made
    drawn = figures.birth_to_death(dataset, 3, "last")
    here = dataset.sel(seed=0, layer=3, chosen="last")
    assert f"Unit {int(here['life_unit'])} of layer 3 fires for the last time" in drawn.title
    table = pd.read_csv(io.StringIO(drawn.csv), comment="#").set_index("source")
    over = table.loc["over training"].set_index("tokens")
    np.testing.assert_allclose(over["mean_preactivation"], here["life_mean"].values, rtol=1e-3)
    for cause in lives.CAUSES:
        moved = here["life_change"].sel(cause=cause).cumsum("life_step").values
        np.testing.assert_allclose(over[f"moved_by_{cause}"], moved, rtol=1e-3, atol=1e-4)
    shares = table.loc["histogram"].groupby("tokens")["share_of_tokens"]
    assert len(shares) == 16 and shares.sum().to_numpy() == pytest.approx(1, abs=2e-3)
    states = drawn.chart["control"]["states"]
    assert len(states) == 16 and "pre-activations on 1,024 held-out tokens" in drawn.caption
    lone = dataset.copy()
    lone["life_unit"] = dataset["life_unit"].where(dataset["layer"] != 3, -1)
    for refused, said in [
        ((dataset, 6), "no layer 6; choose one of 0, 1, 2, 3, 4, 5"),
        ((dataset, 3, "second"), "no chosen 'second'; choose one of first, middle, last"),
        ((dataset, 3, "first", 7), "no seed 7; choose one of 0"),
        ((lone, 3), "no unit of layer 3 died once and for good in seed 0; layers with such units: "),
    ]:
        with pytest.raises(UserError, match=said):
            figures.birth_to_death(*refused)  # type: ignore[arg-type]


def test_forks_are_told_as_their_own_runs_say(made: Made) -> None:
    dataset, parent, forks = made
    names = ["nothing frozen", "upstream frozen"]
    twin, exchange, frozen = (fork.dataset for fork in forks)
    found = effects.of_controls(dataset, experiment.POINT)
    treated = twin["treated"].transpose("layer", "unit").values.astype(bool)
    assert found.attrs["treated_share"] == 0.25 and treated.sum(1).tolist() == [16] * 6
    died = [(forked.lived(of) & forked.dead_at_the_end(of) & treated).sum(1) for of in (twin, exchange)]
    np.testing.assert_array_equal(found["died"].isel(seed=0).transpose("fork", "layer").values, died)
    assert sum(died[0]) > 0
    path = [float(of["path_length"].transpose("layer", "unit").values[treated].sum()) for of in (twin, exchange)]
    assert found["path"].item() == pytest.approx(path[1] / path[0] - 1, abs=1e-6)
    assert found["loss"].item() == pytest.approx(float(exchange["final_loss"] / twin["final_loss"]) - 1, abs=1e-6)
    assert found["overall"].item() == pytest.approx(1 - died[1].sum() / died[0].sum())
    revivals = effects.of_revivals(dataset, experiment.LAYER, experiment.TWIN)
    assert revivals["fork"].values.tolist() == names and revivals.attrs["dead_steps"] == 10
    for name, of in zip(names, (twin, frozen), strict=True):
        here = revivals.sel(fork=name, seed=0)
        np.testing.assert_array_equal(here["fired"], of["silent_fired"].sel(layer=3))
        assert here["came_back"] == forked.came_back(of)[3].sum() and here["dead"] == (~forked.lived(of))[3].sum()
    facts = results.provenance(dataset)
    assert [run for (run,) in facts["runs"]] == [fork.path.name.removeprefix("run-") for fork in forks]
    assert {each for (each,) in facts["parents"]} == {parent.path.name.removeprefix("run-")}
    assert "of_controls found no control" in _refused(lambda: effects.of_controls(dataset, "10 %"))
    assert "of_revivals needs the forks" in _refused(lambda: effects.of_revivals(dataset, 2, experiment.TWIN))
    config = experiment.config("smoke")
    assert "has no end" in _refused(lambda: experiment.assemble(config, [None, exchange, frozen]))
    said = words.cannot_say(dataset, experiment.POINT).text
    most = effects.of_controls(dataset, experiment.POINT)["died"].isel(fork=0).sum("seed").max()
    assert f"1 seed, 25 % treated, and {float(most):.0f} deaths at most." in said and "In layer" in said
    assert ("Loss and path of exchange lie" in said) == (abs(path[1] / path[0] - 1) > 0.05)
    missed = dataset.assign(final_loss=dataset["final_loss"] * (1 + 0.02 * (dataset["arm"] != experiment.TWIN)))
    assert "Loss and path of exchange lie +2.0 and" in words.cannot_say(missed, experiment.POINT).text


def _refused(made: Any) -> str:
    with pytest.raises(UserError) as refused:
        made()
    return str(refused.value)


def test_a_live_parent_trains_as_the_run_of_part_one_does(made: Made) -> None:
    _, parent, _ = made
    usual = train.run(scales.base("smoke"))
    lines = [(run.path / "metrics.jsonl").read_text() for run in (usual, parent)]
    assert lines[0] == lines[1] and usual.path != parent.path
    of, base = experiment.parent("laptop"), scales.base("laptop")
    assert of.train.tokens == 600 * 1024 and of.train.fork_states == (400 * 1024,) and of.model == base.model
    assert experiment.parent("laptop", "first").train.tokens == base.train.tokens, "a falling rate knows its end"
    assert {run.fork.steps for run in experiment.config("laptop").runs} == {200}

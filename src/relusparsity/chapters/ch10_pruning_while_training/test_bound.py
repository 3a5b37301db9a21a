"""The bound on what removal saves against the operations of smaller models, and on recorded runs."""

import numpy as np
import pytest

from relusparsity.config import ModelConfig, replace
from relusparsity.errors import UserError
from relusparsity.models import build, training_flops
from relusparsity.store import results

from . import bound, stages

POINTS = (0.1, 0.25, 0.5)


@pytest.mark.parametrize("bias", [True, False])
def test_the_mlps_share_is_that_of_the_matrices_of_a_built_model(bias: bool) -> None:
    config = ModelConfig(n_layers=2, d_model=8, n_heads=2, d_ff=(24, 40), seq_len=16, vocab_size=32, bias=bias)
    model = build(config, 0)
    of_mlps = 6 * sum(mlp.fc_in.weight.numel() + mlp.fc_out.weight.numel() for mlp in model.mlps())
    matrices = 6 * sum(p.numel() for p in model.parameters() if p.ndim == 2)  # tied: the output layer's is there once
    assert bound.mlp_share(config) == pytest.approx(of_mlps / (matrices + 12 * 2 * 16 * 8))


@pytest.mark.parametrize("name", ["Mid, first", "Wide, fan-in, decay 1", "Laptop, default"])
def test_the_bound_is_the_ratio_of_operations_of_the_whole_and_the_smaller_model(name: str) -> None:
    dataset = bound.recorded()[name]
    found, model = bound.bound(dataset), bound.model_of(dataset)
    one = dataset.isel(seed=0)
    dead = one["dead_units"].transpose("step", "layer").values
    tokens, whole = one["tokens"].values, training_flops(model)
    assert np.isnan(dead[tokens < dataset.attrs["dead_after"]]).all()

    def without(gone: np.ndarray) -> float:
        widths = tuple(int(width - n) for width, n in zip(model.widths, gone, strict=True))
        return training_flops(replace(model, d_ff=widths)) / whole

    left = np.array([without(np.nan_to_num(row)) for row in dead])
    np.testing.assert_allclose(found["bound"].isel(seed=0), 1 / left, rtol=1e-9)
    spent = sum((left[k] + left[k + 1]) / 2 * (tokens[k + 1] - tokens[k]) for k in range(len(tokens) - 1))
    assert float(found["over_run"].isel(seed=0)) == pytest.approx(tokens[-1] / spent, rel=1e-6)
    ends, cost = [*(p * tokens[-1] for p in POINTS[1:]), tokens[-1]], 0.0
    start = begin = tokens[tokens <= POINTS[0] * tokens[-1]][-1]
    for point, end in zip(POINTS, ends, strict=True):
        row = dead[tokens <= point * tokens[-1]][-1]
        multiple = min(128, model.widths[0] // 8)
        stay = [max(1, -(-(model.widths[0] - int(n)) // multiple)) * multiple for n in row]
        end = tokens[tokens <= end][-1]
        cost += (end - start) * without(np.array(model.widths) - stay)
        start = end
    assert float(found["planned"].isel(seed=0)) == pytest.approx((tokens[-1] - begin) / cost, rel=1e-6)
    assert float(found["planned_over_run"].isel(seed=0)) == pytest.approx(tokens[-1] / (begin + cost), rel=1e-6)


def test_recorded_runs_have_less_to_save_the_fuller_their_layers_stay() -> None:
    bounds = {name: bound.bound(dataset) for name, dataset in bound.recorded().items()}
    table = bound.at(bounds, (0.1, 1.0))
    last = table["bound"].sel(stage=1.0)
    assert table["model"].values.tolist() == list(bound.MODELS) and table["seeds"].values.tolist() == [
        3,
        3,
        1,
        1,
        1,
        5,
        3,
    ]
    assert 2.3 < float(last.sel(model="Wide, nearest")) < 2.4 and 1.28 < float(last.sel(model="Mid, first")) < 1.31
    assert float(last.sel(model="Wide, fan-in, decay 1")) == pytest.approx(1.42, abs=0.01)
    dead, by = table["dead"].sel(stage=1.0), table["mlp_share"].round(3)
    wide = dead.where(by == float(by.sel(model="Wide, nearest")), drop=True)["model"]
    assert wide.size == 5 and (np.argsort(-dead.sel(model=wide)) == np.argsort(-last.sel(model=wide))).all()
    assert (table["over_run"] < last).all() and (table["bound"].sel(stage=0.1) < last).all()
    assert (table["lowest"] <= last).all() and (last <= table["highest"]).all()


def test_of_several_recipes_one_has_to_be_chosen() -> None:
    lead = results.recorded("lead", "wide")
    with pytest.raises(UserError, match="holds 3 recipes, and a bound is of one: choose it"):
        bound.bound(lead)
    (one,) = bound.bound(lead.sel(recipe="decay 2"))["over_run"].values
    assert 1.4 < one < 1.6


def test_the_stages_of_the_recorded_runs_are_bounded_by_their_widths() -> None:
    """All arms go by one recipe there, and their configurations by the arms' names."""
    dataset = results.recorded("pruning_while_training", "laptop")
    found, model = stages.of(dataset).isel(seed=0), bound.model_of(dataset)
    width = dataset["width"].sel(arm="pruned").isel(seed=0, step=-1).values.astype(int)
    last = found.sel(arm="pruned").dropna("stage").isel(stage=-1)
    smaller = replace(model, d_ff=tuple(map(int, width)))
    assert float(last["bound"]) == pytest.approx(training_flops(model) / training_flops(smaller))
    assert float(last["left"]) == pytest.approx(width.sum() / (6 * model.width)) and float(last["speed"]) > 1
    assert (found["bound"].sel(arm="dense").dropna("stage") == 1).all()


def test_what_was_not_run_is_missing_and_not_alive() -> None:
    dataset = results.recorded("layer_patterns", "laptop").isel(seed=[0])
    stopped = dataset.assign(dead_units=dataset["dead_units"].where(dataset["tokens"] <= 409_600))
    share = bound.dead_share(stopped).isel(seed=0)
    assert np.isnan(share.values[dataset["tokens"].values > 409_600]).all()
    assert (share.values[dataset["tokens"].values < 65_536] == 0).all()
    assert bool(np.isnan(bound.bound(stopped)["over_run"])) and bound.dead_share(dataset).notnull().all()

"""Gradients by layer: against finite differences and a softmax by hand, pairs against copies, and the theorem."""

import re
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn

import fixtures_core
import pictures_made
from pictures_made import own_runs  # noqa: F401 - a fixture
from relusparsity import corpora
from relusparsity.config import replace
from relusparsity.errors import UserError
from relusparsity.experiments import first_gradient_by_layer
from relusparsity.experiments.first_gradient_by_layer import AS_IS, HELD, LABELS, WITHOUT, Part
from relusparsity.models import Decoder, Vit, build
from relusparsity.store import results
from relusparsity.vit_config import VitConfig

SHAPES = {
    "decoder": fixtures_core.tiny_model(n_layers=3),
    "vit": VitConfig(n_layers=3, d_model=8, d_ff=16, n_heads=2, image_size=8, patch_size=4),
}


def drawn(shape: str, seed: int = 1) -> tuple[Any, tuple[Tensor, ...]]:
    """A model in float64 with larger weights, and a batch."""
    model = build(SHAPES[shape], seed).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for each in model.parameters():
            each += 0.2 * torch.randn(each.shape, generator=generator, dtype=torch.float64)
    if shape == "decoder":
        return model, (torch.randint(64, (4, 9), generator=generator),)
    return model, (torch.randn(6, 8, 8, generator=generator).double(), torch.randint(10, (6,), generator=generator))


def of(model: Any, batch: tuple[Tensor, ...], seed: int = 5) -> tuple[Part, Part]:
    return first_gradient_by_layer.of_batch(model, batch, torch.Generator().manual_seed(seed))


def loss(model: Any, batch: tuple[Tensor, ...], labels: Tensor) -> float:
    logits = model.predict(*batch)[0].detach().numpy().reshape(len(labels), -1)
    share = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return float(-np.log(share[np.arange(len(labels)), labels.numpy()]).sum())


@pytest.mark.parametrize("shape", SHAPES)
def test_means_are_those_of_finite_differences(shape: str) -> None:
    """All entries above 0 are moved together: the loss then changes by their sum of gradients."""
    model, batch = drawn(shape)
    parts = of(model, batch)
    logits, real = model.predict(*batch)
    random = torch.randint(logits.shape[-1], real.flatten().shape, generator=torch.Generator().manual_seed(5))
    targets = (real.flatten(), random, logits.flatten(0, -2).argmax(-1))
    first = 1 if shape == "vit" else 0
    for layer, apart in ((layer, apart) for layer in range(3) for apart in range(1 + first)):
        counted: list[Tensor] = []

        def moved(by: float, labels: Tensor, layer: int = layer, apart: int = apart, counted: Any = counted) -> float:
            def move(_module: Any, _given: Any, p: Tensor) -> Tensor:
                some = p > 0
                some[:, first:] &= not apart
                some[:, :first] &= bool(apart)
                counted[:] = [some]
                return p + by * some

            hook = model.mlps()[layer].fc_in.register_forward_hook(move)
            try:
                return loss(model, batch, labels)
            finally:
                hook.remove()

        for at, labels in enumerate(targets):
            change = (moved(1e-6, labels) - moved(-1e-6, labels)) / 2e-6 / int(counted[0].sum())
            assert parts[apart].gradient[at, layer] == pytest.approx(change, rel=1e-3, abs=1e-9)
        size = counted[0][:, :first].numel() if apart else counted[0][:, first:].numel()
        assert parts[apart].positive[layer] == pytest.approx(int(counted[0].sum()) / size)
    assert np.abs(parts[0].gradient[:, :2]).min() > 1e-6
    if shape == "decoder":
        assert np.isnan(parts[1].gradient).all() and np.isnan(parts[1].theorem)
    else:
        assert not parts[0].gradient[:, -1].any() and np.isnan(parts[0].theorem), "patches of the last layer"


@pytest.mark.parametrize("shape", SHAPES)
def test_a_pair_is_the_model_and_a_copy_with_that_matrix_negated(shape: str) -> None:
    model, batch = drawn(shape)
    before = deepcopy(model.state_dict())
    parts = of(model, batch)
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())
    for layer in range(3):
        twin = deepcopy(model)
        twin.mlps()[layer].fc_out.weight.data *= -1
        for mine, theirs in zip(parts, of(twin, batch), strict=True):
            expected = (mine.gradient[:, layer] + theirs.gradient[:, layer]) / 2
            np.testing.assert_allclose(mine.paired[:, layer], expected, rtol=1e-9, atol=1e-15)
    assert not np.allclose(parts[0].paired[:, 0], parts[0].gradient[:, 0], rtol=0.01)


def test_without_the_norm_the_last_layer_is_that_of_a_softmax_by_hand() -> None:
    model, batch = drawn("decoder")
    model.final_norm = nn.Identity()
    seen: dict[int, Tensor] = {}
    logits, real = model.predict(*batch, observe=lambda layer, _x, p, _a: seen.update({layer: p}))
    f, p = logits.detach().numpy().reshape(-1, 64), seen[2].detach().numpy().reshape(-1, 16)
    combined = model.output.weight.detach().numpy() @ model.mlps()[2].fc_out.weight.detach().numpy()
    share = np.exp(f) / np.exp(f).sum(1, keepdims=True)
    gradient = (share - np.eye(64)[real.flatten().numpy()]) @ combined
    found, _ = of(model, batch)
    assert found.gradient[0, 2] == pytest.approx(gradient[p > 0].mean())
    variance = np.mean([np.var(combined[:, unit]) for unit in range(16)])  # over the classes: Var · (1 − 1/K) of a draw
    assert found.theorem == pytest.approx(p[p > 0].mean() * variance)


def test_a_norm_whose_scale_is_held_has_its_values_and_passes_gradients_along_the_stream() -> None:
    model, _ = drawn("decoder")
    norm, x = model.final_norm, torch.randn(5, 8, dtype=torch.float64, requires_grad=True)
    held = first_gradient_by_layer.Held(norm)
    torch.testing.assert_close(held(x), norm(x))
    middle = x.detach() - x.detach().mean(1, keepdim=True)
    scale = (middle.square().mean(1, keepdim=True) + 1e-5).sqrt()
    weights = torch.randn(5, 8, dtype=torch.float64)
    (found,) = torch.autograd.grad((held(x) * weights).sum(), x)
    by_hand = weights * norm.weight.detach() / scale
    torch.testing.assert_close(found, by_hand - by_hand.mean(1, keepdim=True))
    (usual,) = torch.autograd.grad((norm(x) * weights).sum(), x)
    along = (middle * usual).sum(1).abs() / (middle * found).sum(1).abs()
    assert along.max() < 1e-3, "but for ε, none of a norm's gradient is along the stream"


def test_without_the_norm_pairs_are_near_the_theorem_and_own_labels_turn_them() -> None:
    shape, ratios = fixtures_core.tiny_model(n_layers=1, d_model=32, d_ff=64, seq_len=16), []
    for seed in range(12):
        batch = (torch.randint(64, (8, 17), generator=torch.Generator().manual_seed(seed)),)
        model = build(shape, seed)
        assert isinstance(model, Decoder)
        model.final_norm = nn.Identity()
        part, _ = of(model, batch)
        ratios.append(part.paired[:, 0] / part.theorem)
    real, random, own = np.mean(ratios, axis=0)
    assert real == pytest.approx(1, abs=0.15) and random == pytest.approx(real, rel=1e-3), "labels cancel in a pair"
    assert own < -1 and np.min(ratios, axis=0)[0] > 0


@pytest.fixture
def measured(own_runs: Any, monkeypatch: pytest.MonkeyPatch) -> xr.Dataset:  # noqa: F811
    """All of it on made-up text and pictures, by small models of two layers."""
    pictures_made.digits()
    text = fixtures_core.tiny_corpus()
    load = corpora.load
    monkeypatch.setattr(corpora, "load", lambda of: text if of == fixtures_core.tiny_run().corpus else load(of))
    monkeypatch.setattr(
        first_gradient_by_layer,
        "base",
        lambda scale: replace(fixtures_core.tiny_run(), **{"model.d_ff": {"smoke": 16, "laptop": 24}[scale]}),
    )
    monkeypatch.setattr(first_gradient_by_layer, "pictures", lambda _: pictures_made.tiny_pictures())
    return first_gradient_by_layer.measure((0, 3, 4), tokens=32)


def test_a_dataset_has_every_model_norm_and_label(measured: xr.Dataset, tmp_path: Any) -> None:
    results.save(measured, tmp_path / "by_layer.nc")
    xr.testing.assert_identical(results.load(tmp_path / "by_layer.nc"), measured)
    assert dict(measured.sizes) == {"model": 4, "norm": 3, "seed": 3, "labels": 3, "layer": 2}
    assert measured["labels"].values.tolist() == list(LABELS) and measured["seed"].values.tolist() == [0, 3, 4]
    patches, token = "ViT, Digits: patches", "ViT, Digits: class token"
    run = pictures_made.tiny_pictures()
    data = corpora.load(run.corpus)
    assert len(data.train.labels) > 8
    model = build(run.model, 3)
    assert isinstance(model, Vit)
    batch = first_gradient_by_layer.tasks.of(run, data).batch(8, 3, 0)
    parts = of(model, (torch.from_numpy(batch[0]), torch.from_numpy(batch[1])), -4)
    for name, part in zip((patches, token), parts, strict=True):
        values = measured.sel(model=name, norm=AS_IS, seed=3)
        np.testing.assert_allclose(values["paired"], part.paired, rtol=1e-5, atol=1e-12)
        np.testing.assert_allclose(values["positive"], part.positive, rtol=1e-6)
    assert not measured["paired"].sel(model=patches).isel(layer=-1).any()
    for one, other in ((AS_IS, WITHOUT), (AS_IS, HELD), (WITHOUT, HELD)):
        assert float(abs(measured["paired"].sel(norm=one) - measured["paired"].sel(norm=other)).max()) > 1e-6


def test_tables_have_the_signs_that_intervals_allow(measured: xr.Dataset) -> None:
    made = measured.copy(deep=True)
    made["paired"][:] = 2.0
    made["theorem"][:] = 1.6
    made["theorem"].loc[{"model": "decoder, Laptop"}] = np.nan
    at = {"model": "decoder, Smoke", "norm": AS_IS, "labels": "own"}
    made["paired"].loc[at | {"layer": 0}] = [-1.0, -1.1, -1.2]
    made["paired"].loc[at | {"layer": 1}] = [-1.0, 1.1, 0.2]
    made["paired"].loc[at | {"labels": "real", "layer": 1}] = 0.0
    table = first_gradient_by_layer.table(made)
    assert len(table) == 4 * 3 * 3 * 2
    smoke = table.xs("decoder, Smoke", level="model").xs(AS_IS, level="norm")
    assert smoke["sign"].loc["own"].tolist() == [-1, 0] and np.isnan(smoke["sign"].loc[("real", 1)])
    assert smoke["sign"].loc["random"].tolist() == [1, 1]
    low, high = smoke.loc[("own", 0), ["low", "high"]]
    assert (low, high) == pytest.approx((-1.1 - 4.302653 * 0.1 / 3**0.5, -1.1 + 4.302653 * 0.1 / 3**0.5))
    against = first_gradient_by_layer.against_theorem(made)
    assert against["percent"].tolist() == pytest.approx([125] * 3) and "decoder, Laptop" not in against.index


def test_what_makes_no_sense_is_refused_in_a_sentence(own_runs: Any) -> None:  # noqa: F811
    refused: list[tuple[dict[str, Any], str]] = [
        ({"seeds": [3]}, "seeds = (3,): expected 2 whole numbers of 0 or more at the least, each once."),
        ({"tokens": 63}, "tokens = 63: expected a whole number from 64, a sequence of each shape."),
        ({"tokens": 64.0}, "tokens = 64.0: expected a whole number from 64"),
    ]
    for given, says in refused:
        with pytest.raises(UserError, match=re.escape(says)):
            first_gradient_by_layer.measure(**given)

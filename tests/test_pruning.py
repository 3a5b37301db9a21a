"""Units taken out: masked, the output is the same to the bit where they are silent; removed, equal to 1e-5."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures_core import tiny_model
from relusparsity import interventions
from relusparsity.config import ModelConfig
from relusparsity.errors import UserError
from relusparsity.models import Decoder, build

laws = settings(deadline=None, derandomize=True, max_examples=50)
sizes = st.fixed_dictionaries(
    {
        "n_layers": st.integers(1, 3),
        "d_ff": st.integers(1, 70),
        "d_model": st.sampled_from([2, 8, 30]),
        "n_heads": st.just(1),
        "bias": st.booleans(),
        "activation": st.sampled_from(["relu", "gelu"]),
        "norm_place": st.sampled_from(["pre", "post", "parallel"]),
        "tied": st.booleans(),
    }
)


def model_of(changes: dict[str, Any], seed: int) -> Decoder:
    """Biases away from 0, weights large enough that every unit matters."""
    model = build(tiny_model(**changes), seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += torch.randn(parameter.shape, generator=generator) * 0.3
    return model.eval()


def text_of(config: ModelConfig, seed: int) -> torch.Tensor:
    return torch.randint(config.vocab_size, (3, config.seq_len), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def activations(model: Decoder, text: torch.Tensor) -> list[torch.Tensor]:
    seen: list[torch.Tensor] = []
    model(text, lambda _layer, _x, _pre, a: seen.append(a))
    return seen


def copies(model: Decoder) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


@laws
@given(sizes, st.integers(0, 99))
@torch.no_grad()
def test_masking_silent_units_changes_no_bit(changes: dict[str, Any], seed: int) -> None:
    model = model_of(changes | {"activation": "relu"}, seed)
    text = text_of(model.config, seed)
    silent = np.stack([(a <= 0).all(dim=(0, 1)).numpy() for a in activations(model, text)])
    masked = interventions.mask(model, silent)
    assert torch.equal(masked(text), model(text))
    assert masked.config == model.config
    for mlp, gone in zip(masked.mlps(), silent, strict=True):
        assert not mlp.fc_in.weight[gone].any() and not mlp.fc_out.weight[:, gone].any(), "they are really gone"


@laws
@given(sizes, st.integers(0, 99), st.floats(0, 1))
@torch.no_grad()
def test_masked_units_output_zero_and_removed_ones_are_the_same(
    changes: dict[str, Any], seed: int, share: float
) -> None:
    model = model_of(changes, seed)
    text, before = text_of(model.config, seed), copies(model)
    gone = np.random.default_rng(seed).random((model.config.n_layers, model.config.d_ff)) < share
    masked, smaller = interventions.mask(model, gone), interventions.remove(model, gone)
    assert all(torch.equal(before[name], value) for name, value in model.named_parameters()), "the model stays"

    for layer, a in enumerate(activations(masked, text)):
        assert not a[..., gone[layer]].any()
    first = activations(model, text)[0][..., ~gone[0]]
    torch.testing.assert_close(activations(masked, text)[0][..., ~gone[0]], first, rtol=0, atol=0)

    left = (~gone).sum(1)
    for mlp, width in zip(smaller.mlps(), left, strict=True):
        assert mlp.fc_in.weight.shape == (width, model.config.d_model)
        assert mlp.fc_out.weight.shape == (model.config.d_model, width)
        assert (mlp.fc_in.bias is None) == (mlp.fc_out.bias is None) == (not model.config.bias)
    torch.testing.assert_close(smaller(text), masked(text), rtol=1e-5, atol=1e-5)
    assert [a.shape[-1] for a in activations(smaller, text)] == left.tolist()
    untouched = {name for name in before if ".mlp." not in name}
    assert all(torch.equal(before[n], v) for n, v in smaller.named_parameters() if n in untouched)
    assert (smaller.output.weight is smaller.embedding.weight) == model.config.tied


@torch.no_grad()
def test_a_layer_may_lose_all_its_units() -> None:
    model = model_of({}, 0)
    gone = np.array([[True] * 16, [False] * 16])
    text = text_of(model.config, 0)
    torch.testing.assert_close(
        interventions.remove(model, gone)(text), interventions.mask(model, gone)(text), rtol=1e-5, atol=1e-5
    )


def test_taking_out_a_used_unit_changes_the_output() -> None:
    model = model_of({}, 0)
    text = text_of(model.config, 0)
    used = torch.stack([(a > 0).any(dim=0).any(dim=0) for a in activations(model, text)]).numpy()
    assert used.any() and not torch.allclose(interventions.mask(model, used)(text), model(text), atol=1e-2)


# Choosing

scores_of = st.tuples(st.integers(1, 4), st.integers(1, 12), st.integers(0, 999)).map(
    lambda t: np.random.default_rng(t[2]).integers(0, 5, (t[0], t[1])).astype(float)  # with many ties
)


@laws
@given(scores_of, st.floats(0, 1, exclude_max=True))
def test_the_lowest_of_all_units_are_chosen(scores: np.ndarray, share: float) -> None:
    removed = interventions.choose_lowest(scores, share)
    assert removed.dtype == bool and removed.shape == scores.shape
    assert removed.sum() == round(share * scores.size)
    ranked = sorted(range(scores.size), key=lambda i: (scores.flat[i], i))  # ties: the first unit
    assert set(np.flatnonzero(removed)) == set(ranked[: removed.sum()])


@laws
@given(scores_of, st.floats(0, 1, exclude_max=True), st.integers(0, 99))
def test_ties_are_broken_at_random_among_equals_alone(scores: np.ndarray, share: float, seed: int) -> None:
    removed = interventions.choose_lowest(scores, share, ties=seed)
    by_order = interventions.choose_lowest(scores, share)
    assert sorted(scores[removed]) == sorted(scores[by_order]), "the same scores go, of other units"
    drawn = interventions.random_scores(scores.shape, seed)
    ranked = sorted(range(scores.size), key=lambda i: (scores.flat[i], drawn.flat[i]))
    assert set(np.flatnonzero(removed)) == set(ranked[: removed.sum()])


def test_ties_at_random_favour_no_layer_and_differ_by_seed() -> None:
    scores = np.zeros((6, 5000))
    scores[:, 2500:] = 1  # half of each layer ties at zero
    first, second = (interventions.choose_lowest(scores, 0.25, ties=seed) for seed in (0, 1))
    assert interventions.choose_lowest(scores, 0.25).sum(1).tolist() == [2500, 2500, 2500, 0, 0, 0]
    np.testing.assert_allclose(first.sum(1), 1250, atol=120)
    assert not first[:, 2500:].any() and not np.array_equal(first, second)
    np.testing.assert_array_equal(first, interventions.choose_lowest(scores, 0.25, ties=0))


@laws
@given(scores_of, st.data())
def test_as_many_in_each_layer(scores: np.ndarray, data: st.DataObject) -> None:
    layers, units = scores.shape
    wanted = data.draw(st.lists(st.integers(0, units), min_size=layers, max_size=layers))
    removed = interventions.choose_as_many(scores, wanted)
    assert removed.sum(1).tolist() == wanted
    for row, chosen, count in zip(scores, removed, wanted, strict=True):
        ranked = sorted(range(units), key=lambda i: (row[i], i))
        assert set(np.flatnonzero(chosen)) == set(ranked[:count])


def test_random_scores_come_from_the_seed_alone() -> None:
    np.testing.assert_array_equal(interventions.random_scores((3, 5), 1), interventions.random_scores((3, 5), 1))
    assert not np.array_equal(interventions.random_scores((3, 5), 1), interventions.random_scores((3, 5), 2))
    chosen = interventions.choose_lowest(interventions.random_scores((6, 5000), 1), 0.5).mean(1)
    np.testing.assert_allclose(chosen, 0.5, atol=0.03)  # no layer is favoured


@torch.no_grad()
def test_magnitude_is_the_product_of_the_two_norms() -> None:
    model = model_of({"d_ff": 5}, 0)
    found = interventions.magnitude(model)
    for layer, mlp in enumerate(model.mlps()):
        for unit in range(5):
            a = np.linalg.norm(mlp.fc_in.weight[unit].double().numpy())
            b = np.linalg.norm(mlp.fc_out.weight[:, unit].double().numpy())
            assert found[layer, unit] == pytest.approx(a * b, rel=1e-5)


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_wrong_share_is_said(share: float) -> None:
    with pytest.raises(UserError, match="expected a share of the units to remove, at least 0 and below 1"):
        interventions.choose_lowest(np.zeros((2, 3)), share)


@pytest.mark.parametrize("counts", [[1], [1, 2, 3], [1, 4], [-1, 1]])
def test_wrong_counts_are_said(counts: list[int]) -> None:
    with pytest.raises(UserError, match="expected one for each of 2 layers, up to 3"):
        interventions.choose_as_many(np.zeros((2, 3)), counts)


@pytest.mark.parametrize("removed", [np.zeros((2, 15), bool), np.zeros((2, 16), int), np.zeros(32, bool)])
@pytest.mark.parametrize("take_out", [interventions.mask, interventions.remove])
def test_a_choice_that_does_not_fit_the_model_is_said(removed: np.ndarray, take_out: Any) -> None:
    with pytest.raises(UserError, match=r"expected \(2, 16\) of bool"):
        take_out(model_of({}, 0), removed)

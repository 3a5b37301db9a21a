"""The vision Transformer against an independent implementation, what it counts, and what it refuses."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch.nn import functional as F

import relusparsity
from model_made import assert_same_logits, copied, shaken
from relusparsity.errors import UserError
from relusparsity.models import Vit, build, checked
from relusparsity.vit_config import VitConfig
from track_made import assert_counts

SHAPE: dict[str, Any] = {"n_layers": 3, "d_model": 16, "d_ff": 40, "n_heads": 4, "image_size": 12, "patch_size": 3}


def pictures(config: VitConfig, count: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, config.image_size, config.image_size, generator=generator)


def labels(config: VitConfig, count: int = 5) -> torch.Tensor:
    return torch.arange(count) % config.classes


@torch.no_grad()
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_equals_hugging_face_vit(activation: str) -> None:
    config = VitConfig(**SHAPE, classes=7, activation=activation)
    ours: Any = shaken(config)
    theirs = transformers.ViTForImageClassification(
        transformers.ViTConfig(
            hidden_size=16,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=40,
            hidden_act=activation,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            layer_norm_eps=1e-6,
            image_size=12,
            patch_size=3,
            num_channels=1,
            num_labels=7,
        )
    ).eval()
    mine = dict(ours.named_parameters())
    named = {
        "vit.embeddings.cls_token": mine["class_token"].view(1, 1, 16),
        "vit.embeddings.position_embeddings": mine["position_embedding.weight"][None],
        "vit.embeddings.patch_embeddings.projection.weight": mine["patch_embedding.weight"].view(16, 1, 3, 3),
        "vit.embeddings.patch_embeddings.projection.bias": mine["patch_embedding.bias"],
    }
    for kind in ("weight", "bias"):
        named |= {f"vit.layernorm.{kind}": mine[f"final_norm.{kind}"], f"classifier.{kind}": mine[f"output.{kind}"]}
        for layer in range(3):
            a, b = f"vit.layers.{layer}.", f"blocks.{layer}."
            q, k, v = mine[f"{b}attention.qkv.{kind}"].chunk(3)
            named |= {f"{a}attention.{n}_proj.{kind}": value for n, value in (("q", q), ("k", k), ("v", v))}
            named[f"{a}attention.o_proj.{kind}"] = mine[f"{b}attention.out.{kind}"]
            named[f"{a}layernorm_before.{kind}"] = mine[f"{b}attention_norm.{kind}"]
            named[f"{a}layernorm_after.{kind}"] = mine[f"{b}mlp_norm.{kind}"]
            named[f"{a}mlp.fc1.{kind}"] = mine[f"{b}mlp.fc_in.{kind}"]
            named[f"{a}mlp.fc2.{kind}"] = mine[f"{b}mlp.fc_out.{kind}"]
    copied(dict(theirs.named_parameters()), named)
    assert_same_logits(ours(pictures(config)), theirs(pictures(config)[:, None]).logits)


def test_patches_are_squares_of_the_picture_row_by_row() -> None:
    config = VitConfig(**SHAPE)
    given = pictures(config)
    found = build(config, 0).patches(given)
    for patch, (row, column) in enumerate((row, column) for row in range(0, 12, 3) for column in range(0, 12, 3)):
        assert torch.equal(found[:, patch], given[:, row : row + 3, column : column + 3].flatten(1))


@torch.no_grad()
@pytest.mark.parametrize("changes", [{}, {"activation": "gelu"}, {"activation": "topk", "top_k": 6}])
def test_patches_are_counted_and_the_class_token_is_not(changes: dict[str, Any]) -> None:
    config = VitConfig(**SHAPE, **changes)
    model: Any = shaken(config)
    checked.check(model, pictures(config), labels(config))
    whole: list[torch.Tensor] = []
    for mlp in model.mlps():
        mlp.fc_out.register_forward_hook(lambda _m, given, _o: whole.append(given[0]))
    seen: list[Any] = []
    counted: list[Any] = []
    model.predict(
        pictures(config),
        labels(config),
        observe=lambda *told: seen.append(told),
        count=lambda *told: counted.append(told),
    )
    assert config.seq_len == 16 and [layer for layer, *_ in seen] == [layer for layer, _ in counted] == [0, 1, 2]
    for activation, (_, x, z, a), (_, per_unit) in zip(whole, seen, counted, strict=True):
        assert activation.shape == (5, 17, 40) and (activation[:, 0] > 0).any()
        assert torch.equal(a, activation[:, 1:]) and x.shape == (5, 16, 16) and z.shape == a.shape
        np.testing.assert_array_equal(per_unit.numpy(), (activation[:, 1:] > 0).sum(1).numpy())


@torch.no_grad()
@pytest.mark.parametrize(("activation", "layers"), [("relu", None), ("relu", "blocks.*.mlp.fc_out"), ("gelu", None)])
def test_watched_it_is_counted_as_it_counts_itself(activation: str, layers: str | None) -> None:
    config = VitConfig(**SHAPE, activation=activation)
    model: Any = shaken(config)
    seen: list[np.ndarray] = []
    model(pictures(config), lambda _layer, _x, _z, a: seen.append(a.numpy()))
    with relusparsity.track(model, layers, of="input" if layers else None) as use:
        model(pictures(config))
    with relusparsity.track_deaths(model.train(), 5, layers, of="input" if layers else None) as deaths:
        model(pictures(config))
        deaths.step()
    assert len(seen) == len(use.layers) == 3 and (deaths.tokens, deaths.sequences) == (5 * 16, 5)
    for a, of in zip(seen, use.counts(), strict=True):
        assert_counts(of, a != 0 if activation == "gelu" else a > 0)
    for a, since in zip(seen, deaths.since_fired(), strict=True):
        np.testing.assert_array_equal(since.numpy(), np.where((a != 0).any((0, 1)), 0, 5 * 16))


@torch.no_grad()
def test_every_patch_sees_every_other() -> None:
    config = VitConfig(**SHAPE)
    model: Any = shaken(config)
    given = pictures(config)
    other = given.clone()
    other[:, -1, -1] += 1  # a pixel of the last patch
    inputs: list[list[torch.Tensor]] = [[], []]
    for read, to in zip((given, other), inputs, strict=True):
        model(read, lambda _layer, x, _z, _a, to=to: to.append(x))
    assert all((a - b).abs().amax(-1).gt(0).all() for a, b in zip(inputs[0][1:], inputs[1][1:], strict=True))


def test_the_seed_alone_decides_the_weights() -> None:
    config = VitConfig(n_layers=1, d_model=64, d_ff=512)
    torch.manual_seed(1)
    first = dict(build(config, seed=3).named_parameters())
    torch.manual_seed(2)
    again, other = dict(build(config, seed=3).named_parameters()), dict(build(config, seed=4).named_parameters())
    assert all(torch.equal(first[name], again[name]) for name in first)
    drawn = {name for name in first if not torch.equal(first[name], other[name])}
    assert drawn == {name for name in first if "norm" not in name and "bias" not in name}
    for name in drawn:
        assert float(first[name].detach().std()) == pytest.approx(0.02, rel=5 / math.sqrt(first[name].numel())), name


def test_dropout_drops_in_training_alone() -> None:
    config = VitConfig(**SHAPE, dropout=0.5)
    model, given = build(config, 0), pictures(config)
    assert config.draws and not VitConfig(**SHAPE).draws
    torch.manual_seed(0)
    first = model.train()(given)
    torch.manual_seed(0)
    assert torch.equal(first, model(given)) and not torch.equal(first, model(given))
    assert torch.equal(model.eval()(given), model(given))
    calls: list[str] = []
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout):
            module.register_forward_hook(lambda *_, name=name: calls.append(name))
    model(given)
    blocks = [f"blocks.{layer}.dropout" for layer in range(3)]
    assert calls == ["dropout", *(name for name in blocks for _ in range(2))], "embedded patches, and each sublayer"


def test_it_learns_a_few_pictures_by_heart() -> None:
    config = VitConfig(**SHAPE)
    model = build(config, 0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(120):
        logits, targets = model.predict(pictures(config), labels(config))
        optimizer.zero_grad()
        (loss := F.cross_entropy(logits, targets)).backward()
        optimizer.step()
    assert float(loss.detach()) < 0.1 and isinstance(model, Vit)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"patch_size": 5}, "patch_size = 5 does not divide image_size = 12: patches tile a picture without a rest"),
        ({"patch_size": 4}, "patch_size = 4 makes 9 patches of a picture of image_size = 12: expected a power of two"),
        ({"patch_size": 24}, "patch_size = 24 does not divide image_size = 12"),
        ({"n_heads": 3}, "n_heads = 3 does not divide d_model = 16"),
        ({"d_ff": (8, 8)}, r"VitConfig.d_ff = \[8, 8\]: expected a width for each of the 3 layers"),
        ({"activation": "topk", "top_k": 41}, "VitConfig.top_k = 41 with activation = topk: expected .* 1 to the 40"),
        ({"dropout": 1.0}, "VitConfig.dropout = 1.0: expected 0 .none. or a share between 0 and 1"),
        ({"classes": 0}, "VitConfig.classes = 0: expected a number above 0"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        VitConfig(**SHAPE | changes)
    assert "\n" not in str(refused.value)


def test_pictures_and_labels_that_it_cannot_read_are_refused() -> None:
    config = VitConfig(**SHAPE)
    model = build(config, 0)
    with pytest.raises(UserError, match="pictures of 28 × 28 pixels are given to a model of image_size = 12; pad"):
        model(torch.zeros(2, 28, 28))
    with pytest.raises(UserError, match=r"pictures of torch.uint8 are given: expected real numbers, .* −1 to 1"):
        model(torch.zeros(2, 12, 12, dtype=torch.uint8))
    with pytest.raises(UserError, match="gives targets from 0 to 10: expected those of its 10 classes, from 0"):
        checked.check(model, pictures(config, 2), torch.tensor([0, 10]))

"""Mixtures of experts: shared experts and dense layers are counted, routed experts are named as left out."""

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as t

import relusparsity
from measure_made import measured, saved
from relusparsity.__main__ import main
from relusparsity.anymodel.attach import routed
from relusparsity.errors import UserError
from relusparsity.store import results

pytest_plugins = ("measure_made",)  # its fixtures
pytestmark = pytest.mark.usefixtures("undrawn")

HEADS = {"num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 99, "num_hidden_layers": 3}
SMALL = HEADS | {"hidden_size": 16, "intermediate_size": 32, "num_experts_per_tok": 1, "hidden_act": "relu"}
LATENT = {"kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 8}
GROUPS = {"n_shared_experts": 1, "n_routed_experts": 4, "n_group": 2, "topk_group": 1, "first_k_dense_replace": 1}
DENSE = "model.layers.{}.mlp.act_fn"
SWITCH = {"d_model": 16, "d_ff": 32, "d_kv": 8, "num_heads": 2, "vocab_size": 99, "num_layers": 2, "expert_capacity": 8}


def qwen2(shared: int = 8, dense: tuple[int, ...] = ()) -> Any:
    torch.manual_seed(0)
    widths = {"moe_intermediate_size": 8, "shared_expert_intermediate_size": shared, "mlp_only_layers": list(dense)}
    return t.Qwen2MoeForCausalLM(t.Qwen2MoeConfig(**SMALL, **widths, num_experts=2)).eval()


def qwen3() -> Any:
    widths = {"moe_intermediate_size": 8, "mlp_only_layers": [0, 2], "head_dim": 8}
    return t.Qwen3MoeForCausalLM(t.Qwen3MoeConfig(**SMALL, **widths, num_experts=2)).eval()


def deepseek(width: int = 32) -> Any:
    config = t.DeepseekV3Config(**SMALL, **LATENT, **GROUPS, moe_intermediate_size=width)
    return t.DeepseekV3ForCausalLM(config).eval()


def switch() -> Any:
    config = t.SwitchTransformersConfig(
        **SWITCH, num_decoder_layers=2, num_experts=2, num_sparse_encoder_layers=1, num_sparse_decoder_layers=1
    )
    return t.SwitchTransformersForConditionalGeneration(config).eval()


SHARED = "model.layers.{}.mlp.shared_expert"
COUNTED: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "shared": (qwen2, [f"{SHARED.format(i)}.act_fn" for i in range(3)]),
    "shared and dense": (
        lambda: qwen2(32, (1,)),
        [f"{SHARED.format(0)}.act_fn", DENSE.format(1), f"{SHARED.format(2)}.act_fn"],
    ),
    "dense": (qwen3, [DENSE.format(0), DENSE.format(2)]),
    "dense below, shared above": (
        deepseek,
        [DENSE.format(0), *(f"model.layers.{i}.mlp.shared_experts.act_fn" for i in (1, 2))],
    ),
}


@pytest.mark.parametrize("kind", COUNTED)
def test_shared_experts_and_dense_layers_are_counted(kind: str) -> None:
    make, names = COUNTED[kind]
    model = make()
    seen: dict[str, torch.Tensor] = {}
    for name in names:
        model.get_submodule(name).register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
    with relusparsity.track(model) as use, torch.no_grad():
        model(input_ids=torch.arange(12).reshape(2, 6))
    assert [place.name for place in use.places] == names
    for name, layer in zip(names, use.counts(), strict=True):
        assert layer.tokens == 12
        assert layer.unit_tokens.tolist() == (seen[name] > 0).flatten(0, -2).sum(0).tolist()
        assert 0 < layer.token_use() < 1
    experts = "routed experts (model.layers.*.mlp.experts), whose units see chosen tokens only"
    assert use.not_counted == experts and str(use).endswith(f"\nnot counted: {experts}")
    deaths = relusparsity.track_deaths(model, dead_after=12)
    assert str(deaths).endswith(f"\nnot counted: {experts}")
    with relusparsity.track(model, names[0]) as chosen:
        assert not chosen.not_counted, "who chooses layers knows what is left out"


def test_every_stack_of_an_encoder_decoder_is_named() -> None:
    patterns = [f"{side}.block.*.layer.*.mlp.experts" for side in ("encoder", "decoder")]
    model = switch()
    assert routed(model) == patterns
    assert not any(".experts." in place.name for place in relusparsity.track(model).places)
    assert relusparsity.track(t.GPT2LMHeadModel(t.GPT2Config(n_embd=16, n_layer=1, n_head=2))).not_counted == ""


@pytest.mark.parametrize(
    "make",
    [
        lambda: t.MixtralForCausalLM(t.MixtralConfig(**SMALL, num_local_experts=2)),
        lambda: t.OlmoeForCausalLM(t.OlmoeConfig(**SMALL, num_experts=2, eos_token_id=0)),
        lambda: t.GptOssForCausalLM(t.GptOssConfig(**SMALL, num_local_experts=2, head_dim=8)),
    ],
    ids=["mixtral", "olmoe", "gpt-oss"],
)
def test_where_there_is_nothing_else_one_sentence_names_the_experts(make: Callable[[], Any]) -> None:
    model = make()
    with pytest.raises(UserError) as error:
        relusparsity.track(model)
    assert str(error.value) == (
        f"{type(model).__name__} has routed experts (model.layers.*.mlp.experts), whose units see chosen tokens only "
        "and are not counted, and no shared expert or dense layer with an activation module beside them."
    )


def test_a_measurement_says_what_it_left_out(words: Path, tmp_path: Path) -> None:
    folder = saved(qwen2(16), tmp_path / "model")
    data = measured(folder, words, tmp_path / "out", "--rule", "cett=0.2", "--full")
    names = [f"{SHARED.format(i)}.down_proj" for i in range(3)]
    assert data["layer_name"].values.tolist() == names and data.attrs["d_ff"] == 16
    said = results.provenance(data)["not_counted"]
    assert said == "routed experts (model.layers.*.mlp.experts), whose units see chosen tokens only"
    page = html.unescape((tmp_path / "out" / "report.html").read_text())
    assert f"<dt>not counted</dt><dd>{said}</dd>" in page
    assert float(data["loss"][0, 0, -1, 0]) != float(data["baseline_loss"][0, 0]), (
        "units of shared experts were removed"
    )


def test_layers_of_two_widths_are_chosen_before_the_text_is_read(
    words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = saved(deepseek(8), tmp_path / "model")
    command = ["measure", str(folder), "--text", str(words), "--tokens", "512", "--out", str(tmp_path / "out")]
    assert main(command) != 0
    dense, shared = "model.layers.*.mlp.act_fn", "model.layers.*.mlp.shared_experts.act_fn"
    assert (
        "the layers have different widths (32, 8), and one report has layers of one; choose them with --layers: "
        f"{dense!r} or {shared!r}."
    ) in capsys.readouterr().err
    assert measured(folder, words, tmp_path / "chosen", "--layers", shared).sizes["layer"] == 2

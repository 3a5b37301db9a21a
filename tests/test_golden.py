"""Golden runs: what they hold still, and what happens to the names of code that gives other numbers."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from relusparsity import identity
from relusparsity.config import ModelConfig, RunConfig, replace
from relusparsity.counting import metrics
from relusparsity.counting.metrics import rarefied_use
from relusparsity.counting.use import UseTracker
from relusparsity.models.feedforward import MLP
from relusparsity.store import guard
from relusparsity.train import golden, measurements, step


@pytest.fixture(autouse=True)
def forgotten() -> Any:
    guard._meanings.clear()
    yield
    guard._meanings.clear()


def test_this_code_gives_the_golden_numbers_of_its_meaning() -> None:
    """If this fails, results have changed: raise identity.MEANING; python -m relusparsity.train.golden --renew."""
    assert golden.GUARD.differences() == []
    assert golden.meaning() == str(identity.MEANING)


def test_every_choice_of_a_configuration_is_in_one_of_them() -> None:
    runs = [replace(golden._TINY, **changes) for changes in golden.RUNS.values()]
    runs = [run for run in runs if isinstance(run.model, ModelConfig)]
    taken = {
        (part, field, getattr(getattr(run, part), field))
        for run in runs
        for part, fields in (
            (
                "model",
                (
                    "activation",
                    "attention",
                    "norm",
                    "norm_place",
                    "embedding_norm",
                    "positions",
                    "bias",
                    "tied",
                    "init",
                ),
            ),
            ("train", ("optimizer", "schedule")),
            ("intervention", ("kind", "direction", "placebo")),
            ("control", ("kind",)),
            ("prune", ("rule",)),
        )
        for field in fields
    }
    wanted = {
        "activation": ("relu", "gelu", "topk"),
        "attention": ("softmax", "off_by_one", "sink", "sigmoid", "gate", "kv_bias"),
        "norm": ("layernorm", "rmsnorm"),
        "norm_place": ("pre", "post", "parallel"),
        "embedding_norm": (True, False),
        "positions": ("learned", "rotary", "sinusoidal", "none"),
        "bias": (True, False),
        "tied": (True, False),
        "init": ("normal", "xavier", "fan_in"),
        "optimizer": ("adamw", "adafactor", "sgd"),
        "schedule": ("cosine", "rsqrt", "constant"),
        "kind": ("none", "centre", "add"),
        "direction": ("orthogonal", "along"),
        "placebo": (True, False),
    }
    parts = {"optimizer": "train", "schedule": "train"} | dict.fromkeys(
        ("kind", "direction", "placebo"), "intervention"
    )
    controls = {("control", "kind", kind) for kind in ("none", "exchange", "signs", "reflect", "winsorise")}
    others = {(parts.get(field, "model"), field, value) for field, values in wanted.items() for value in values}
    rules = {("prune", "rule", rule) for rule in ("dead", "random")}
    assert taken == others | controls | rules, "but for watch, which changes nothing"


def test_every_number_that_scales_a_weight_or_its_rate_is_set_in_one_of_them() -> None:
    fields = ("position_std", "embedding_std", "mlp_std", "logit_scale")
    wanted = {f"model.{name}" for name in fields}
    wanted |= {f"train.{name}" for name in ("decay_vectors", "embedding_rate", "position_rate", "fc_out_rate")}
    assert wanted <= {name for changes in golden.RUNS.values() for name in changes}


def test_no_firing_hangs_on_a_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    least: list[float] = []

    def built(*given: Any) -> Any:
        model = made(*given)
        for module in model.modules():
            if isinstance(module, MLP):
                module.fc_in.register_forward_hook(lambda _m, _i, out: least.append(float(out.detach().abs().min())))
                if module.top_k is not None:
                    module.fc_in.register_forward_hook(partial(beside, k=module.top_k))
        return model

    def beside(_m: Any, _i: Any, out: torch.Tensor, k: int) -> None:
        stays, goes = out.detach().clamp(min=0).topk(k + 1).values[..., -2:].unbind(-1)
        least.append(float((stays - goes)[stays > 0].min()))

    made = step.build
    monkeypatch.setattr(step, "build", built)
    # on noisy and attacked pictures no firing is counted
    monkeypatch.setitem(golden.RUNS, "vit", golden.RUNS["vit"] | {"measure.predictions": False})
    golden.measured()
    assert min(least) > golden.MARGIN


def fewer_silent(tracker: UseTracker) -> Any:
    return np.array([int((use.unit_tokens <= 1).sum()) for use in tracker.counts()])


@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        (step, "learning_rate", lambda config, tokens: 1.01 * config.lr),
        (metrics, "rarefied_use", lambda *given: rarefied_use(*given) + 0.001),
        (UseTracker, "silent_units", fewer_silent),
        (measurements.Recorder, "_at_the_end", lambda recorder, trainer, final: {}),
        (identity, "MEANING", identity.MEANING + 1),
    ],
)
def test_other_numbers_are_other_names(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, value: Any) -> None:
    before = golden.run_id(RunConfig(), "text")
    monkeypatch.setattr(owner, name, value)  # as a notebook that reloads a module does: the living process notices
    assert golden.GUARD.differences()
    assert golden.run_id(RunConfig(), "text") != before


def test_code_that_is_changed_back_has_its_name_again_unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    before = golden.meaning()
    with monkeypatch.context() as changed:
        changed.setattr(step, "learning_rate", lambda config, tokens: 1.01 * config.lr)
        assert golden.meaning() != before
    monkeypatch.setattr(golden, "measured", lambda: pytest.fail("measured again"))
    assert golden.meaning() == before


def test_other_arithmetic_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.nn.functional, "relu", torch.nn.functional.silu)
    assert golden.GUARD.differences()
    monkeypatch.undo()
    monkeypatch.setattr(measurements.Recorder, "_tokens_per_byte", 0.3)
    assert {said.partition(":")[0] for said in golden.GUARD.differences()} >= {"plain, heldout_bits_per_byte"}


def test_another_default_type_of_numbers_is_another_name() -> None:
    before = golden.run_id(RunConfig(), "text")
    torch.set_default_dtype(torch.float64)
    try:
        assert golden.run_id(RunConfig(), "text") != before
    finally:
        torch.set_default_dtype(torch.float32)
    assert golden.run_id(RunConfig(), "text") == before


def test_another_default_is_another_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golden, "RUNS", {})
    kept = golden._defaults()
    assert set(kept) > {"model.d_ff", "train.lr", "seed"}
    monkeypatch.setattr(golden, "_defaults", lambda: kept | {"train.beta2": "0.999"})
    assert any("train.beta2: 0.999, kept 0.98" in said for said in golden.GUARD.differences())
    monkeypatch.setattr(golden, "_defaults", lambda: kept | {"model.new_field": "0"})
    assert not any("new_field" in said for said in golden.GUARD.differences())


def test_a_comparison_leaves_the_number_of_threads_alone() -> None:
    before = torch.get_num_threads()
    golden.measured()
    assert torch.get_num_threads() == before


def test_processes_read_the_same_text_however_many_they_are() -> None:
    """Shares of 1, 2 and 4 processes, put together, are one batch: the order of the data does not know their number."""
    import numpy as np

    from relusparsity import corpora

    text, config = np.arange(10_000), replace(RunConfig(), **{"train.batch_tokens": 512})
    sequences = config.train.batch_tokens // config.model.seq_len
    for at in (0, 1, 18, 19, 300):
        one = corpora.batch(text, config.model.seq_len, sequences, 5, at)
        for ranks in (2, 4):
            parts = [corpora.batch(text, config.model.seq_len, sequences, 5, at, rank, ranks) for rank in range(ranks)]
            np.testing.assert_array_equal(np.concatenate(parts), one)

"""What a step of training does, and when a run is measured."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures_core import tiny_corpus, tiny_run
from relusparsity.config import TrainConfig
from relusparsity.train import Trainer, measurements
from relusparsity.train.loop import learning_rate

pytestmark = pytest.mark.usefixtures("one_thread")


laws = settings(deadline=None, derandomize=True, max_examples=100)


# The optimisation


def test_gradients_are_clipped_and_their_norm_is_logged() -> None:
    def first_step(clip: float) -> tuple[float, list[torch.Tensor]]:
        trainer = Trainer(
            tiny_run(**{"train.clip": clip, "train.optimizer": "sgd", "train.warmup": 0, "train.weight_decay": 0.0}),
            tiny_corpus(),
            torch.device("cpu"),
        )
        before = [p.detach().clone() for p in trainer.model.parameters()]
        _, norm = trainer.advance()
        return float(norm), [p.detach() - b for p, b in zip(trainer.model.parameters(), before, strict=True)]

    norm, free = first_step(0)
    moved = torch.cat([d.flatten() for d in free]).norm()
    assert float(moved) == pytest.approx(norm * learning_rate(tiny_run(**{"train.warmup": 0}).train, 0), rel=1e-4)
    again, clipped = first_step(norm / 10)
    assert again == pytest.approx(norm)
    for a, b in zip(free, clipped, strict=True):
        torch.testing.assert_close(a / 10, b, rtol=1e-3, atol=1e-7)


RATES = {"train.embedding_rate": 4.0, "train.position_rate": 0.5, "train.fc_out_rate": 0.125}


@pytest.mark.parametrize("vectors", [False, True])
@pytest.mark.parametrize("rates", [{}, RATES])
@pytest.mark.parametrize("optimizer", ["adamw", "adafactor", "sgd"])
def test_a_step_takes_rate_times_decay_off_matrices_and_embeddings_alone(
    optimizer: str, rates: dict[str, float], vectors: bool
) -> None:
    """Without gradients nothing else moves a weight: whatever the momentum, 1 − lr · decay of it is left a step."""
    changes = {"train.optimizer": optimizer, "model.tied": False, "model.positions": "learned"} | rates
    changes |= {"train.decay_vectors": vectors}
    changes |= {"train.weight_decay": 0.5, "train.warmup": 0, "train.schedule": "constant"}
    trainer = Trainer(tiny_run(**changes), tiny_corpus(), torch.device("cpu"))
    before = {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}
    for name, parameter in trainer.model.named_parameters():
        if vectors and parameter.ndim < 2:
            parameter.data += 0.1  # biases begin at 0
            before[name] += 0.1
        parameter.register_hook(torch.zeros_like)
    for _ in range(3):
        trainer.advance()
    for name, parameter in trainer.model.named_parameters():
        left = 1.0 if not vectors and ("norm" in name or "bias" in name) else 0.95**3
        torch.testing.assert_close(parameter.detach(), left * before[name], msg=name)
    kinds = {"adamw": torch.optim.AdamW, "adafactor": torch.optim.Adafactor, "sgd": torch.optim.SGD}
    assert type(trainer.optimizer) is kinds[optimizer]
    if optimizer == "adamw":
        assert trainer.optimizer.defaults["betas"] == (0.9, 0.98)
    if optimizer == "sgd":
        assert trainer.optimizer.defaults["momentum"] == 0.9


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_group_of_its_own_rate_moves_so_much_more_and_the_others_as_before(optimizer: str) -> None:
    """One step without decay: AdamW's and SGD's first update of a weight is proportional to its rate."""

    def moved(**rates: float) -> dict[str, torch.Tensor]:
        changes = {"train.optimizer": optimizer, "model.positions": "learned", "train.weight_decay": 0.0}
        trainer = Trainer(tiny_run(**changes, **rates), tiny_corpus(), torch.device("cpu"))
        before = {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}
        trainer.advance()
        return {name: p.detach() - before[name] for name, p in trainer.model.named_parameters()}

    one, other = moved(), moved(**RATES)
    factors = {"embedding.weight": 4.0, "position_embedding.weight": 0.5}
    factors |= {f"blocks.{layer}.mlp.fc_out.weight": 0.125 for layer in range(2)}
    assert set(factors) < set(one)
    for name, step in one.items():
        torch.testing.assert_close(other[name], factors.get(name, 1.0) * step, rtol=1e-4, atol=1e-7, msg=name)


def test_the_rate_of_the_step_is_the_rate_of_the_schedule() -> None:
    trainer = Trainer(tiny_run(), tiny_corpus(), torch.device("cpu"))
    for step in range(6):
        trainer.advance()
        rates = {group["lr"] for group in trainer.optimizer.param_groups}
        assert rates == {learning_rate(tiny_run().train, 64 * step)}


schedules = st.builds(
    lambda steps, warmup, schedule, lr: TrainConfig(
        tokens=steps * 1024, batch_tokens=1024, warmup=warmup, schedule=schedule, lr=lr
    ),
    st.integers(1, 60),
    st.integers(0, 70 * 1024),
    st.sampled_from(["cosine", "rsqrt", "constant"]),
    st.floats(1e-5, 1.0),
)


@laws
@given(schedules)
def test_the_learning_rate(config: TrainConfig) -> None:
    rates = np.array([learning_rate(config, step * 1024) for step in range(config.steps)])
    done = np.arange(1, config.steps + 1) * 1024.0  # tokens at the end of each step
    rising = done <= config.warmup
    np.testing.assert_allclose(rates[rising], config.lr * done[rising] / max(config.warmup, 1))
    after = rates[~rising]
    assert (after <= config.lr * (1 + 1e-12)).all() and (np.diff(after) <= 1e-15).all()
    if config.schedule == "constant":
        assert (after == config.lr).all()
    if config.schedule == "rsqrt":
        np.testing.assert_allclose(after, config.lr * np.sqrt(max(config.warmup, 1024) / done[~rising]))
    if config.schedule == "cosine" and len(after):
        assert after[-1] == pytest.approx(config.lr / 10), "it ends at a tenth"
        half = (done[~rising] - config.warmup) / max(1, config.tokens - config.warmup)
        np.testing.assert_allclose(after, config.lr * (0.55 + 0.45 * np.cos(np.pi * half)))


@laws
@given(st.integers(1, 5000), st.integers(1, 200))
def test_when_a_run_is_measured(steps: int, points: int) -> None:
    measured = measurements.measured_steps(steps, points)
    assert measured[0] == 0 and measured[-1] == steps
    assert measured == sorted(set(measured)), "in order, none twice"
    even = {round(steps * i / points) for i in range(1, points + 1)} - {0}
    assert even <= set(measured)
    early = [step for step in measured if step not in even]
    assert early == [0, *(2**i for i in range(len(early) - 1))] and all(step < min(even) for step in early)
    assert not early[1:] or 2 * early[-1] >= min(even), "no gap before the first even one"


@laws
@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 40))
def test_when_drift_is_measured_and_of_which_units(d_ff: int, count: int, steps: int) -> None:
    measured = measurements.measured_steps(steps * 7, steps)
    history = measurements.history_steps(measured, count)
    assert len(history) == min(count, len(measured)) and set(history) <= set(measured) and history[0] == 0
    assert history == sorted(history) and (history[-1] == measured[-1] or count == 1)
    units = measurements.history_units(d_ff, count)
    assert len(units) == len(set(units.tolist())) == min(count, d_ff) and units[0] == 0 and units[-1] < d_ff
    gaps = np.diff([*units, d_ff])
    assert gaps.max() - gaps.min() <= 1, "evenly spaced"

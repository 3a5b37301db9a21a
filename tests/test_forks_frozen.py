"""Forks in which a layer's own weights stand still, clipping changes, or some batches move nothing."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fixtures_core import tiny_corpus, tiny_run
from relusparsity import train
from relusparsity.config import replace
from relusparsity.errors import UserError
from relusparsity.fork_config import ForkConfig
from relusparsity.interventions import forks
from relusparsity.train import Run, forking, resuming
from relusparsity.train.step import Trainer
from test_forks import AT, FORK, KEEPS, begun, forked, lines, named, parent  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("one_thread")

OWN = {
    "freeze_input_weights": "blocks.1.mlp.fc_in.weight",
    "freeze_input_biases": "blocks.1.mlp.fc_in.bias",
    "freeze_before": "",
}


@pytest.mark.parametrize("which", list(product((False, True), repeat=3)))
def test_what_is_frozen_keeps_every_bit_and_all_else_moves(parent: Run, which: tuple[bool, ...]) -> None:  # noqa: F811
    fields = [name for name, frozen in zip(OWN, which, strict=True) if frozen]
    free, frozen = begun(parent), begun(parent, **dict.fromkeys(fields, 1))
    before = named(frozen)
    seen: list[torch.Tensor] = []
    batch = torch.from_numpy(tiny_corpus().heldout[:576].astype(np.int64)).view(64, 9)

    def read() -> None:
        with torch.no_grad():
            frozen.model.predict(batch, observe=lambda layer, x, z, a: seen.append(z) if layer else None)

    read()
    assert float(free.advance()[1]) == float(frozen.advance()[1]), "clipped by the same norm"
    for _ in range(3):
        frozen.advance()
    read()
    wanted = {OWN[name] for name in fields} - {""}
    wanted |= forks.upstream(frozen.model, 1) if "freeze_before" in fields else set()
    assert {name for name, value in named(frozen).items() if value.equal(before[name])} == wanted
    assert forks.still(frozen.model, frozen.config.fork) == wanted
    assert torch.equal(*seen) == all(which), "pre-activations are made of these three alone"


def test_without_clipping_the_gradient_is_whole(parent: Run) -> None:  # noqa: F811
    gradients, norms = [], set()
    for own, of_fork in ((0.1, None), (0.1, 0.0), (0.1, 0.02), (0.0, 0.1)):
        config = replace(parent.config, **{"train.clip": own, "fork.tokens": FORK, "fork.clip": of_fork})
        trainer = Trainer(config, tiny_corpus(), torch.device("cpu"))
        forking.begin(trainer, parent.path, parent.path, enabled=False)
        weight = trainer.model.get_parameter("blocks.1.mlp.fc_out.weight")
        start = trainer.optimizer.state[weight]["exp_avg"].clone()
        norms.add(float(trainer.advance()[1]))
        beta = config.train.beta1
        gradients.append((trainer.optimizer.state[weight]["exp_avg"] - beta * start) / (1 - beta))
    (norm,) = norms
    clipped, whole, lower, again = gradients
    assert norm > 0.5 and torch.equal(clipped, again)
    for gradient, by in ((clipped, 0.1), (lower, 0.02)):
        torch.testing.assert_close(gradient, whole * by / norm, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("steps", [37, 250, 1000])
def test_left_out_are_those_that_stand_out_of_their_hundred_or_are_drawn(steps: int) -> None:
    rng = np.random.default_rng(steps)
    norms = np.exp(rng.normal(size=steps)) * np.linspace(1, 30, steps)  # a trend, by which the last would be chosen
    ratio = [norm / float(np.median(norms[at // 100 * 100 : at // 100 * 100 + 100])) for at, norm in enumerate(norms)]
    count = max(1, round(steps / 100))
    largest = forks.left_out(norms, ForkConfig(tokens=1, leave_out="largest"), 3)
    assert largest == set(sorted(range(steps), key=lambda at: -ratio[at])[:count])
    drawn, again, other = (forks.left_out(norms, ForkConfig(tokens=1, leave_out="drawn"), seed) for seed in (3, 3, 4))
    assert drawn == again != other and len(drawn) == len(other) == count and drawn <= set(range(steps))
    assert forks.left_out(norms[::-1], ForkConfig(tokens=1, leave_out="drawn"), 3) == drawn, "whatever the norms"


def norms(run: Run) -> list[float]:
    return [json.loads(line)["gradient_norm"] for line in lines(run)]


@pytest.mark.parametrize("leave_out", ["largest", "drawn"])
def test_a_batch_left_out_moves_nothing_and_is_still_followed(leave_out: str, parent: Run) -> None:  # noqa: F811
    config = replace(parent.config, **{"fork.tokens": FORK, "fork.leave_out": leave_out})
    (at,) = forking.left_out(parent.path, config)
    assert AT <= at < 40
    if leave_out == "largest":
        assert at == AT + int(np.argmax(norms(parent)[AT:]))
    trainer, twin = begun(parent), begun(parent)
    trainer.left_out = {at}
    while trainer.step < at:
        trainer.advance()
        twin.advance()
    before, moments = named(trainer), {n: p.clone() for n, p in _moments(trainer).items()}
    numbers = [each.advance() for each in (trainer, twin)]
    assert all(torch.equal(one, two) for one, two in zip(*numbers, strict=True)), "loss and norm"
    assert all(torch.equal(value, before[name]) for name, value in named(trainer).items())
    assert all(torch.equal(value, moments[name]) for name, value in _moments(trainer).items())
    assert trainer.step == at + 1 and torch.equal(trainer.deaths.last_fired, twin.deaths.last_fired)
    assert not all(torch.equal(value, before[name]) for name, value in named(twin).items())


def _moments(trainer: Trainer) -> dict[str, torch.Tensor]:
    states = trainer.optimizer.state.values()
    return {f"{place}/{name}": value for place, state in enumerate(states) for name, value in state.items()}


def test_a_fork_leaves_out_to_the_bit_also_when_resumed(parent: Run, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    changes = {**KEEPS, "fork.tokens": FORK, "fork.leave_out": "largest"}
    (at,) = forking.left_out(parent.path, replace(parent.config, **{"fork.tokens": FORK, "fork.leave_out": "largest"}))
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(parent.path.parent))
    with monkeypatch.context() as patched:
        add = resuming.Log.add

        def killed(log: Any, step: int, *row: Any) -> None:
            if step == AT + 6:
                raise KeyboardInterrupt
            add(log, step, *row)

        patched.setattr(resuming.Log, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            train.run(tiny_run(**changes), tiny_corpus())
    run = forked(parent, **changes)
    trainer = begun(parent)
    trainer.left_out = {at}
    while trainer.step < 40:
        trainer.advance()
    kept = run.model().state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in named(trainer).items())
    assert lines(run)[: at - AT + 1] == lines(parent)[AT : at + 1] and lines(run) != lines(parent)[AT:]


def test_a_parent_whose_log_is_short_or_lost_is_refused(parent: Run, tmp_path: Path) -> None:  # noqa: F811
    config = replace(parent.config, **{"fork.tokens": FORK, "fork.leave_out": "largest"})
    resuming.sealed.seal(tmp_path / resuming.LOG, "")
    with pytest.raises(UserError, match=r"metrics\.jsonl"):
        forking.left_out(tmp_path, config)
    with resuming.sealed.sealed_write(tmp_path / resuming.LOG) as file:
        file.write_text("\n".join(lines(parent)[:30]) + "\n")
    with pytest.raises(UserError, match=r"ends after step 30, and the fork leaves out .* up to 40; use leave_out"):
        forking.left_out(tmp_path, config)

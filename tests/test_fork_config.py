"""What makes no fork, or does not go with one, is refused in one sentence."""

from typing import Any

import pytest

from fixtures_core import tiny_corpus, tiny_run
from relusparsity import distributed
from relusparsity.errors import UserError
from relusparsity.screens import Screen
from relusparsity.train import loop
from test_forks import ADDED, BATCH, FORK


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"tokens": FORK + 1},
            r"tokens = 1025: expected a multiple of batch_tokens = 64 below the parent's tokens = 2560",
        ),
        ({"tokens": 40 * BATCH}, r"tokens = 2560: expected a multiple of batch_tokens = 64 below"),
        ({"tokens": FORK, "steps": 25}, "steps = 25: after 1024 of its 2560 tokens the parent goes on for 24 steps"),
        ({"tokens": FORK, "freeze_before": 2}, "freeze_before = 2, but the model has 2 layers, counted from 0; choose"),
        ({"tokens": FORK, "freeze_input_weights": 2}, "freeze_input_weights = 2, but the model has 2 layers"),
        ({"tokens": FORK, "freeze_input_biases": 5}, "freeze_input_biases = 5, but the model has 2 layers"),
        ({"tokens": FORK, "clip": 1.0}, "clip = 1.0 is the parent's own; leave it out, or give another"),
        ({"leave_out": "largest"}, "leave_out = largest is not read without a fork"),
        ({"clip": 0.0}, "clip = 0.0 is not read without a fork"),
        ({"freeze_before": 1}, "freeze_before = 1 is not read without a fork; give fork.tokens, or leave"),
        ({"zero_moments": True}, "zero_moments = True is not read without a fork"),
        ({"decay_dead": False}, "decay_dead = False is not read without a fork"),
    ],
)
def test_what_makes_no_fork_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        tiny_run(**{f"fork.{name}": value for name, value in fields.items()})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fork.decay_dead": False, "train.weight_decay": 0.0}, "decay_dead changes nothing with weight_decay = 0"),
        ({"fork.decay_input_biases": True, "train.decay_vectors": True}, "decay_vectors = True decays them already"),
        ({"fork.decay_input_biases": True, "model.bias": False}, "bias = False leaves none"),
        ({"fork.freeze_input_biases": 1, "model.bias": False}, "freeze_input_biases with bias = False, which leaves"),
        ({"fork.freeze_input_weights": 1, "control.kind": "watch"}, "freeze_input_weights with a control of kind = w"),
        ({"fork.freeze_before": 1, **ADDED}, "the intervention into layer 1 moves with a running mean"),
        ({"screens": (Screen(8, "heldout_loss", None, ">", 9.0),)}, "a fork has no screens of its own"),
        ({"fork.freeze_before": 1, "control.kind": "watch"}, "freeze_before with a control of kind = watch"),
        ({"fork.decay_dead": False, "control.kind": "watch"}, "decay_dead = False with a control of kind = watch"),
        ({"measure.earlier": 24}, "earlier = 24, but the run is trained for 24 steps; lower it"),
        ({"train.fork_states": (FORK + 1,)}, "fork_states has 1025: expected multiples of batch_tokens = 64 below"),
        ({"train.fork_states": (40 * BATCH,)}, "fork_states has 2560: expected"),
    ],
)
def test_what_does_not_go_with_a_fork_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        tiny_run(**{"fork.tokens": FORK} | changes)


def test_shares_of_rows_are_refused_where_the_dead_are_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "world", lambda: 2)
    with pytest.raises(UserError, match=r"decay_dead = False\) needs each process to hold whole rows.*shard = False"):
        loop._check(tiny_run(**{"fork.tokens": FORK, "fork.decay_dead": False, "train.shard": True}), tiny_corpus())
    loop._check(tiny_run(**{"fork.tokens": FORK, "train.shard": True}), tiny_corpus())

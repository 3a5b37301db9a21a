"""What removes no units, or does not go with a run, is refused in a sentence; a run that shrank goes on to the bit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fixtures_core import tiny_corpus, tiny_run
from relusparsity.errors import UserError
from relusparsity.train import resuming
from relusparsity.train.step import Trainer
from test_shrinking import AT, BATCH, PRUNES, begun
from train_made import trained

pytestmark = pytest.mark.usefixtures("one_thread")
RANDOM: dict[str, Any] = {"rule": "random", "widths": (16, 16, 8, 8)}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"tokens": (65,)}, r"tokens has 65: expected multiples of batch_tokens = 64 from 0 on and below 2560"),
        ({"tokens": (40 * BATCH,)}, r"tokens has 2560: expected multiples of batch_tokens = 64 from 0 on and below"),
        ({"tokens": AT[::-1]}, r"tokens = \[1536, 1024\]: expected 4 numbers at most, each larger than the one before"),
        ({"tokens": tuple(range(640, 1000, 64))}, "expected 4 numbers at most"),
        ({"tokens": (64,)}, r"tokens has 64: no unit is dead\(n\) before n = dead_after = 128 training tokens"),
        ({"tokens": AT, "multiple": 128}, "a layer of 32 units does not go with prune.multiple = 128, of which widths"),
        ({"tokens": AT, "multiple": 12}, "a layer of 32 units does not go with prune.multiple = 12"),
        ({"tokens": AT, "seed": 1}, "seed = 1 is not read by rule = dead; leave it out"),
        ({"tokens": AT, "widths": (16, 16)}, r"widths = \(16, 16\) is not read by rule = dead"),
        ({"tokens": (), "rule": "random"}, "rule = 'random' is not read without prune.tokens; leave it out"),
        ({"tokens": ()}, "multiple = 4 is not read without prune.tokens"),
        (
            {"tokens": AT, "rule": "random"},
            "widths has 0 numbers: expected 4, one for each of 2 layers after each",
        ),
        ({"tokens": AT, **RANDOM, "widths": (16, 16, 0, 8)}, r"widths = \(16, 16, 0, 8\): expected .* above 0"),
        ({"tokens": AT, **RANDOM, "widths": (16, 16, 18, 8)}, "a layer of 18 units does not go with"),
        ({"tokens": AT, **RANDOM, "widths": (16, 16, 20, 8)}, "20 and 8 after 16 and 16: units are removed, not added"),
        (
            {"tokens": AT, **RANDOM, "widths": (36, 16, 16, 8)},
            "36 and 16 after 32 and 32: units are removed",
        ),
    ],
)
def test_what_removes_no_units_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        tiny_run(**{f"prune.{name}": value for name, value in ({"multiple": 4} | fields).items()})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"control.kind": "watch"}, "prune.tokens with a control of kind = watch: a control follows its units to the"),
        (
            {"fork.tokens": AT[1]},
            "tokens has 1024: expected multiples of batch_tokens = 64 from 1536 on and below",
        ),
    ],
)
def test_what_does_not_go_with_removals_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        tiny_run(**PRUNES | changes)


@pytest.mark.parametrize("step", [16, 20, 30])
def test_from_a_state_before_at_and_after_a_removal_it_goes_on_to_the_bit(step: int, tmp_path: Path) -> None:
    whole, again = begun(step, **PRUNES), Trainer(tiny_run(**PRUNES), tiny_corpus(), torch.device("cpu"))
    resuming.save(whole, tmp_path, "")
    resuming.restore(again, tmp_path)
    assert again.step == step and again.model.widths() == whole.model.widths()
    while whole.step < 40:
        assert whole.advance()[0] == again.advance()[0]
    for one, other in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, other)
    for name, value in whole.deaths.state().items():
        assert torch.equal(value, again.deaths.state()[name]), name
    np.testing.assert_array_equal(whole.axis.removed_at, again.axis.removed_at)
    assert whole.model.widths() != [32, 32]


def test_a_fork_loses_units_from_its_beginning_and_those_gone_are_not_at_risk(tmp_path: Path) -> None:
    keeps = {"train.fork_states": AT[:1], "measure.earlier": 4}
    trained(tmp_path, **keeps)
    changes = PRUNES | keeps | {"fork.tokens": AT[0], "prune.tokens": AT[:1]}
    fork = trained(tmp_path, **changes).dataset
    first, then = fork["width"].values[0], fork["width"].values[1]
    assert first.tolist() == [32, 32] and (then < first).any() and (fork["width"].values[1:] == then).all()
    gone = fork["removed_at"].notnull().values
    assert (fork["fork_last_fired"].values[gone] <= AT[0] - 128).all() and fork["fork_last_fired"].dtype.kind == "i"
    assert (fork["last_fired"].values[gone] == fork["fork_last_fired"].values[gone]).all()
    np.testing.assert_array_equal(fork["silent_at_risk"].sum("silent_steps"), 24 * then)

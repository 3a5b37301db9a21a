"""`track_deaths` beside what training loops do besides: models copied or saved whole, states loaded in the middle."""

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import relusparsity
from any_models import build, inputs
from deaths_job import Two
from deaths_made import assert_same, masks
from relusparsity.errors import UserError

pytest_plugins = ("deaths_made",)  # its fixtures
pytestmark = pytest.mark.usefixtures("one_thread", "no_tracker_is_left_running")


def through_a_file(model: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)  # type: ignore[no-any-return]


@pytest.mark.parametrize("copied", [copy.deepcopy, through_a_file])
@pytest.mark.parametrize("kind", ["opt", "llama", "bert"])
def test_what_a_copy_of_a_watched_model_reads_is_not_counted(kind: str, copied: Callable[[Any], Any]) -> None:
    model = build(kind).train()
    with relusparsity.track_deaths(model, 48) as deaths:
        model(**inputs(kind))
        deaths.step()
        kept = deaths.state_dict()
        other = copied(model)
        other(**inputs(kind))
        assert_same(kept, deaths.state_dict())
        with relusparsity.track_deaths(other, 48) as its_own:  # the copy can be tracked itself
            other(**inputs(kind))
            its_own.step()
    assert its_own.tokens == deaths.tokens
    other(**inputs(kind))
    assert its_own.tokens == deaths.tokens


def test_a_state_loaded_in_the_middle_leaves_nothing_of_what_was_read_before() -> None:
    """As a loop does that goes back to a checkpoint after a spike of the loss, a NaN or an error."""
    firings, model = masks(0, 4), Two()
    with relusparsity.track_deaths(model, 24, "[ab]") as expected:
        for mask in firings:
            model.run(mask)
            expected.step()

    def a_nan() -> None:
        model.run(firings[3] * float("nan"))

    def half_a_call() -> None:
        hook = model.b.register_forward_pre_hook(lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            model.run(firings[3])
        hook.remove()

    for gone in (lambda: model.run(firings[3]), a_nan, half_a_call):
        with relusparsity.track_deaths(model, 24, "[ab]") as deaths:
            for mask in firings[:2]:
                model.run(mask)
                deaths.step()
            kept = deaths.state_dict()
            gone()
            deaths.load_state_dict(kept)
            for mask in firings[2:]:
                model.run(mask)
                deaths.step()
        assert_same(expected.state_dict(), deaths.state_dict())


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("last_fired", [0] * 12, "its last_fired is of type list, not a tensor"),
        ("every", 1, "its every is of type int, not a tensor"),
        ("kept_totals", torch.zeros(1, 5, 2).numpy(), "its kept_totals is of type ndarray, not a tensor"),
        ("tokens", "many", "its tokens is 'many', not a number"),
        ("steps", -1, "its steps is -1, not a number"),
        ("sequences", True, "its sequences is True, not a number"),
        ("widths", "66", "its widths are '66', not numbers of units"),
        ("widths", [6, 0], r"its widths are \[6, 0\], not numbers of units"),
    ],
)
def test_a_damaged_state_is_one_sentence(name: str, value: Any, said: str) -> None:
    model = Two()
    with relusparsity.track_deaths(model, 72, "[ab]") as deaths:
        model.run(masks(0, 1)[0])
        deaths.step()
    kept = deaths.state_dict()
    with pytest.raises(UserError, match=f"the state is damaged: {said}"):
        deaths.load_state_dict(kept | {name: value})
    assert_same(kept, deaths.state_dict())

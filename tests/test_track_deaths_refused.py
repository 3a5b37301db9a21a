"""What `track_deaths` refuses, in a sentence."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import relusparsity
from any_models import build, inputs
from deaths_job import Two
from deaths_made import assert_same, masks
from relusparsity.anymodel import above
from relusparsity.errors import UserError

pytest_plugins = ("deaths_made",)  # its fixtures
pytestmark = pytest.mark.usefixtures("one_thread", "no_tracker_is_left_running")


# Bad input


def other_layers(state: dict[str, Any]) -> dict[str, Any]:
    return state | {"layers": ["x", "b"]}


def other_width(state: dict[str, Any]) -> dict[str, Any]:
    return state | {"widths": [6, 7]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_layers, r"the state has layers = \['x', 'b'\], and this tracker \['a', 'b'\]; load the state"),
        (lambda state: state | {"dead_after": 73}, "the state has dead_after = 73, and this tracker 72"),
        (lambda state: state | {"rule": "other"}, "the state has rule = 'other', and this tracker 'above zero'"),
        (other_width, "its last_fired is of shape"),
        (lambda state: {name: state[name] for name in state if name != "onset"}, "no state of a death tracker"),
        (lambda state: [1, 2], "no state of a death tracker"),
    ],
)
def test_a_state_of_something_else_is_refused(change: Callable[[Any], Any], said: str) -> None:
    model = Two()
    with relusparsity.track_deaths(model, 72, "[ab]") as deaths:
        model.run(masks(0, 1)[0])
        deaths.step()
    kept = deaths.state_dict()
    with pytest.raises(UserError, match=said):
        deaths.load_state_dict(change(kept))
    assert_same(kept, deaths.state_dict())


def test_a_state_of_another_width_is_refused_before_and_after_the_model_ran() -> None:
    one, other = build("opt").train(), build("opt").train()
    for layer in other.model.decoder.layers:
        layer.fc1, layer.fc2 = nn.Linear(16, 24), nn.Linear(24, 16)
    with relusparsity.track_deaths(one, 48) as deaths:
        one(**inputs("opt"))
        deaths.step()
    narrow = relusparsity.track_deaths(other, 48)
    narrow.load_state_dict(deaths.state_dict())
    with pytest.raises(UserError, match="has 24 units, and the state that was loaded 32"), narrow:
        other(**inputs("opt"))
    with relusparsity.track_deaths(other, 48) as narrow:
        other(**inputs("opt"))
        narrow.step()
        with pytest.raises(UserError, match=r"widths = \[32, 32\], and this tracker \[24, 24\]"):
            narrow.load_state_dict(deaths.state_dict())


def test_bad_input_is_one_clear_sentence() -> None:
    model = Two()
    for n in (0, -5, 1.5, True, "many", None):
        with pytest.raises(UserError, match=r"dead_after = .*: expected how many training tokens, 1 or more"):
            relusparsity.track_deaths(model, n)
    with pytest.raises(UserError, match="expected a Rule"):
        relusparsity.track_deaths(model, 8, "[ab]", rule="relu")  # type: ignore[arg-type]
    deaths = relusparsity.track_deaths(model, 8, "[ab]", rule=above(0.1, layers=2))
    with pytest.raises(UserError, match="no training step was counted"):
        deaths.dataset()
    with deaths:
        model.eval()
        model.run(masks(0, 1)[0])
        with pytest.raises(UserError, match=r"no training text yet: run the model in training mode"):
            deaths.step()
        model.train()
        model.run(masks(0, 1)[0])
        with pytest.raises(UserError, match="text was read since the last step"):
            deaths.state_dict()
        deaths.step()
        with pytest.raises(UserError, match="no training text since the last step"):
            deaths.step()
        model(torch.ones(1, 2, 12), stop="after a")
        with pytest.raises(UserError, match="b read 0 tokens and a 2: these are not one stream of text"):
            deaths.step()


def test_not_a_number_and_broken_calls_are_not_reported() -> None:
    model = Two()
    with (
        pytest.raises(FloatingPointError, match="a: an activation is NaN"),
        relusparsity.track_deaths(model, 8, "[ab]"),
    ):
        model(torch.full((1, 2, 12), torch.nan))
    with pytest.raises(UserError, match="not whole"), relusparsity.track_deaths(model, 8, "[ab]") as deaths:
        with pytest.raises(ZeroDivisionError):
            model(torch.ones(1, 2, 12), stop="with an error")
        deaths.step()


def test_layers_of_different_widths_are_counted_and_have_no_dataset() -> None:
    model = build("opt").train()
    first = model.model.decoder.layers[0]
    first.fc1, first.fc2 = nn.Linear(16, 24), nn.Linear(24, 16)
    with relusparsity.track_deaths(model, 48) as deaths:
        model(**inputs("opt"))
        deaths.step()
    assert [len(layer) for layer in deaths.since_fired()] == [24, 32]
    with pytest.raises(UserError, match=r"different widths \(24, 32\).*since_fired"):
        deaths.dataset()

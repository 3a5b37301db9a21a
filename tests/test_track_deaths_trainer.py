"""`TrackDeaths`, the callback of transformers' Trainer: what it calls, in its order, and the Trainer itself."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor
from transformers.trainer_callback import CallbackHandler, TrainerControl, TrainerState

import relusparsity
from any_models import build, inputs
from relusparsity.anymodel.trainer import FILE, TrackDeaths
from relusparsity.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")


def same(state: dict[str, Any], other: dict[str, Any]) -> bool:
    pairs = [(value, other[name]) for name, value in state.items()]
    return all(torch.equal(one, two) if isinstance(one, Tensor) else one == two for one, two in pairs)


def driven(folder: Path, steps: int, callback: TrackDeaths, weights: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the Trainer calls, without the Trainer, which needs accelerate; the weights that it ends with.

    With weights it goes on from the checkpoint that is in the folder after half of the steps.
    """
    model = build("opt").train()
    if weights is not None:
        model.load_state_dict(weights)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    arguments = SimpleNamespace(output_dir=str(folder), resume_from_checkpoint=None)
    state, control = TrainerState(global_step=0 if weights is None else steps // 2), TrainerControl()
    handler = CallbackHandler([callback], model, None, optimizer, None)
    handler.on_train_begin(arguments, state, control)
    while state.global_step < steps:
        torch.manual_seed(state.global_step)  # of dropout; the Trainer itself restores where it was
        for part in (0, 1):  # two passes make a step
            given = inputs("opt", sequences=2, seed=2 * state.global_step + part)
            model(**given, labels=given["input_ids"]).loss.backward()
            if part == 0:
                handler.on_substep_end(arguments, state, control)
        optimizer.step()
        optimizer.zero_grad()
        state.global_step += 1
        handler.on_step_end(arguments, state, control)
        model.eval()
        model(**inputs("opt"))
        model.train()
        if state.global_step % 5 == 0:
            (folder / f"checkpoint-{state.global_step}").mkdir(parents=True)
            handler.on_save(arguments, state, control)
    handler.on_train_end(arguments, state, control)
    return model.state_dict()


def test_the_deaths_lie_beside_the_checkpoint_and_go_on_from_there(tmp_path: Path) -> None:
    whole, first, second = (TrackDeaths(dead_after=64) for _ in range(3))
    driven(tmp_path / "whole", 10, whole)
    weights = driven(tmp_path / "half", 5, first)
    driven(tmp_path / "half", 10, second, weights)
    assert whole.deaths is not None and second.deaths is not None
    state = whole.deaths.state_dict()
    assert state["tokens"] == 10 * 2 * 16 and state["deaths"].sum() > 3
    assert same(state, second.deaths.state_dict())
    assert (tmp_path / "half/checkpoint-10" / FILE).read_bytes() == (
        tmp_path / "whole/checkpoint-10" / FILE
    ).read_bytes()
    assert relusparsity.anymodel.watch.EAGER.watches == 0

    elsewhere = TrackDeaths(dead_after=64, resume_from=tmp_path / "half/checkpoint-5")
    driven(tmp_path / "other", 10, elsewhere, weights)
    assert elsewhere.deaths is not None and same(state, elsewhere.deaths.state_dict())


def test_a_checkpoint_without_deaths_or_with_damaged_ones_is_refused(tmp_path: Path) -> None:
    weights = driven(tmp_path, 5, TrackDeaths(dead_after=64))
    with pytest.raises(UserError, match=r"there is no .*checkpoint-4.deaths.safetensors: name the folder"):
        driven(tmp_path, 8, TrackDeaths(dead_after=64), weights)
    with pytest.raises(UserError, match="the state has dead_after = 64, and this tracker 65"):
        driven(tmp_path, 10, TrackDeaths(dead_after=65), weights)
    file = tmp_path / "checkpoint-5" / FILE
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"deaths.safetensors .*resume from another checkpoint"):
        driven(tmp_path, 10, TrackDeaths(dead_after=64), weights)
    assert relusparsity.anymodel.watch.EAGER.watches == 0


def test_two_on_one_trainer_have_a_file_each_or_are_refused(tmp_path: Path) -> None:
    arguments = SimpleNamespace(output_dir=str(tmp_path), resume_from_checkpoint=None)

    def begin(*callbacks: TrackDeaths, step: int = 0) -> CallbackHandler:
        model, control = build("opt").train(), TrainerControl()
        handler = CallbackHandler(list(callbacks), model, None, None, None)
        handler.on_train_begin(arguments, state := TrainerState(global_step=step), control)
        if not step:
            model(**inputs("opt"))
            state.global_step = 1
            handler.on_step_end(arguments, state, control)
            (tmp_path / "checkpoint-1").mkdir()
            handler.on_save(arguments, state, control)
        handler.on_train_end(arguments, state, control)
        return handler

    soon, late = TrackDeaths(dead_after=16), TrackDeaths(dead_after=64, name="late")
    begin(soon, late)
    files = sorted(path.name for path in (tmp_path / "checkpoint-1").iterdir() if path.suffix == ".safetensors")
    assert files == ["deaths-late.safetensors", FILE]
    again = TrackDeaths(dead_after=64, name="late"), TrackDeaths(dead_after=16)
    begin(*again, step=1)
    for one, other in zip((late, soon), again, strict=True):
        assert one.deaths is not None and other.deaths is not None
        assert same(one.deaths.state_dict(), other.deaths.state_dict())
    with pytest.raises(UserError, match=r"^two TrackDeaths on one Trainer would both write deaths-late.safetensors; "):
        begin(late, TrackDeaths(name="late"), step=1)
    assert relusparsity.anymodel.watch.EAGER.watches == 0, "the first follows nothing any more"
    begin(late, step=1)  # and may be used again
    with pytest.raises(UserError, match=r"^TrackDeaths got name = '../x': expected small letters"):
        TrackDeaths(name="../x")


def test_the_trainer_itself(tmp_path: Path) -> None:
    pytest.importorskip("accelerate", reason="the Trainer needs it: pip install accelerate")
    ids = [inputs("opt", sequences=1, seed=i)["input_ids"][0] for i in range(64)]
    text = [{"input_ids": each, "labels": each} for each in ids]

    def trained(folder: Path, steps: int, resume: bool = False, **more: Any) -> TrackDeaths:
        callback = TrackDeaths(dead_after=128)
        arguments = transformers.TrainingArguments(
            output_dir=str(folder),
            max_steps=steps,
            save_steps=5,
            learning_rate=1e-2,
            lr_scheduler_type="constant",
            use_cpu=True,
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=False,
            **more,
        )
        torch.manual_seed(0)
        model = build("opt").train()
        trainer = transformers.Trainer(model, arguments, train_dataset=text, eval_dataset=text, callbacks=[callback])
        trainer.train(resume_from_checkpoint=resume or None)
        return callback

    accumulated = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
    whole = trained(tmp_path / "whole", 10, **accumulated)
    trained(tmp_path / "half", 5, **accumulated)
    resumed = trained(tmp_path / "half", 10, resume=True, **accumulated)
    evaluated = trained(tmp_path / "evaluated", 10, eval_strategy="steps", eval_steps=2)
    assert whole.deaths is not None and resumed.deaths is not None and evaluated.deaths is not None
    state = whole.deaths.state_dict()
    assert state["tokens"] == 640 and state["steps"] == 10 and state["deaths"].sum() > 3
    assert same(state, resumed.deaths.state_dict())
    assert evaluated.deaths.tokens == 640

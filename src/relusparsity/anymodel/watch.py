"""Watching a model's hidden activations: hooks that come with a `with` block and go with it."""

import contextlib
import threading
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..counting.call import Call
from ..errors import UserError
from . import transforms
from .attach import Choice, Side, bare, find, routed
from .calls import Calls, Told, around, padded
from .layouts import Layouts
from .place import Place, read
from .sharing import Callers

SCRIPT = "a TorchScript module runs no hooks and cannot be watched; give the model it was made of."


class _Eager:
    """Compiled models run uncompiled while anything is watched: the setting is one for the whole process.

    A graph compiled before runs no hooks added later (it does not look for them); one compiled with hooks keeps them.
    """

    def __init__(self) -> None:
        self.watches, self.lock, self.stance = 0, threading.Lock(), contextlib.ExitStack()

    def begin(self) -> None:
        with self.lock:
            if not self.watches:
                self.stance.enter_context(torch.compiler.set_stance("force_eager"))
            self.watches += 1

    def end(self) -> None:
        with self.lock:
            self.watches -= 1
            if not self.watches:
                self.stance.close()


EAGER = _Eager()


class Watch:
    """Shows every hidden activation of a model to `observe`, in the order of the forward call, and changes nothing."""

    def __init__(self, model: nn.Module, choose: Choice | None = None, of: Side = "output") -> None:
        self.model = bare(model)
        if isinstance(self.model, torch.jit.ScriptModule):
            raise UserError(SCRIPT)
        self.places: list[Place] = find(self.model, choose, of)
        experts = [] if choose is not None else routed(self.model)
        self.not_counted = f"routed experts ({', '.join(experts)}), whose units see chosen tokens only" * bool(experts)
        for place in self.places:
            if any(isinstance(self.model.get_submodule(name), torch.jit.ScriptModule) for name in around(place.name)):
                raise UserError(f"{place.name}: {SCRIPT}")
        self.failed = ""
        self._calls = Calls(self.passes_over)
        self._layouts = Layouts(self.model, self.places, self._calls)
        self._callers = Callers(self.model, self.places, self._calls)
        if type(self)._attach is not Watch._attach and len(list(self._callers.first())) < len(self.places):
            raise UserError("layers that share one activation object cannot be cut; choose what reads them.")
        self._lock = threading.Lock()
        self._handles: list[RemovableHandle] = []
        self._undo = contextlib.ExitStack()

    def _rest(self) -> list[str]:
        """The line that says what is not counted, if anything is not."""
        return [f"not counted: {self.not_counted}"] if self.not_counted else []

    def passes_over(self) -> bool:
        """Whether a call of the model that begins now is not to be watched."""
        return False

    def observe(self, layer: int, activation: Tensor, call: Call) -> None:
        """Take one call's activations (sequence, position, unit) of a layer; `call` tells which are padding."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        if self._handles:
            raise UserError("this tracker is running already; make another with track(model).")
        with contextlib.ExitStack() as undo:
            EAGER.begin()
            undo.callback(EAGER.end)
            undo.callback(self._detach)
            self._handles += self._calls.follow(self.model, [place.name for place in self.places])
            self._handles += self._callers.attach() + self._layouts.attach()
            for layer, place in self._callers.first():
                self._handles.append(self._attach(layer, place))
            self._undo = undo.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Watch no longer, whatever was seen; the model is left as it was."""
        self._undo.close()

    def _attach(self, layer: int, place: Place) -> RemovableHandle:
        return read(place, lambda activation: self._see(layer, activation))

    def _detach(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _see(self, layer: int, activation: Any) -> None:
        try:
            call = self._calls.now()
            if call is None:
                return
            layer = self._callers.layer(layer)
            if transforms.active() or torch.is_grad_enabled() or torch.is_inference_mode_enabled():
                # our counts outlive an inference mode, and are no part of what is differentiated
                with transforms.outside(), torch.inference_mode(False), torch.no_grad():
                    self._count(layer, transforms.plain(activation, self.model, 3), call)
            else:
                self._count(layer, activation, call)
        except Exception as error:
            self.failed = self.failed or str(error)
            raise

    def _count(self, layer: int, activation: Any, call: Told) -> None:
        place = self.places[layer]
        if isinstance(activation, Tensor) and activation.is_nested:
            rows = list(activation.unbind())  # without their padding
            lengths = torch.tensor([len(row) for row in rows], device=activation.device)
            activation = nn.utils.rnn.pad_sequence(rows, batch_first=True)
            real = torch.arange(activation.shape[1], device=activation.device) < lengths[:, None]
            call = padded((real.shape[0], real.shape[1]), real, call.continues)
        elif isinstance(activation, Tensor) and activation.ndim == 2 and layer in self._layouts.lone:
            activation = activation[None]
        elif isinstance(activation, Tensor) and activation.ndim == 3:
            shape = activation.shape[0], activation.shape[1]
            if (shape != call.shape or shape[0] == shape[1]) and self._layouts.positions_first(
                layer, shape, call.shape
            ):
                activation = activation.transpose(0, 1)
            elif call.of_mask and shape != call.shape and call.shape is not None and shape[0] == call.shape[0]:
                call = call.of_frames(self.model, place.name, shape[1])
        activation = _shaped(place, activation, call)
        if first := place.uncounted:
            activation = activation[:, first:]
            tokens = None if call.real is None else call.real[:, first:]
            call = padded((activation.shape[0], activation.shape[1]), tokens, call.continues)
        with self._lock:  # threads may call one model
            self.observe(layer, activation, call)


def _shaped(place: Place, activation: Any, call: Told) -> Tensor:
    """The activation as (sequence, position, unit)."""
    counts = isinstance(activation, Tensor) and activation.is_floating_point() and not activation.is_meta
    if not counts or activation.ndim not in (2, 3):
        shape = tuple(activation.shape) if isinstance(activation, Tensor) else type(activation).__name__
        raise UserError(f"{place.name} gives {shape}: expected activations (sequence, position, unit).")
    assert isinstance(activation, Tensor)
    if activation.ndim == 3 and call.shape in (None, (activation.shape[0], activation.shape[1])):
        return activation
    if call.shape is None:
        return activation[:, None]
    sequences, positions = call.shape
    if activation.numel() // activation.shape[-1] != sequences * positions or (
        activation.ndim == 3 and tuple(activation.shape[:2]) != call.shape
    ):
        raise UserError(
            f"{place.name} gives {tuple(activation.shape)} for {sequences} sequences of {positions} tokens; layers "
            "that see some of the tokens only, as experts do, or others beside them, cannot be counted."
        )
    return activation.reshape(sequences, positions, -1)

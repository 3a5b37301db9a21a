"""A watch on parts of a model that are no hidden units: begun and ended with a `with` block, whole or refused."""

import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar

import torch
from torch import nn

from ..errors import UserError
from . import transforms
from .attach import bare
from .calls import Calls, Told
from .watch import EAGER, SCRIPT

T = TypeVar("T")


class Followed:
    """Follows a model's calls and shows what its parts do; the model is left as it was.

    Parameters
    ----------
    model
        Any module; wrappers are looked through.
    names
        Of the modules that are watched, by layer.
    """

    def __init__(self, model: nn.Module, names: list[str]) -> None:
        self.model, self.names = model, names
        self.failed = ""
        self._calls = Calls(lambda: False)
        self._lock = threading.Lock()
        self._undo = contextlib.ExitStack()
        self._inside = False

    @staticmethod
    def module(model: Any) -> nn.Module:
        """The model inside its wrappers.

        Raises
        ------
        UserError
            If it is none, or cannot be watched.
        """
        if not isinstance(model, nn.Module):
            raise UserError(
                f"{model!r} is a {type(model).__name__}: expected a torch.nn.Module, such as a loaded model."
            )
        found = bare(model)
        if isinstance(found, torch.jit.ScriptModule):
            raise UserError(SCRIPT)
        return found

    def begin(self, undo: contextlib.ExitStack) -> None:
        """Attach to the modules, and say how to leave them."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        if self._inside:
            raise UserError("this tracker is running already; make another of the model.")
        with contextlib.ExitStack() as undo:
            EAGER.begin()
            undo.callback(EAGER.end)
            for handle in self._calls.follow(self.model, self.names):
                undo.callback(handle.remove)
            self.begin(undo)
            self._undo = undo.pop_all()
        self._inside = True
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._inside = False
        self._undo.close()
        if kind is None:
            self.whole()

    def whole(self) -> None:
        """Raise UserError if an error stopped a forward call halfway."""
        if self._calls.cut and not self.failed:
            self.failed = "a forward call ended with an error after some of its layers were seen"
        if self.failed:
            raise UserError(f"measuring stopped halfway ({self.failed}); track again.")

    def seen(self, layers: Sequence[T | None], number: Callable[[T], int]) -> list[T]:
        """What was seen of every layer.

        Parameters
        ----------
        number
            How much a layer saw; 0: nothing.

        Raises
        ------
        UserError
            If a layer saw no token, or a call was not seen to its end.
        """
        self.whole()
        for name, use in zip(self.names, layers, strict=True):
            if use is None or not number(use):
                raise UserError(f"{name} has seen no token: run the model inside the with block first.")
        return [use for use in layers if use is not None]

    def see(self, count: Callable[[Told], None]) -> None:
        """Hand the call that is running to what counts it, outside of what is differentiated."""
        try:
            call = self._calls.now()
            if call is None:
                return
            if transforms.active():
                raise UserError("attention and residual streams are not followed through torch.func; call it plainly.")
            with self._lock, torch.inference_mode(False), torch.no_grad():
                count(call)
        except Exception as error:
            self.failed = self.failed or str(error)
            raise

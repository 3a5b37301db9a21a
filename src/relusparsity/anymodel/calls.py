"""Which tokens a model is reading: taken from the arguments of its own forward calls, not from the user."""

import inspect
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..counting.call import Call
from ..counting.layer import Open
from ..errors import UserError
from . import caches, masks, transforms
from .caches import Left, cached_tokens, weak
from .hooks import Hook

INPUTS = ("input_ids", "inputs_embeds")
FEATURES = ("pixel_values", "input_features", "input_values")  # what towers beside the text take
MASK = "attention_mask"
PADDING = ("src_key_padding_mask", "tgt_key_padding_mask")  # of PyTorch's own encoder and decoder: true at padding
# what else holds earlier tokens, and does not tell how many
STATES = ("cache_params", "state", "mems", "cache", "kv_cache", "past", "layer_past")


@dataclass(frozen=True)
class Told(Call):
    """A call, and the arguments that told of it."""

    mask: Any = field(default=None, repr=False, compare=False)
    """The argument that told, by which the same call of a module inside is known."""
    of_mask: bool = False
    """Whether the shape is the mask's, for want of tokens: layers may see fewer positions."""
    tokens: Tensor | None = field(default=None, repr=False, compare=False)
    """The argument with the tokens, by which a module inside is known that is handed them without their mask."""
    cached: int = 0
    """Positions in the cache before the call."""
    _fitted: "dict[int, Told]" = field(default_factory=dict, init=False, repr=False, compare=False)

    def of_frames(self, model: nn.Module, layer: str, positions: int) -> "Told":
        """The call as a layer sees it to which several frames are one position; found once for all layers."""
        if positions not in self._fitted:
            assert self.shape is not None and isinstance(self.mask, Tensor)
            real = None if self.real is None else masks.frames(model, layer, self.real, positions)
            self._fitted[positions] = padded((self.shape[0], positions), real, self.continues)
        return self._fitted[positions]


class Thread(threading.local):
    """The forward calls of one thread; each thread has its own."""

    def __init__(self) -> None:
        self.block: object = None  # the block that the calls are of
        self.open: list[Told] = []  # calls of the modules that take tokens, innermost last
        self.seen = False  # whether a layer has run in the outermost call
        self.left: dict[str, Left] = {}  # what each module's last call left behind
        self.sequences: dict[int, Open] = {}  # those of each layer's last call
        self.queries: dict[int, tuple[int, int]] = {}  # what attention beside a layer was given
        self.inside: dict[nn.Module, tuple[list[int], int]] = {}  # of objects called: layers of the caller, runs in it


class Calls:
    """Follows the calls of the modules that take tokens: the model, its encoder, its decoder."""

    def __init__(self, passes_over: Callable[[], bool]) -> None:
        self.passes_over = passes_over  # whether a call that begins now is nobody's concern
        self.mine = Thread()
        self.block = object()
        self.running: set[int] = set()  # threads in which the model runs
        self.made = False  # whether the model was called
        self.cut = False  # whether an outermost call ended with an error after a layer had run
        self.around: dict[str, tuple[nn.Module, list[str]]] = {}  # those modules, and their parameters

    def follow(self, model: nn.Module, layers: list[str]) -> list[RemovableHandle]:
        """Hook the model and every module around the layers that takes tokens."""
        self.block = object()
        self.running.clear()
        if not self.around:
            names = {name for layer in layers for name in around(layer) if name != layer}
            for name, module in model.named_modules():
                # few modules are asked for their parameters, which takes longer than all the rest
                if name == "" or name in names:
                    parameters = _parameters(module)
                    if name == "" or any(part in parameters for part in INPUTS + FEATURES + PADDING):
                        self.around[name] = module, parameters
        handles = []
        for name, (module, parameters) in self.around.items():
            enter, leave = Hook(partial(self._enter, name, parameters)), Hook(partial(self._leave, name))
            handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
            handles.append(module.register_forward_hook(leave, always_call=True))
        return handles

    def now(self) -> Told | None:
        """The call that a layer runs in; None if it is passed over, or runs again in the backward pass.

        Raises
        ------
        UserError
            If the layer runs in a thread of its own beside the model's call.
        """
        mine = self.mine
        if mine.open and mine.block is self.block:
            mine.seen = True
            return mine.open[-1]
        if torch._C._current_graph_task_id() != -1 or self.passes_over():
            return None
        if self.running:
            raise UserError(
                "a layer runs in another thread than the call of its model, so that its padding is not known; call "
                "the layers in the thread that calls the model."
            )
        _refuse_records()
        return Told()  # a part of the model, called by itself

    def _enter(
        self, name: str, parameters: list[str], module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        mine = self.mine
        if mine.block is not self.block:
            mine.block, mine.open = self.block, []
        outer = mine.open[-1] if mine.open else None
        if outer is None:
            if torch._C._current_graph_task_id() != -1 or self.passes_over():
                return  # in the first case the whole model runs again, for its gradients
            _refuse_records()
            mine.seen = False
            mine.inside.clear()
            mine.queries.clear()
            self.running.add(threading.get_ident())
            self.made = True
        mine.open.append(Told())  # whatever happens now, leaving removes one
        given = dict(zip(parameters, args, strict=False)) | kwargs
        if all(part in parameters for part in PADDING):  # those of nn.Transformer go to its encoder and decoder
            given = {key: value for key, value in given.items() if key not in PADDING}
        if transforms.active():
            with transforms.outside():
                ranks = {key: 3 if key == INPUTS[1] else 2 for key in given}
                given = {key: transforms.plain(value, module, ranks[key]) for key, value in given.items()}
                mine.open[-1] = self._told(name, given, outer)
        else:
            mine.open[-1] = self._told(name, given, outer)

    def _told(self, name: str, given: dict[str, Any], outer: Told | None) -> Told:
        """What a module's arguments tell of its call."""
        mine = self.mine
        cache = given.get(caches.NAME)
        cached = cached_tokens(cache)
        continues = cached > 0 and mine.left.get(name, Left()).is_in(cache, cached)
        held = None if any(given.get(state) is not None for state in STATES) else cached
        call = _call(given, outer, continues, held)
        if call is not outer and cached:
            call = replace(call, cached=cached)
        if call.shape is not None:
            mine.left[name] = Left(weak(cache), cached + call.shape[1])
        return call

    def _leave(self, name: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        mine = self.mine
        if mine.block is not self.block or not mine.open:
            return
        mine.open.pop()
        if name in mine.left:
            mine.left[name].close(output)
        if not mine.open:
            self.running.discard(threading.get_ident())
            # torch calls this inside its except clause, with no output, if the call has failed
            self.cut |= mine.seen and output is None and sys.exc_info()[0] is not None


def _refuse_records() -> None:
    """Raise UserError where operations are written down, by torch.jit, torch.export or a CUDA graph, or not run."""
    modes = torch._C._TorchDispatchModeKey
    if (
        torch.jit.is_tracing()
        or torch._C._get_dispatch_mode(modes.PROXY) is not None
        or torch._C._get_dispatch_mode(modes.FAKE) is not None
        or (torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing())
    ):
        raise UserError(
            "the model is being traced, exported or captured, which would make the counts a part of the result; do it "
            "before the with block."
        )


def around(layer: str) -> list[str]:
    """Names of the modules around a layer, and its own, from the outermost; the model itself left out."""
    return [layer[:at] for at, letter in enumerate(layer) if letter == "."] + [layer]


def _parameters(module: nn.Module) -> list[str]:
    try:
        return list(inspect.signature(module.forward).parameters)
    except (TypeError, ValueError):
        return []


def _call(given: dict[str, Any], outer: Told | None, continues: bool, cached: int | None) -> Told:
    tokens = next((given[name] for name in INPUTS if isinstance(given.get(name), Tensor)), None)
    mask = given.get(MASK)
    own = [given[name] for name in PADDING if name in given]
    if len(own) == 1 and isinstance(own[0], Tensor) and own[0].ndim == 2:
        mask = own[0] == 0
    shape: tuple[int, int] | None = None
    if tokens is not None:
        # input_ids (…, position) of one sequence may lack their first dimension
        positions = tokens.shape[-1] if "input_ids" in given and tokens is given["input_ids"] else tokens.shape[-2]
        shape = (tokens.numel() // positions if tokens.ndim < 3 else len(tokens), positions)
    elif mask is None:
        features = any(isinstance(given.get(name), Tensor) for name in FEATURES)
        # a tower of images beside a text has no padding; one of sounds has that of the mask beside them
        return outer if outer is not None and (outer.of_mask or not features) else Told()
    if mask is None:
        if outer is not None and outer.tokens is tokens and outer.shape == shape and outer.continues == continues:
            return outer  # a module inside that mixes padding in, as FNet's, is not told of it
        if outer is None or outer.mask is None:
            masks.refuse_others(given, shape)
        return Told(shape, continues=continues, tokens=tokens)
    if outer is not None and outer.mask is mask and shape in (None, outer.shape) and outer.continues == continues:
        return outer  # the model hands its arguments on to the module inside: its padding is known
    handed = None if given.get("decoder_input_ids") is tokens else tokens  # a decoder's has another mask
    real = masks.real(mask, shape, cached)
    if real is None and outer is not None and (tokens is None or outer.shape == shape):
        return outer  # made by the model of the mask that it was given
    if real is None:
        what = f"shape {tuple(mask.shape)}" if isinstance(mask, Tensor) else f"type {type(mask).__name__}"
        raise UserError(
            f"an attention_mask of {what} does not tell padding from tokens; expected (sequence, position), "
            "(sequence, 1, position, position in the cache), or none."
        )
    return padded(shape or (real.shape[0], real.shape[1]), real, continues, mask, shape is None, handed)


def padded(
    shape: tuple[int, int],
    real: Tensor | None,
    continues: bool,
    mask: Any = None,
    of_mask: bool = False,
    tokens: Tensor | None = None,
) -> Told:
    lengths = None if real is None else real.sum(1).cpu()
    if lengths is None or bool((lengths == shape[1]).all()):
        return Told(shape, None, None, continues, mask, of_mask, tokens)
    return Told(shape, real, lengths, continues, mask, of_mask, tokens)

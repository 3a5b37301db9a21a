"""Queries and keys on their way: shown where transformers hands out its attention functions, or PyTorch's is called."""

import contextlib
import inspect
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ..attention import Scores
from ..errors import UserError
from ..models import attention, encoder_decoder
from .hooks import Hook

KNOWN = ("sdpa", "eager")
"""Implementations of which it is known what they do with what they are given."""
OURS = (attention.Attention, encoder_decoder.Attention)
OTHERS = ("key_value_states", "encoder_hidden_states")
"""What transformers calls another sequence that is attended to."""


@dataclass(frozen=True)
class Seen:
    """One call of an attention function."""

    q: Tensor
    """(sequence, head, query, width)."""
    k: Tensor
    """(sequence, group, key, width)."""
    v: Tensor
    """(sequence, group, key, value width)."""
    scores: Scores
    out: Tensor
    """(sequence, query, head, value width): what the model computed."""
    dropped: bool
    """Whether dropout was at work, so that the output is not that of the weights."""
    sink_value: Tensor | None = None
    """(head, value width): what a sink's share is multiplied with; None: nothing, it adds nothing to the output."""


See = Callable[[Seen], None]


def attentions(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules of a model whose queries and keys can be seen, with their names, those to other sequences too."""
    for name, module in model.named_modules():
        code = getattr(inspect.unwrap(type(module).forward), "__code__", None)
        if isinstance(module, OURS) or "get_interface" in getattr(code, "co_names", ()):
            yield name, module


class _Handed:
    """While anything is watched, transformers hands out its attention functions with ours around them.

    So a model keeps its own function and the masks made for it, and its configuration is not touched.
    """

    def __init__(self) -> None:
        self.lock, self.watched = threading.Lock(), dict[nn.Module, list[See]]()
        self.kind: Any = None
        self.before: Callable[..., Any] | None = None

    def begin(self, module: nn.Module, see: See) -> None:
        with self.lock:
            if not self.watched:
                from transformers.modeling_utils import AttentionInterface

                self.kind, self.before = AttentionInterface, AttentionInterface.get_interface
                self.kind.get_interface = _handing(self.before)
            self.watched[module] = [*self.watched.get(module, []), see]

    def end(self, module: nn.Module, see: See) -> None:
        with self.lock:
            left = [each for each in self.watched[module] if each is not see]
            self.watched[module] = left
            if not left:
                del self.watched[module]
            if not self.watched:
                self.kind.get_interface = self.before


HANDED = _Handed()


def _handing(before: Callable[..., Any]) -> Callable[..., Any]:
    def get_interface(self: Any, name: str, default: Callable[..., Any]) -> Callable[..., Any]:
        found: Callable[..., Any] = before(self, name, default)
        return partial(_shown, found, "eager" if found is default else name)

    return get_interface


def _shown(
    found: Callable[..., Any],
    name: str,
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any = None,
    *rest: Any,
    **named: Any,
) -> Any:
    watching = HANDED.watched.get(module, ())
    if watching and (name not in KNOWN or rest):
        raise UserError(
            f"{type(module).__name__} computes attention by {name}, whose weights are not known; load the model with "
            "attn_implementation='sdpa' or 'eager'."
        )
    made = found(module, query, key, value, attention_mask, *rest, **named)
    for see in watching:
        see(_of_transformers(name, module, (query, key, value), attention_mask, named, made[0]))
    return made


def _of_transformers(
    name: str, module: nn.Module, given: tuple[Tensor, Tensor, Tensor], mask: Any, named: dict[str, Any], out: Tensor
) -> Seen:
    q, k, v = given
    scale = named.get("scaling")
    causal = named.get("is_causal")
    causal = getattr(module, "is_causal", True) if causal is None else causal
    scores = Scores(
        scale=q.shape[-1] ** -0.5 if scale is None else float(scale),
        causal=bool(name != "eager" and causal and mask is None and q.shape[2] > 1),
        mask=None if mask is None else mask[..., : k.shape[2]],
        bias=named.get("position_bias"),
        softcap=named.get("softcap"),
        sink=named.get("s_aux"),
    )
    return Seen(q, k, v, scores, out, bool(named.get("dropout")))


class _Plain(TorchFunctionMode):
    """Shows what PyTorch's own attention function is given."""

    def __init__(self, see: See) -> None:
        super().__init__()
        self.see = see

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        out = func(*args, **named)
        if func is F.scaled_dot_product_attention:
            q, k, v = args
            scale = named.get("scale")
            scores = Scores(
                scale=q.shape[-1] ** -0.5 if scale is None else scale,
                causal=bool(named.get("is_causal")),
                mask=named.get("attn_mask"),
            )
            self.see(Seen(q, k, v, scores, out.transpose(1, 2), bool(named.get("dropout_p"))))
        return out


def show(module: nn.Module, see: See) -> Callable[[], None]:
    """Let what an attention module computes be seen, until what this returns is called.

    A module that attends to another sequence is refused when it runs.
    """
    if isinstance(module, attention.Attention):
        hook = Hook(lambda arm, given, out: see(_of_arm(arm, given, out)))
        return module.arm.register_forward_hook(hook).remove
    if not isinstance(module, OURS):
        HANDED.begin(module, see)
        handle = module.register_forward_pre_hook(Hook(_itself), with_kwargs=True)

        def end() -> None:
            handle.remove()
            HANDED.end(module, see)

        return end
    open_modes = threading.local()

    def enter(_: nn.Module, __: Any) -> None:
        open_modes.now = _Plain(see)
        open_modes.now.__enter__()

    def leave(*_: Any) -> None:
        if (mode := getattr(open_modes, "now", None)) is not None:
            open_modes.now = None
            mode.__exit__(None, None, None)

    before = module.register_forward_pre_hook(Hook(enter))
    after = module.register_forward_hook(Hook(leave), always_call=True)

    def end_both() -> None:
        before.remove()
        after.remove()

    return end_both


@torch.no_grad()
def weights(modules: Iterable[nn.Module], call: Callable[[], object]) -> list[Tensor]:
    """Attention weights of each of these modules in one call of their model: (sequence, head, query, key), float64.

    They are held whole; for a text that is long `Scores.blocks` gives them a part at a time.
    """
    kept: list[list[Seen]] = []
    with contextlib.ExitStack() as undo:
        for module in modules:
            kept.append([])
            undo.callback(show(module, kept[-1].append))
        call()
    return [torch.cat([block.weights for block in of.scores.blocks(of.q, of.k, block=sys.maxsize)]) for (of,) in kept]


def _of_arm(arm: attention.Softmax, given: tuple[Tensor, Tensor, Tensor], out: Tensor) -> Seen:
    """What an arm of our attention made of its queries, keys and values."""
    q, k, v = given
    how: dict[str, Any] = {}
    if isinstance(arm, attention.OffByOne):
        how["sink"] = q.new_zeros(q.shape[1])
    elif isinstance(arm, attention.Sink):
        how["sink"] = arm.logit
    elif isinstance(arm, attention.KeyAndValue):
        how["sink_key"] = arm.key
    elif isinstance(arm, attention.Sigmoid):
        how["sigmoid"] = arm.bias
    scores = Scores(scale=q.shape[-1] ** -0.5, causal=arm.causal, **how)
    return Seen(q, k, v, scores, out.transpose(1, 2), False, getattr(arm, "value", None))


def _itself(module: nn.Module, _: Any, named: dict[str, Any]) -> None:
    for name in OTHERS:
        if named.get(name) is not None:
            raise UserError(f"{type(module).__name__} was given {name}: it attends to another sequence.")


def difference(seen: Seen, first: int, first_key: int, real: Tensor | None, rows: int = 8) -> tuple[float, float]:
    """Largest difference of the model's output from that of our weights, and largest output, at the last queries.

    Parameters
    ----------
    first, first_key
        Positions of the first query and of the first key.
    real : (sequence, query)
        Which queries are tokens; None: all.
    """
    queries = seen.q.shape[2]
    at = slice(max(0, queries - rows), queries)
    part = {name: getattr(seen.scores, name) for name in ("mask", "bias")}
    part = {name: x if x is None or x.shape[2] == 1 else x[:, :, at] for name, x in part.items()}
    scores = Scores(**(vars(seen.scores) | part))
    apart = largest = 0.0
    for block in scores.blocks(seen.q[:, :, at], seen.k, first + at.start, first_key):
        low = int(block.j[0]) - first_key
        v = seen.v[block.sequences, :, None, low : low + len(block.j)].to(block.weights.dtype)
        ours = (block.weights.unflatten(1, (v.shape[1], -1)) @ v).flatten(1, 2).transpose(1, 2)
        if seen.sink_value is not None:
            ours = ours + (1 - block.weights.sum(-1)).transpose(1, 2)[..., None] * seen.sink_value.to(ours.dtype)
        theirs = seen.out[block.sequences, at][:, block.queries].to(ours.dtype)
        if real is not None:
            tokens = real[block.sequences, at][:, block.queries, None, None]
            ours, theirs = torch.where(tokens, ours, 0.0), torch.where(tokens, theirs, 0.0)
        apart = max(apart, float((ours - theirs).abs().max()))
        largest = max(largest, float(theirs.abs().max()))
    return apart, largest

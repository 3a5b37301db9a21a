"""What a module does to single numbers, found by trying: an activation is known by what it does, not by its name."""

import copy
import warnings
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

Curve = Literal["relu", "smooth", "gate", "straight"]

APART = (-20.0, -5.0, -1.0, -0.25, 0.25, 1.0, 5.0, 20.0, 1000.0)  # far enough apart for the slopes between them
GIVEN = APART + tuple(sign * 10.0**power for power in (-6, -4, -3, -2, -1) for sign in (-1, 1))
SMALL = 1e-3
WIDTH = 7  # of inputs to modules without a parameter a unit


class Curves:
    """The curves of a model's modules; of several that are alike, one is tried."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.known: dict[Any, Curve | None] = {}

    def __call__(self, module: nn.Module) -> Curve | None:
        held = _held(module)
        if held is None:
            return None
        traits: tuple[Any, ...] = (type(module), *(each.shape for each in held))
        for name, value in vars(module).items():
            if not name.startswith("_") and name != "training":
                simple = value is None or isinstance(value, (bool, int, float, str))
                numbers = isinstance(value, tuple) and all(isinstance(each, int) for each in value)
                traits += (name, type(value), value if simple or numbers else id(value))
        if traits not in self.known:
            found = curve(module, self.device)
            if found is not None and held:  # the next may hold other numbers
                return found
            self.known[traits] = found
        return self.known[traits]


@torch.no_grad()
def curve(module: nn.Module, device: torch.device) -> Curve | None:
    """How a module maps each number by itself: the same shape comes out, and no number depends on another.

    relu: zero for every negative input; smooth: an activation that is not; gate: one that has bounds, as a sigmoid, and
    is not silent below zero; straight: a line, as dropout's when nothing is trained, which is no activation. None: it
    mixes units or positions, or is made for other inputs.
    """
    own = _held(module)
    if own is None:
        return None
    device = own[0].device if own else device
    device = torch.device("cpu") if device.type == "meta" else device
    vectors = [*own, *(each for each in vars(module).values() if isinstance(each, Tensor))]
    widths = {length[0] for each in vectors if len(length := _lengths(each)) == 1} or {WIDTH}
    twin = _twin(module)
    # nobody's random numbers are used up, and nobody hears of what was only tried
    with torch.random.fork_rng([device] if device.type == "cuda" else []), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for width in sorted(widths, reverse=True):
            rows = torch.tensor(GIVEN, device=device)[:, None].repeat(1, width)
            for given in (rows[None], rows):  # (sequence, position, unit); some take (token, unit) only
                try:
                    out = _tried(twin, given)
                except Exception:  # code of any kind, with inputs that it may not be made for
                    continue
                return None if out is None else _kind(out.reshape(len(GIVEN), width).double().cpu())
    return None


def _tried(module: nn.Module, given: Tensor) -> Tensor | None:
    """What comes out, if every number depends on one number only."""
    few = given[..., ::5, :].contiguous()
    one = _given(module, few)
    some = torch.rand(few.shape, generator=torch.Generator("cpu").manual_seed(0), device="cpu").to(given.device) < 0.5
    for changed in (some, ~some):
        other = _given(module, torch.where(changed, few + 0.37, few))
        if bool(((one != other) & (one == one) & ~changed).any()):  # NaN is no other number
            return None
    return _given(module, given)


def _given(module: nn.Module, given: Tensor) -> Tensor:
    out = module.forward(given.clone())  # no hooks; and some write into their input
    if not isinstance(out, Tensor) or out.shape != given.shape or not out.is_floating_point():
        raise ValueError("not one number for each")
    return out


def _kind(by_input: Tensor) -> Curve | None:
    """Of the outputs (input, unit) for `GIVEN`."""
    if bool(by_input.isnan().all()):
        return None
    if bool((by_input[torch.tensor(GIVEN, device="cpu") < 0] == 0).all()):
        return "relu" if bool(by_input.any()) else None
    slopes = by_input[: len(APART)].diff(dim=0) / torch.tensor(APART, device="cpu").double().diff()[:, None]
    spread = slopes.amax(0) - slopes.amin(0)
    if bool((spread <= 0.01 * slopes.abs().amax(0)).all()):
        return "straight"
    silent = by_input[[0, len(APART)]].abs() < SMALL  # far below zero, and next to it
    return "gate" if bool((slopes[-1].abs() < SMALL).all()) and not bool(silent.all()) else "smooth"


def _held(module: nn.Module) -> list[Tensor] | None:
    """Parameters and buffers of a module that may be tried.

    None: it is made of others, holds a matrix, which mixes units, or codes, which may take harm.
    """
    if module._modules or isinstance(module, torch.jit.ScriptModule):
        return None
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    return own if all(_is_plain(each) for each in own) else None


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is a number, or numbers of one dimension."""
    if type(tensor) not in (Tensor, nn.Parameter) or is_lazy(tensor):
        return False
    return tensor.numel() == 1 or (tensor.is_floating_point() and len(_lengths(tensor)) <= 1)


def _lengths(tensor: Tensor) -> list[int]:
    return [length for length in tensor.shape if length > 1]


def _twin(module: nn.Module) -> nn.Module:
    """The module as it is when nothing is trained, in float32; what it keeps of our inputs, the module does not see."""
    twin = copy.copy(module)
    state: dict[str, Any] = vars(twin)
    for kind in ("_parameters", "_buffers"):
        state[kind] = {name: each if each is None else _copied(each) for name, each in state[kind].items()}
    twin.training = False
    return twin


def _copied(tensor: Tensor) -> Tensor:
    if tensor.is_meta:  # of a model without weights, to look at
        return torch.full_like(tensor, 0.5, device="cpu")
    return (tensor.float() if tensor.is_floating_point() else tensor).clone()

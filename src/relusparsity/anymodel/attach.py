"""Where the hidden activations of a model's MLPs are: found by the model's structure, or chosen by name or function."""

import fnmatch
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from ..errors import UserError
from ..model import Decoder
from .sharing import occurrences

Side = Literal["output", "input", "product"]
Choice = str | Callable[[str, nn.Module], bool]

ACTIVATION = re.compile(r"act|relu|gelu|silu|swish|mish|laplace|softplus", re.IGNORECASE)
GATE = re.compile(r"gate|wi_0|^Wi$")
# the layer that reads the hidden activations, by the names it has in transformers
DOWN = re.compile(r"fc2|c_proj|dense_4h_to_h|wo|down_proj|ffn_output|lin2|fc_out|w2", re.IGNORECASE)
PROBE = (-20.0, -5.0, -1.0, -0.1, -1e-3, 1.0, 3.0)


@dataclass(frozen=True)
class Place:
    """One layer of hidden units: a module whose output (or input) is (sequence, position, unit)."""

    name: str
    """Path of the module in the model."""
    module: nn.Module
    of: Literal["output", "input"]
    """Which side of the module is the hidden activation."""
    kind: Literal["relu", "smooth", "other"]
    """relu: zero for every negative input; smooth: an activation that is not; other: chosen, not an activation."""
    gated: bool
    """Whether act(gate) is multiplied by a second projection; an output is act(gate), an input act(gate) · up."""

    def __str__(self) -> str:
        what = f"input of {type(self.module).__name__}" if self.of == "input" else type(self.module).__name__
        gate = (", act(gate)" if self.of == "output" else ", act(gate) · up") if self.gated else ""
        return f"{self.name} ({what}{gate})"


def bare(model: nn.Module) -> nn.Module:
    """The model inside torch.compile's and DistributedDataParallel's wrappers."""
    while True:
        if isinstance(model, nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
            model = inner
        else:
            return model


def find(model: nn.Module, choose: Choice | None = None, of: Side = "output") -> list[Place]:
    """The layers of hidden units, in the order of the model's modules.

    Parameters
    ----------
    model
        Any module; wrappers are looked through.
    choose
        None: activation modules in numbered blocks, one a block (OPT, GPT-2, GPT-NeoX, T5, BERT, ViT, Llama and their
        like; in gated MLPs this is act(gate), before it is multiplied by the other projection), and this package's
        own decoder. A pattern such as ``"*.mlp.act"`` (``*`` stands for anything), or a function of name and module.
    of
        Whether a chosen module's output or its first input is the hidden activation. "product" stands for what the
        next layer reads, act(gate) · up in gated MLPs, found by structure.

    Raises
    ------
    UserError
        If nothing is found, or the choice is ambiguous or nested.
    """
    if not isinstance(model, nn.Module):
        raise UserError(f"{model!r} is a {type(model).__name__}: expected a torch.nn.Module, such as a loaded model.")
    model = bare(model)
    if of not in ("output", "input", "product"):
        raise UserError(f"of = {of!r}: expected 'output', 'input' or 'product'.")
    if choose is not None and of == "product":
        raise UserError("of = 'product' goes without a choice; give of='input' and the layers after the product.")
    if choose is not None:
        return _chosen(model, choose, "input" if of == "input" else "output")
    if of == "input":
        raise UserError("of = 'input' says which side of chosen layers to read; choose them too, with a pattern.")
    if isinstance(model, Decoder):
        kind: Literal["relu", "smooth"] = "relu" if model.config.activation == "relu" else "smooth"
        return [
            Place(name, module.fc_out, "input", kind, False)
            for name, module in ((f"blocks.{i}.mlp.fc_out", mlp) for i, mlp in enumerate(model.mlps()))
        ]
    places = _by_structure(model)
    return [_after(model, place) for place in places] if of == "product" else places


def _after(model: nn.Module, place: Place) -> Place:
    """The layer that reads a place's units: beside the activation, after it in a Sequential, or in BERT's output."""
    path, _, last = place.name.rpartition(".")
    parent = model.get_submodule(path)
    named = dict(parent.named_children())
    found = [name for name, child in named.items() if _is_linear(child) and DOWN.fullmatch(name)]
    if not found and isinstance(parent, nn.Sequential):
        order = list(named)
        after = order[order.index(last) + 1 :]
        found = [name for name in after if _is_linear(named[name])][:1]
    if len(found) == 1:
        return Place(f"{path}.{found[0]}".lstrip("."), named[found[0]], "input", place.kind, place.gated)
    beside = f"{path.rpartition('.')[0]}.output.dense"  # BERT and its kin
    if dict(model.named_modules()).get(beside) is None:
        raise UserError(f"which layer reads the units of {place.name} is not known; give it with of='input'.")
    return Place(beside, model.get_submodule(beside), "input", place.kind, place.gated)


def _by_structure(model: nn.Module) -> list[Place]:
    blocks: dict[str, list[Place]] = {}
    experts = []
    for name, module in occurrences(model):
        if not _is_activation(module) or not (numbers := list(re.finditer(r"(?:^|\.)\d+(?=\.|$)", name))):
            continue  # poolers and heads stand outside the numbered blocks
        parent = model.get_submodule(name.rpartition(".")[0])
        if "experts" in name.split("."):
            experts.append(name)
        elif any(_is_linear(child) for child in parent.children()):
            blocks.setdefault(name[: numbers[-1].end()], []).append(_place(model, name, module))
    if experts:
        raise UserError(
            f"{type(model).__name__} has mixtures of experts ({experts[0]}, …), whose units see chosen tokens only and "
            "are not counted; choose other layers with a pattern, such as '*.shared_expert.act_fn'."
        )
    several = [places for places in blocks.values() if len(places) > 1]
    if several:
        names = ", ".join(place.name for place in several[0])
        raise UserError(f"one block has several activations ({names}); choose one of them with a pattern.")
    found = [places[0] for places in blocks.values()]
    if not found:
        leaves = sorted({type(m).__name__ for m in model.modules() if not list(m.children())})
        raise UserError(
            f"{type(model).__name__} has no MLP with an activation module in a numbered block (its parts: "
            f"{', '.join(leaves)}); name the layers with a pattern, with of='input' for the layer after the activation."
        )
    return found


def _chosen(model: nn.Module, choose: Choice, of: Literal["output", "input"]) -> list[Place]:
    named = [(name, module) for name, module in occurrences(model) if name]
    if isinstance(choose, str):
        found = [(name, module) for name, module in named if fnmatch.fnmatchcase(name, choose)]
        what = f"the pattern {choose!r}"
    elif callable(choose):
        found = [(name, module) for name, module in named if choose(name, module)]
        what = "the function"
    else:
        raise UserError(f"layers are chosen by {choose!r}: expected a pattern or a function of name and module.")
    if not found:
        some = ", ".join(name for name, module in named if not list(module.children()))
        raise UserError(f"{what} matches no module of {type(model).__name__}; it has {_short(some)}.")
    names = {name for name, _ in found}
    for name in names:
        inside = next((other for other in names if other.startswith(f"{name}.")), None)
        if inside:
            raise UserError(f"{what} matches too much: {name} and, inside it, {inside}; match one module a layer.")
    blocks: dict[str, str] = {}
    for name in names if isinstance(choose, str) else ():
        numbers = list(re.finditer(r"(?:^|\.)\d+(?=\.|$)", name))
        other = blocks.setdefault(name[: numbers[-1].end()], name) if numbers else name
        if other != name:
            both = " and ".join(sorted((other, name)))
            raise UserError(
                f"{what} matches too much: {both} of one block; match one module a layer, or choose with a function."
            )
    return [_place(model, name, module, of) for name, module in found]


def _short(text: str, most: int = 300) -> str:
    return text if len(text) <= most else text[:most].rpartition(",")[0] + ", …"


def _place(model: nn.Module, name: str, module: nn.Module, of: Literal["output", "input"] = "output") -> Place:
    parent = model.get_submodule(name.rpartition(".")[0])
    gated = any(GATE.search(child) for child, _ in parent.named_children()) and of == "output"
    if of == "input" or not _is_activation(module):
        return Place(name, module, of, "other", False)
    return Place(name, module, of, "relu" if _is_zero_below(module) else "smooth", gated)


def _is_activation(module: nn.Module) -> bool:
    kind = type(module).__name__
    return not list(module.children()) and bool(ACTIVATION.search(kind))


def _is_linear(module: nn.Module) -> bool:
    """nn.Linear, GPT-2's Conv1D, a quantised or adapted one: anything with one matrix."""
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D" or "Linear" in type(module).__name__


@torch.no_grad()
def _is_zero_below(module: nn.Module) -> bool:
    """Whether negative inputs give exactly zero, found by trying."""
    parameter = next(module.parameters(), None)
    like = parameter if parameter is not None else torch.zeros(())
    values = module.forward(torch.tensor(PROBE, device=like.device, dtype=like.dtype))  # runs nobody's hooks
    return bool((values[:5] == 0).all())

"""Where the hidden activations of a model's MLPs are: found by the model's structure, or chosen by name or function."""

import fnmatch
import re
from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ..errors import UserError
from ..models import Hidden, Model
from .curve import Curves
from .place import Place, occurrences

Side = Literal["output", "input", "product"]
Choice = str | Callable[[str, nn.Module], bool]

GATE = re.compile(r"gate|wi_0|^Wi$")
# the layer that reads the hidden activations, by the names it has in transformers
DOWN = re.compile(r"fc2|c_proj|dense_4h_to_h|wo|down_proj|ffn_output|lin2|linear2|fc_out|w2", re.IGNORECASE)
EXPERTS = "experts"  # what transformers calls the routed ones of a block
NUMBER = re.compile(r"(?:^|\.)\d+(?=\.|$)")


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
        own models; an activation is known by what it does to numbers. Of a mixture of experts these are its shared
        experts and dense layers: see `routed`. A pattern such as ``"*.mlp.act"`` (``*`` stands
        for anything), or a function of name and module.
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
    if isinstance(model, Model):
        kind: Literal["relu", "smooth"] = "smooth" if model.config.activation == "gelu" else "relu"
        names = {module: name for name, module in model.named_modules()}
        return [
            Place(names[mlp.fc_out], mlp.fc_out, "input", kind, False, kind == "smooth", mlp.uncounted)
            for mlp in model.mlps()
        ]
    places = _by_structure(model)
    return [_after(model, place) for place in places] if of == "product" else places


def _after(model: nn.Module, place: Place) -> Place:
    """The layer that reads a place's units: beside the activation, after it in a Sequential, or in BERT's output."""
    path, _, last = place.name.rpartition(".")
    parent = model.get_submodule(path)
    named, curves = dict(parent.named_children()), Curves(_device(model))
    found = [name for name, child in named.items() if _is_linear(child, curves) and DOWN.fullmatch(name)]
    if not found and isinstance(parent, nn.Sequential):
        order = list(named)
        after = order[order.index(last) + 1 :]
        found = [name for name in after if _is_linear(named[name], curves)][:1]
    if len(found) == 1:
        return Place(f"{path}.{found[0]}".lstrip("."), named[found[0]], "input", place.kind, place.gated, True)
    beside = f"{path.rpartition('.')[0]}.output.dense"  # BERT and its kin
    if dict(model.named_modules()).get(beside) is None:
        raise UserError(
            f"which layer reads the units of {place.name} is not known; choose that layer with a pattern and "
            "of='input', and no rule that looks for it, as CETT does."
        )
    return Place(beside, model.get_submodule(beside), "input", place.kind, place.gated, True)


def _by_structure(model: nn.Module) -> list[Place]:
    blocks: dict[str, list[Place]] = {}
    curves = Curves(_device(model))
    named = dict(occurrences(model))
    for name, module in named.items():
        if module._modules or not (numbers := list(NUMBER.finditer(name))):
            continue  # poolers and heads stand outside the numbered blocks
        parent = named[name.rpartition(".")[0]]
        if EXPERTS in name.split(".") or not any(_is_linear(child, curves) for child in parent.children()):
            continue
        if curves(module) in ("relu", "smooth"):
            blocks.setdefault(name[: numbers[-1].end()], []).append(_place(model, name, module, curves))
    several = [places for places in blocks.values() if len(places) > 1]
    if several:
        names = [place.name for place in several[0]]
        raise UserError(f"one block has several activations ({', '.join(names)}); choose one of them with a pattern.")
    places = [places[0] for places in blocks.values()]
    if not places and (experts := routed(model)):
        raise UserError(
            f"{type(model).__name__} has routed experts ({', '.join(experts)}), whose units see chosen tokens only and "
            "are not counted, and no shared expert or dense layer with an activation module beside them."
        )
    if not places:
        leaves = sorted({type(m).__name__ for m in model.modules() if not list(m.children())})
        raise UserError(
            f"{type(model).__name__} has no MLP with an activation module in a numbered block (its parts: "
            f"{', '.join(leaves)}); name the layers with a pattern, with of='input' for the layer after the activation."
        )
    return places


def routed(model: nn.Module) -> list[str]:
    """Patterns of a mixture's routed experts, whose units see chosen tokens only; none for other models.

    They are left out where no layers are chosen: a share of units at a token would be one of the experts that the
    token went to.
    """
    return patterns(name for name, _ in occurrences(bare(model)) if name.rpartition(".")[2] == EXPERTS)


def patterns(names: Iterable[str]) -> list[str]:
    """Names of modules with a star for each number, each once.

    >>> patterns(["h.0.mlp.act", "h.1.mlp.act"])
    ['h.*.mlp.act']
    """
    return list(dict.fromkeys(NUMBER.sub(lambda number: number[0].rstrip("0123456789") + "*", n) for n in names))


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
        numbers = list(NUMBER.finditer(name))
        other = blocks.setdefault(name[: numbers[-1].end()], name) if numbers else name
        if other != name:
            both = " and ".join(sorted((other, name)))
            raise UserError(
                f"{what} matches too much: {both} of one block; match one module a layer, or choose with a function."
            )
    curves = Curves(_device(model))
    return [_place(model, name, module, curves, of) for name, module in found]


def _short(text: str, most: int = 300) -> str:
    return text if len(text) <= most else text[:most].rpartition(",")[0] + ", …"


def _place(
    model: nn.Module, name: str, module: nn.Module, curves: Curves, of: Literal["output", "input"] = "output"
) -> Place:
    parent, found = model.get_submodule(name.rpartition(".")[0]), curves(module)
    gated = any(GATE.search(child) for child, _ in parent.named_children())
    acts = found not in (None, "straight")
    uncounted = parent.uncounted if isinstance(parent, Hidden) else 0
    if of == "input":  # an activation reads what may yet become zero; whatever else, what acts already
        return Place(name, module, of, "other", False, signed=not acts, uncounted=uncounted)
    if acts:
        kind: Literal["relu", "smooth"] = "relu" if found == "relu" else "smooth"
        return Place(name, module, of, kind, gated, signed=kind != "relu", uncounted=uncounted)
    # what a linear layer gives may yet become zero; what passes a number on, as dropout does, may pass on a product
    signed = gated if found == "straight" else not _is_linear(module, curves)
    return Place(name, module, of, "other", False, signed, uncounted)


def _device(model: nn.Module) -> torch.device:
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def _is_linear(module: nn.Module, curves: Curves) -> bool:
    """nn.Linear, GPT-2's Conv1D, a quantised or adapted one: anything with one matrix."""
    if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D":
        return True
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    leaf = not module._modules and not isinstance(module, nn.Embedding)
    if leaf and any(not is_lazy(each) and each.ndim == 2 for each in own):
        return True
    return "Linear" in type(module).__name__ and curves(module) is None

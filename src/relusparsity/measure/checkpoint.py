"""What `from_pretrained` leaves to its user to find out: weights that are not there, the side that reads no text."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from ..errors import UserError
from ..paths import shown
from .facts import PREDICTS, vocabulary

PLAIN = ("F32", "F16", "BF16", "F64")
"""Types of GGUF that are no quantisation."""
GGUF = ("gguf", "accelerate")
"""Packages that transformers reads a GGUF file with."""


def check(name: str, model: nn.Module, found: Mapping[str, Any]) -> list[str]:
    """That every weight of the model is the checkpoint's; what is to be said of those that the model leaves out.

    Parameters
    ----------
    found
        What `from_pretrained(output_loading_info=True)` says, without the weights that are tied or made anew.

    Raises
    ------
    UserError
        If weights are missing, have another shape, or belong to a layer that the configuration leaves out: the model
        would be one drawn at random there, or another one.
    """
    values = dict(model.named_parameters()) | dict(model.named_buffers())
    missing = [key for key in found["missing_keys"] if key not in values or values[key].is_floating_point()]
    if missing:
        raise UserError(
            f"{name} lacks {_some(missing)}, which would be drawn at random; fetch or convert the model again."
        )
    if found["mismatched_keys"]:
        shapes = [f"{key} ({list(there)}, expected {list(here)})" for key, there, here in found["mismatched_keys"]]
        raise UserError(f"{name} has weights of other shapes than its configuration says: {_some(shapes)}.")
    known = {re.sub(r"\d+", "*", key) for key in values}
    modules = {key for key, module in model.named_modules() if not list(module.children())}
    left_out = set(found["unexpected_keys"])
    wrong = [k for k in left_out if re.sub(r"\d+", "*", k) in known or _with_weights(model, modules, k)]
    if wrong:
        raise UserError(
            f"{name} has weights that its configuration leaves out ({_some(wrong)}): it is another model's."
        )
    return [f"weights that {type(model).__name__} has no use for: {_some(left_out)}"] if left_out else []


def _with_weights(model: nn.Module, modules: set[str], key: str) -> bool:
    """Whether a weight belongs to a layer that the model has, such as the bias of a matrix that it uses without."""
    path = key.rpartition(".")[0]
    return path in modules and next(model.get_submodule(path).parameters(), None) is not None


def _some(names: Iterable[str], most: int = 4) -> str:
    names = sorted(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def text_side(model: Any) -> tuple[Any, list[str]]:
    """The model without what reads images or sound, which no text goes through; what is to be said of that.

    Of a model that does not read text alone, as one that compares texts with images, the part that does.

    Raises
    ------
    UserError
        If it has no such part.
    """
    config: Any = getattr(model, "config", None)
    if not hasattr(config, "get_text_config") or config.is_encoder_decoder:
        return model, []
    own = config.get_text_config()
    if own is config and type(model).__name__.endswith(PREDICTS):
        return model, []
    if why := _cannot_read(model):
        part = next((name for name, module in model.named_modules() if name and _reads(module, own)), "")
        if own is config or not part:
            raise UserError(f"{type(model).__name__} does not read text alone ({why}); measure a model that does.")
        return model.get_submodule(part), [f"only {part}, the part that reads text, is measured"]
    if own is config:
        return model, []
    inner = model.get_decoder()
    path = next((name for name, module in model.named_modules() if module is inner), "")
    gone = []
    while path:
        path = path.rpartition(".")[0]
        parent = model.get_submodule(path)
        for name, child in list(parent.named_children()):
            holds = any(module is inner for module in child.modules())
            if not holds and any(re.search(r"(^|\.)\d+\.", each) for each, _ in child.named_modules()):
                setattr(parent, name, None)
                gone.append(f"{path}.{name}".lstrip("."))
    return model, [f"only the side that reads text is measured; left out: {_some(gone)}"] if gone else []


def _reads(module: nn.Module, config: Any) -> bool:
    """Whether a module is the whole of what a configuration of text makes."""
    return getattr(module, "config", None) is config and not _cannot_read(module)


@torch.no_grad()
def _cannot_read(model: nn.Module) -> str:
    """Why a model cannot read two tokens, in the words of its code; empty: it can."""
    ids = torch.tensor([[0, 1]]) + vocabulary(model) // 2 - 1  # the first and the last may stand for images
    try:
        model(input_ids=ids.to(next(model.parameters()).device))
    except Exception as error:  # code of any kind, which may need inputs of any other
        return shown(next(iter(str(error).splitlines()), "") or type(error).__name__)
    return ""


def quantised(model: nn.Module, source: str, file: str | None) -> list[str]:
    """What is to be said of weights that were rounded to few bits; `file` is the GGUF file that they come from.

    Raises
    ------
    UserError
        If they are said to be rounded in a way that was not undone.
    """
    if file is not None:
        import gguf
        from transformers.utils import cached_file

        types = Counter(tensor.tensor_type.name for tensor in gguf.GGUFReader(cached_file(source, file)).tensors)
        kinds = [kind for kind, _ in types.most_common() if kind not in PLAIN]
        return [f"the weights are quantised: {', '.join(kinds)} of a GGUF file, read back"] if kinds else []
    told = getattr(getattr(model, "config", None), "quantization_config", None)
    if not told:
        return []
    values = told if isinstance(told, Mapping) else told.to_dict()
    method = values.get("quant_method", "by a method that is not named")
    if getattr(model, "hf_quantizer", None) is None:
        raise UserError(
            f"the configuration of {source} says that its weights are quantised ({shown(method)}), which this "
            "transformers does not know how to read; convert the model, or leave quantization_config out if they are "
            "plain numbers."
        )
    return [f"the weights are quantised: {method}"]


def need_gguf() -> None:
    """Raise UserError where the packages that read GGUF files are missing."""
    if lacking := [package for package in GGUF if find_spec(package) is None]:
        raise UserError(
            f"reading a GGUF file needs {' and '.join(lacking)}; install with: pip install {' '.join(lacking)}"
        )

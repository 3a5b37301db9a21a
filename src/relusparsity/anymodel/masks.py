"""Which positions of a call are tokens and not padding, as the mask says that the model was given."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError

OTHERS = ("input_mask", "padding_mask", "key_padding_mask", "lengths")
"""Names that padding has besides attention_mask, as in XLNet and XLM."""


def real(mask: Any, shape: tuple[int, int] | None, cached: int | None = 0) -> Tensor | None:
    """(sequence, position): which positions of a call are tokens; None if such a mask does not tell.

    Parameters
    ----------
    mask
        (sequence, position), of the call's positions or of those in its cache as well, and of some still to come; or
        of which positions attend to which, as `generate` makes it for a static cache: (sequence, 1, position, position
        in the cache), true or 0 where they do, or several of them by name. There a token attends to itself, and
        nothing to padding.
    shape
        Sequences and positions of the call; None: those of the mask.
    cached
        Positions in the cache before the call; None: what holds those does not tell how many.
    """
    if isinstance(mask, Mapping):
        mask = mask.get("full_attention", next(iter(mask.values()), None))
        if mask is None and shape is not None:
            return torch.ones(shape, dtype=torch.bool)  # a plain causal one
    if not isinstance(mask, Tensor):
        return None
    if mask.ndim == 2:
        attended = mask != 0
        if mask.is_floating_point() and bool((mask < 0).any()):
            attended = mask == 0  # what is added to the scores
        if shape is None:
            return attended
        if mask.shape[1] < shape[1] or mask.shape[0] not in (1, shape[0]):
            return None
        end = mask.shape[1]
        if cached is not None and cached + shape[1] <= end:  # else of the last ones, those before are not in the mask
            end = cached + shape[1]
        return attended[:, end - shape[1] : end].expand(shape)
    if shape is None or mask.ndim not in (3, 4) or mask.shape[0] not in (1, shape[0]):
        return None
    sequences, positions = shape
    square = mask if mask.ndim == 3 else mask[:, 0]
    first = min(cached or 0, square.shape[2] - positions)  # the last ones of a cache that forgets the earliest
    if square.shape[1] != positions or first < 0:
        return None
    itself = square[:, :, first : first + positions].diagonal(dim1=1, dim2=2)
    itself = itself > torch.finfo(mask.dtype).min / 2 if mask.is_floating_point() else itself != 0
    return itself.expand(sequences, positions)


def refuse_others(given: Mapping[str, Any], shape: tuple[int, int] | None) -> None:
    """Raise UserError where arguments that mean padding in one model and tokens in another may say that there is any.

    Parameters
    ----------
    given
        Arguments of a call without an attention_mask.
    shape
        Its sequences and positions.
    """
    for name in OTHERS:
        said = given.get(name)
        if not isinstance(said, Tensor):
            continue
        full = shape[1] if shape is not None and said.ndim == 1 else said.flatten()[:1]  # lengths, or all the same
        if bool((said != full).any()):
            raise UserError(
                f"the model was told its padding by {name}, which does not mean the same in every model; give it an "
                "attention_mask in its place, 1 at tokens and 0 at padding."
            )


def frames(model: nn.Module, layer: str, mask: Tensor, positions: int) -> Tensor:
    """(sequence, position): the mask of a layer that sees fewer positions than the model was given, as in audio models.

    Parameters
    ----------
    layer
        Its name; the module around it that knows how many frames become one position is asked.
    mask : (sequence, frame)

    Raises
    ------
    UserError
        If no module around the layer tells.
    """
    path = layer.split(".")
    for at in range(len(path) - 1, -1, -1):
        module = model.get_submodule(".".join(path[:at]))
        if hasattr(module, "_get_feature_vector_attention_mask"):
            found = _features(module, mask, positions)
        elif (of_length := getattr(module, "_get_feat_extract_output_lengths", None)) is not None:
            lengths = of_length(mask.long().sum(1))
            lengths = lengths[-1] if isinstance(lengths, tuple) else lengths
            if mask[:, 1:].gt(mask[:, :-1]).any() or int(lengths.max()) > positions:
                break  # padding that is not at the end
            found = torch.arange(positions, device=lengths.device) < lengths[:, None]
        else:
            continue
        if found is None or tuple(found.shape) != (len(mask), positions):
            break
        return found
    raise UserError(
        f"the attention_mask has {mask.shape[1]} positions and {layer} sees {positions}; which of them are padding "
        "the model does not tell. Call it with sequences of one length and without a mask."
    )


def _features(module: nn.Module, mask: Tensor, positions: int) -> Tensor | None:
    """(sequence, position) by the methods of speech models, which tell of the layers before and after an adapter."""
    of_mask: Any = module._get_feature_vector_attention_mask
    of_length: Any = module._get_feat_extract_output_lengths
    adapters: list[dict[str, bool]] = [{}]
    if "add_adapter" in inspect.signature(of_mask).parameters:
        adapters = [{"add_adapter": False}, {"add_adapter": True}]
    # features that become one position, of which the methods know nothing
    squeezed = getattr(getattr(module, "config", None), "squeeze_factor", 1)
    for adapter in adapters:
        features = int(of_length(torch.tensor([mask.shape[1]]), **adapter))
        if features // squeezed == positions:
            found = of_mask(features, mask.long(), **adapter) != 0
            return found[:, : positions * squeezed].unflatten(1, (positions, squeezed)).any(2)
    return None

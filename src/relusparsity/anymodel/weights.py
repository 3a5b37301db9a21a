"""The output weights of hidden units, whatever they are stored as: read, or asked of the layer that holds them."""

import torch
from torch import Tensor, nn

from ..errors import UserError
from .place import Place

PLAIN = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
ROWS = 256  # unit vectors asked at a time
WITHIN = 0.05  # share by which a layer may miss what its weights say: 8-bit layers round their input to less than that


def output_weights(place: Place, like: Tensor) -> Tensor:
    """(unit, output) weights of the layer that reads a place's units, in float32; `like` is what it reads.

    Plain weights are read. Of all others (8-bit and 4-bit codes with their scales, adapters beside a matrix, weights
    made or fetched in the forward call) the layer is asked what it makes of each unit vector.

    Raises
    ------
    UserError
        If the layer cannot be asked.
    """
    module = place.module
    weight = getattr(module, "weight", None)
    plain = isinstance(weight, Tensor) and type(weight) in (Tensor, nn.Parameter) and weight.dtype in PLAIN
    if isinstance(weight, Tensor) and plain and not weight.is_meta and "forward" not in vars(module):
        if type(module).forward is nn.Linear.forward:
            return weight.detach().float().T
        if type(module).__name__ == "Conv1D" and weight.ndim == 2:
            return weight.detach().float()
    return _asked(place, like)


def check(place: Place, like: Tensor, weights: Tensor) -> None:
    """Raise UserError if the layer does something else than multiply by these weights and add a bias."""
    units = like.shape[-1]
    some = torch.randn(1, 8, units, generator=torch.Generator("cpu").manual_seed(0), device="cpu").to(like)
    said = _forward(place, some) - _forward(place, torch.zeros_like(some))
    told = some[0].float() @ weights
    if not (said[0] - told).norm() <= WITHIN * told.norm():
        raise _refused(place, "what it gives is not the sum of what its units give, as far as its weights can be read")


def _asked(place: Place, like: Tensor) -> Tensor:
    units = like.shape[-1]
    nothing = _forward(place, like.new_zeros(1, 1, units))[0]
    rows = []
    for start in range(0, units, ROWS):
        each = torch.arange(start, min(start + ROWS, units), device=like.device)
        vectors = like.new_zeros(1, len(each), units)
        vectors[0, each - start, each] = 1
        rows.append(_forward(place, vectors)[0] - nothing)
    return torch.cat(rows)


def _forward(place: Place, hidden: Tensor) -> Tensor:
    """What the layer makes of (1, token, unit), in float32, with nothing dropped; no hooks of its own run."""
    # only these: others, such as 4-bit layers, store their weights in another way once they are told
    dropouts = [each for each in place.module.modules() if isinstance(each, nn.modules.dropout._DropoutNd)]
    dropping = [each.training for each in dropouts]
    try:
        for each in dropouts:
            each.training = False
        out = place.module.forward(hidden)
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise _refused(place, str(error).splitlines()[0] if str(error) else type(error).__name__) from None
    finally:
        for each, training in zip(dropouts, dropping, strict=True):
            each.training = training
    if not isinstance(out, Tensor) or out.ndim != 3 or not out.is_floating_point():
        raise _refused(place, "it gives no (sequence, position, output)")
    return out.float()


def _refused(place: Place, why: str) -> UserError:
    return UserError(
        f"CETT needs the output weights of single units, and those of {place.name} ({type(place.module).__name__}) "
        f"cannot be found ({why}); take another rule, or load the model with its weights as plain numbers."
    )

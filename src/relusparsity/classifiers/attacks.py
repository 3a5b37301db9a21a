"""Pictures changed against a classifier: one step along the gradient's signs (FGSM), and many, projected (PGD).

Both raise the loss within ± ε of each pixel: Goodfellow et al. (2015), Madry et al. (2018). The model is only read: its
parameters get no gradient and stay as they are.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from ..checks import shown
from ..errors import UserError
from .corruptions import uniform

STEPS = 20
"""Steps of PGD."""
STEP = 2.5
"""Length of all its steps together, in ε: they can reach every corner, and come back."""

Loss = Callable[[Tensor], Tensor]
"""The loss of each of some pictures, (picture): the attacker raises it."""


def fgsm(loss: Loss, pictures: Float[Tensor, "picture *pixels"], epsilon: float) -> Float[Tensor, "picture *pixels"]:
    """The pictures, from 0 to 1, moved by ε along the signs of the loss's gradient, and still from 0 to 1.

    Raises
    ------
    UserError
        For an ε or a pixel below 0 or above 1.
    """
    _check(pictures, epsilon)
    return (pictures + epsilon * _signs(loss, pictures)).clamp(0, 1).detach()


def pgd(
    loss: Loss, pictures: Float[Tensor, "picture *pixels"], epsilon: float, seed: int = 0, steps: int = STEPS
) -> Float[Tensor, "picture *pixels"]:
    """As many steps from a drawn point, after each of which a pixel is brought back to ± ε and to 0 to 1.

    Parameters
    ----------
    loss
        Of each picture.
    pictures
        From 0 to 1.
    epsilon
        How far a pixel may move.
    seed
        Of the point where it begins.
    steps
        Each `STEP` × ε / steps long.

    Raises
    ------
    UserError
        For an ε or a pixel below 0 or above 1, or less than one step.
    """
    _check(pictures, epsilon)
    if steps < 1:
        raise UserError(f"steps = {shown(steps)}: expected 1 or more.")
    start = torch.from_numpy(uniform(seed, *pictures.shape)).to(pictures)
    low, high = (pictures - epsilon).clamp(min=0), (pictures + epsilon).clamp(max=1)
    moved = (pictures + epsilon * (2 * start - 1)).clamp(low, high)
    for _ in range(steps):
        moved = (moved + STEP * epsilon / steps * _signs(loss, moved)).clamp(low, high)
    return moved.detach()


def _signs(loss: Loss, pictures: Tensor) -> Tensor:
    with torch.enable_grad():
        at = pictures.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(at).sum(), at)
    return gradient.sign()


def _check(pictures: Tensor, epsilon: float) -> None:
    if not 0 <= epsilon <= 1:
        raise UserError(f"ε = {shown(epsilon)}: expected the largest change of a pixel, from 0 to 1.")
    # those from −1 to 1, as a model reads them, would be cut to half of what they show
    if not pictures.is_floating_point() or not bool(((pictures >= 0) & (pictures <= 1)).all()):
        raise UserError(
            f"the pictures, {pictures.dtype}, have values that are no real numbers from 0 to 1; divide those of bytes "
            "by 255, and let the loss turn them into what its model reads."
        )

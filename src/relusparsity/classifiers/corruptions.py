"""Corrupted pictures: Gaussian, shot and impulse noise at five strengths, those of ImageNet-C.

Hendrycks and Dietterich (2019) chose the strengths for colour pictures of 224 × 224; we keep their numbers for grey
ones of 28 × 28, which is our choice. Draws are inverse distribution functions of PCG64's raw numbers, which NumPy
promises never to change, so that a seed gives the same pictures everywhere.
"""

import numpy as np
import scipy
from jaxtyping import Float

from ..checks import shown
from ..errors import UserError

STRENGTHS = {
    "gaussian": (0.08, 0.12, 0.18, 0.26, 0.38),
    "shot": (60, 25, 12, 5, 3),
    "impulse": (0.03, 0.06, 0.09, 0.17, 0.27),
}
"""Kind of noise → its parameter at each strength from 1: a standard deviation; photons at full brightness; the share of
pixels that become black or white."""


def corrupted(
    pictures: Float[np.ndarray, "picture row column"], kind: str, strength: int, seed: int = 0
) -> Float[np.ndarray, "picture row column"]:
    """Pictures with noise, float32 from 0 to 1.

    Parameters
    ----------
    pictures
        From 0, black, to 1, white.
    kind, strength
        Of `STRENGTHS`, and from 1 to 5.
    seed
        Of the noise.

    Raises
    ------
    UserError
        For another kind or strength, or pictures outside 0 to 1.
    """
    if kind not in STRENGTHS:
        raise UserError(f"kind = {shown(kind)}: expected one of {', '.join(STRENGTHS)}.")
    if strength not in range(1, len(STRENGTHS[kind]) + 1):
        raise UserError(f"strength = {shown(strength)}: expected a whole number from 1 to {len(STRENGTHS[kind])}.")
    given = np.asarray(pictures, dtype=float)
    if not given.size or not (given.min() >= 0 and given.max() <= 1):
        raise UserError("the pictures have values outside 0 to 1, or there are none; divide those of bytes by 255.")
    by = STRENGTHS[kind][strength - 1]
    drawn = uniform(seed, *given.shape)
    if kind == "gaussian":
        noisy = given + by * scipy.special.ndtri(drawn)
    elif kind == "shot":
        noisy = _photons(given * by, drawn) / by
    else:
        noisy = np.where(drawn < by / 2, 0.0, np.where(drawn < by, 1.0, given))
    return noisy.clip(0, 1).astype(np.float32)


def _photons(
    expected: Float[np.ndarray, "picture row column"], drawn: Float[np.ndarray, "picture row column"]
) -> Float[np.ndarray, "picture row column"]:
    """Photons counted where so many are expected: the least number whose Poisson distribution is not below the draw.

    By a table for each brightness, of which bytes have 256: SciPy's inverse takes 5 µs a pixel, a minute a test.
    """
    order = np.argsort(expected, axis=None, kind="stable")
    means, first = np.unique(expected.ravel()[order], return_index=True)
    found, counts = np.empty(expected.size), np.arange(scipy.stats.poisson.ppf(drawn.max(), means[-1]) + 1)
    for mean, here in zip(means, np.split(order, first[1:]), strict=True):
        found[here] = np.searchsorted(scipy.special.pdtr(counts, mean), drawn.ravel()[here])
    return found.reshape(expected.shape)


def uniform(seed: int, *shape: int) -> Float[np.ndarray, " ..."]:
    """Numbers above 0 and below 1, evenly drawn, in float64."""
    raw = np.random.PCG64(seed).random_raw(int(np.prod(shape)))
    return (((raw >> np.uint64(12)).astype(float) + 0.5) / 2**52).reshape(shape)

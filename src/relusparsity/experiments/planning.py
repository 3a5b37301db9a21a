"""How wide each layer should be, from the beginning of a run: capacity planning.

No rule of the source for widths is known to us; a summary of it names "capacity planning". The rule below is ours.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from ..config import RunConfig, from_dict
from ..errors import UserError
from ..prune_config import rounded_up
from ..store import results


def recommend(run: xr.Dataset, share: float = 0.1, multiple: int = 128) -> tuple[int, ...]:
    """Widths to train a model of this configuration with, from scratch: hidden units of each layer.

    The rule: as many units as fire in 8,192 held-out tokens (`set_tokens`; mean over the sets), at the last measurement
    in the first `share` of the run's training tokens, rounded up to a multiple. Use still falls after that, most in the
    layers that it has left: so the widths are an upper bound that a tenth of the run can give, not the use at its end.

    Parameters
    ----------
    run
        Dataset of one run: `batch_use` (step, layer), a share of the layer's units.
    share
        Of the run's training tokens; 0.05 to 0.1 are a beginning that is cheap.
    multiple
        Widths are multiples of it, and one at least; no layer gets more units than it has.

    Raises
    ------
    UserError
        For a share that is none or holds no measurement of a trained model, or a dataset of something else.
    """
    if not 0 < share <= 1:
        raise UserError(f"share = {share}: expected a share of the run's tokens, above 0 and at most 1.")
    if "batch_use" not in run or set(run["batch_use"].dims) != {"step", "layer"}:
        has = ", ".join(map(str, run["batch_use"].dims)) if "batch_use" in run else "none"
        raise UserError(f"expected the dataset of one run, with batch_use (step, layer), but its dimensions are {has}.")
    config = from_dict(RunConfig, results.provenance(run)["config"])
    until = share * config.train.tokens
    tokens = run["tokens"].values
    early = np.flatnonzero((tokens > 0) & (tokens <= until))
    if not len(early):
        raise UserError(
            f"the run was not measured in its first {until:,.0f} training tokens; raise share or measure.points."
        )
    use = run["batch_use"].isel(step=early[-1]).values.astype(float)
    widths = config.model.widths
    # use is kept in 32 bits, whose error must not add a unit
    fire = np.round(use * widths, 2)
    return tuple(min(width, rounded_up(float(n), multiple)) for width, n in zip(widths, fire, strict=True))


def uniform(widths: Sequence[int], multiple: int = 128) -> int:
    """One width for all layers in place of these, with as many units together: their mean, rounded up to a multiple.

    >>> uniform((512, 128, 384)), uniform((512, 128, 256))
    (384, 384)
    """
    return rounded_up(sum(widths) / len(widths), multiple)

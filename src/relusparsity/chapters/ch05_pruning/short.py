"""What chapter 5 found."""

import numpy as np

from ... import claims, store
from ...claims.short import Short, between, spread
from ...claims.table import number
from . import spared, words


def in_short() -> Short:
    """The chapter in a sentence and three lines."""
    wide, first, mid = (store.recorded("pruning", *of) for of in (("wide",), ("wide", "first"), ("mid",)))
    rows = (each for each in claims.evaluate({("pruning", "wide"): wide}) if each.row.number == "12")
    halves = [reading.values["lowest-rate half (% loss)"] for row in rows for reading in row.readings]
    cost = " or ".join(dict.fromkeys(value if isinstance(value, str) else number(value) for value in halves))
    silent = np.concatenate([100 * spared.silent(each).mean("layer") for each in (wide, first)])
    nearest, other = (spread(words.of(each, "random").tolist(), " %") for each in (wide, first))
    low = spared.below(wide)
    of_rest = 100 * low["beyond"].values
    return Short(
        f"Half of Wide's units can be removed at a cost of {cost} % of the loss, because {between(np.round(silent))} % "
        f"of them, by either recipe, fire at none of {wide.attrs['silent_sample_tokens']:,} tokens.",
        (
            f"Beyond the silent ones removal costs {spread(low.sel(chosen_by='rate').values.tolist(), ' %')} once "
            f"{between(np.round(of_rest))} % of the units that fire are gone, too (Wide, 6 × 32,768 units, recipe "
            f"*{wide.attrs['recipe']}*, {wide.sizes['seed']} seeds, loss on C4).",
            f"A *matched draw* of as many units, at random from the layers that the half came from, costs {nearest} by "
            f"*{wide.attrs['recipe']}* and {other} by *{first.attrs['recipe']}*. It is no random half of the model.",
            f"In Mid (6 × 8,192, *{mid.attrs['recipe']}*) {between(100 * spared.silent(mid).mean('layer'))} % are "
            f"silent, and the half that fires least costs {spread(words.of(mid, 'rate').tolist(), ' %')}.",
        ),
    )

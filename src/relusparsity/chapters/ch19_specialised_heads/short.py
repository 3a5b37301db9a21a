"""What chapter 19 found."""

from math import ceil, floor

from ... import store
from ...claims.short import Short
from ...plots.reading import how_many
from . import born, experiment, rows, words
from .experiment import ONE, TWO
from .figures.scores import LEAST, MODEL
from .read import ranked


def in_short() -> Short:
    """The chapter in a sentence and three lines."""
    real, birth = store.recorded("real_heads", "laptop"), store.recorded(experiment.NAME, "laptop")
    held, by = words.held(real).sum(("layer", "head")), rows.removed(real)
    count = int(real["ablated"].sel(evaluation=rows.TOP).sum())
    end, highest = experiment.best(birth).isel(step=-1), float(experiment.best(birth).sel(arm=ONE).max())
    least = float(end.sel(arm=TWO).min())
    steps = experiment.fall(birth.sel(arm=TWO))
    teller, worth = ranked(birth).sel(layer=0).isel(rank=0), ranked(birth)["worth"].sel(layer=1)
    return Short(
        f"{count} of {real['ablated'][0].size} heads of {MODEL}, those of the highest induction score, carry "
        f"{float(by.sel(evaluation=rows.TOP)):.0f} % of what it gains from reading a text twice; as many others of the "
        f"same layers, {float(by.sel(evaluation=list(rows.DRAWN)).mean()):.1f} %. Our rule asked for half.",
        (
            f"{int(held.sel(score='induction', reading='text'))} heads score {LEAST:g} or more in induction, "
            f"{int(held.sel(score='previous token', reading='text'))} at the previous token; with their numbers in "
            f"random order {int(held.sel(score='induction', reading='random weights'))} and "
            f"{int(held.sel(score='previous token', reading='random weights'))} do.",
            "In a decoder of two layers the loss on known tokens falls from 3 nats to 1 within "
            f"{born.between(steps)} steps, as induction heads appear (scores of {floor(100 * least) / 100:.2f} or "
            f"more at "
            f"the end, {how_many(birth.sizes['seed'], 'seed')}); with one layer none reaches "
            f"{ceil(100 * highest) / 100:.2f}.",
            f"Heads there share the work, seed by seed more or less: without the best previous-token head the "
            f"highest induction score keeps "
            f"{born.between(teller['matching'])} % of itself, and without the induction head that costs most the gain "
            f"on known tokens {born.between(100 - worth.max('rank'))} %.",
        ),
    )

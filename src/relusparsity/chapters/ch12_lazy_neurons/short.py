"""What chapter 12 found, and what it still has to find."""

import xarray as xr

from ... import store
from ...claims.short import Short
from ...experiments import first_gradient, lazy, lazy_pictures, lazy_text_rates, preactivation_drift
from ...plots.reading import how_many
from . import chosen, read


def in_short() -> Short:
    """The chapter in a sentence and three lines."""
    dataset = store.recorded("lazy_pictures", "fashion")
    table, halves = lazy_pictures.ends(dataset), lazy_pictures.halved(dataset)
    end, ratio = table["end"].unstack("seed").mean(axis=1), 100 * table["end"] / table["start"]
    wide, arms = list(lazy_pictures.TIMES.values()), list(lazy_pictures.NO_DATA)
    fresh = read.living(dataset).sel(recipe=arms[-1])
    two = first_gradient.table(store.recorded("first_gradient", "laptop")).loc[first_gradient.RANDOM]
    change = preactivation_drift.change(store.recorded("preactivation_drift", "laptop")).mean("seed")
    rises = " and ".join(f"{int((change.sel(optimizer=by) > 0).sum())} ({by})" for by in preactivation_drift.OPTIMIZERS)
    return Short(
        f"Small vision Transformers (Fashion) become sparse unasked: {end[lazy.AS_IS]:.0f} % of what their hidden "
        f"units give is positive, where a large one has 6.3 %. Wider is sparser, from {end[wide[0]]:.0f} to "
        f"{end[wide[-1]]:.0f} %, and so is deeper.",
        (
            f"Random data bring it, too: they end at {ratio.loc[arms].min():.0f} to {ratio.loc[arms].max():.0f} % of "
            f"their start, the pictures at {ratio.loc[lazy.AS_IS].min():.0f} to {ratio.loc[lazy.AS_IS].max():.0f} %. "
            f"Our rule, below half in every run, is missed ({int(halves.eq(True).sum())} of {len(halves)}). With data "
            f"fresh at each step, {float(fresh['silent'].mean()):.0f} % of the units are silent, and the others fire "
            "more than before.",
            f"Before the first step a network of two layers has {two['of the theorem']:.0f} % of the push that follows "
            "from Li et al.'s theorem. In small Transformers its sign is open in most layers, and over whole runs of "
            f"two layers the share rises in {rises} of {change.sizes['arm']} arms, whichever way the first gradient "
            "points.",
            of_an_encoder_decoder(store.recorded("lazy_text_rates", "spans")),
        ),
    )


def of_an_encoder_decoder(dataset: xr.Dataset) -> str:
    """Where the rate that is read ends on text; that it is to come where none is chosen, or none has an end."""
    rate, told = lazy_text_rates.best(dataset), "An encoder-decoder (3.0 % in T5-Base)"
    ends = lazy_text_rates.judging(dataset)["end"].dropna()
    ends = ends.loc[[rate]] if rate in ends.index.unique("arm") else ends[:0]
    if not len(ends):
        return f"{told} is still to come: row 20 is not tested yet."
    missed = int((ends.round(9) > chosen.ASKED).sum())
    return (
        f"{told} has {ends.min():.0f} to {ends.max():.0f} % after {chosen.million(dataset)} million tokens, which is "
        f"early; row 20, {chosen.ASKED} % at most, is missed in {missed} of {how_many(len(ends), 'seed')}. Few at a "
        "token are not few in a batch."
    )

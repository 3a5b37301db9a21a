"""What chapter 12 says and tabulates of the encoder-decoder at the rate that seed 0 chose."""

import pandas as pd
import xarray as xr

from ...claims.short import Said
from ...experiments import lazy_text, lazy_text_rates
from ...plots.reading import how_many
from . import read

ASKED = 10
"""Percent of positive entries that row 20 allows."""
LOSS = "at the rate of the least loss, the loss ends below 5 nats in every seed"
"""One of the sentences written before these runs."""


def rate(dataset: xr.Dataset) -> Said:
    """Why row 20 is read at another rate than at first, and how that was chosen; that it was changed after runs."""
    first, *judging = lazy_text_rates.SEEDS
    table = lazy_text.ends(dataset)
    losses = table["loss"].xs(first, level="seed")
    before = table.loc[lazy_text_rates.FIRST, "end"].dropna()
    missed, (least, *others) = int((before > ASKED).sum()), losses.sort_values().items()
    spelt = {name: short_rate(fields["train.lr"]) for name, fields in lazy_text_rates.CHANGES.items()}
    tried = " and ".join(of for name, of in spelt.items() if name != lazy_text_rates.FIRST)
    rest = " and ".join(f"{loss:.2f} at {spelt[str(name)]}" for name, loss in others)
    return Said(
        f"By the letter of row 20, {ASKED} % at most, {missed} of these {how_many(len(before), 'run')} miss it. But a "
        "model that learned so little says nothing of one that has learned, so **we changed what is read, after we had "
        f"seen them**: rates of {tried} were tried in seed {first}, and that with the least held-out loss is taken, "
        f"whatever its share. It is {spelt[str(least[0])]}, which ends at {least[1]:.2f} nats ({rest}). Row 20 is read "
        f"there in seeds {', '.join(map(str, judging[:-1]))} and {judging[-1]}, of which none chose it."
    )


def found(dataset: xr.Dataset) -> Said:
    """What row 20 reads there, and how far the runs learned."""
    best = str(lazy_text_rates.best(dataset))
    of, chance = lazy_text_rates.judging(dataset).loc[best], lazy_text_rates.CHANCES[LOSS]
    low, high, holds = of["end"].min(), of["end"].max(), lazy_text.row_20(dataset, best)["holds"].loc[of.index]
    kept = int(holds.eq(True).sum())
    below = int((of["loss"] < 5).sum())
    learned = f"We had given {100 * chance:.0f} % that it ends below 5 nats in every seed; it does in {below}."
    return Said(
        f"**{low:.1f} to {high:.1f} % of the entries are positive: row 20 holds in {kept} of "
        f"{how_many(len(of), 'seed')}** (they begin at {of['start'].min():.1f} to {of['start'].max():.1f} %). The loss "
        f"ends at {of['loss'].min():.2f} to {of['loss'].max():.2f} nats. {learned} So this is an encoder-decoder after "
        f"{million(dataset)} million tokens, early in its training, and not one that has learned what T5 has."
    )


def windows(dataset: xr.Dataset) -> Said:
    """Whether few entries per token are also few units per batch, and what the encoder's first layer has."""
    use = read.by_stack(dataset)["use"].mean("seed")
    at, sequence, batch = use.mean(("stack", "layer")).values
    least, last = use.isel(window=0).argmin("layer"), use.sizes["layer"] - 1
    middle = bool(((least > 0) & (least < last)).all())
    by_layer = lazy_text.by_layer(dataset.sel(seed=[*lazy_text_rates.SEEDS[1:]]), str(lazy_text_rates.best(dataset)))
    first, token = by_layer.iloc[0], by_layer["end"]
    none = "none is silent" if first["silent"] == 0 else f"{first['silent']:.1f} % are silent"
    return Said(
        f"**Few at a token are not few in a batch.** {at:.0f} % of the units fire at a token, {sequence:.0f} % in a "
        f"sequence and {batch:.0f} % {use['window'].values[-1]}: a lazy unit is not an idle one. Layers go from "
        f"{token.min():.0f} % ({token.idxmin()}) to {token.max():.0f} % ({token.idxmax()}) of positive entries"
        f"{'; in both stacks the middle is sparsest, as Li et al. report' * middle}. Of the first layer of T5's "
        "encoder they write that 93.5 % of its units fire at less than a tenth of the tokens and none is dead; of "
        f"ours {first['rare']:.0f} % fire so seldom, and {none}."
    )


def table(dataset: xr.Dataset) -> pd.DataFrame:
    """The layers of both stacks, percent, means of the seeds that judge."""
    of = lazy_text.by_layer(dataset.sel(seed=[*lazy_text_rates.SEEDS[1:]]), str(lazy_text_rates.best(dataset)))
    names = {
        "start": "positive, start",
        "end": "positive, end",
        "sequence": "fire in a sequence",
        "batch": f"fire {read.by_stack(dataset)['window'].values[-1]}",
        "silent": "silent",
        "rare": "fire at < 10 %",
    }
    return of[list(names)].rename(columns=names).map("{:.1f}".format)


def short_rate(rate: float) -> str:
    """A learning rate of one digit, as arms are called.

    >>> short_rate(0.0003)
    '3e-4'
    """
    return f"{rate:.0e}".replace("e-0", "e-")


def million(dataset: xr.Dataset) -> str:
    """Tokens of a run, in millions."""
    return f"{float(dataset['tokens'].values[-1]) / 1e6:.0f}"

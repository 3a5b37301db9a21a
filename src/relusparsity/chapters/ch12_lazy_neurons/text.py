"""What chapter 12 says and tabulates of the encoder-decoder, in those of its runs that there are."""

import numpy as np
import pandas as pd
import xarray as xr

from ...claims.short import Said
from ...experiments import lazy, lazy_text, lazy_text_rates, written
from ...plots.reading import how_many
from ...store import results
from .chosen import short_rate


def learned(dataset: xr.Dataset) -> Said:
    """How far AdamW came at the rate of `lazy_text`, how sparse the model is there, and what was expected."""
    if waits := written.waits(dataset, lazy.AS_IS):
        return Said(waits)
    run, table = lazy.models(dataset)[lazy.AS_IS], _ran(dataset).loc[lazy.AS_IS]
    loss = _loss(dataset, table.index.tolist())
    low, turn, end = _turns(loss)
    sides = _sides(dataset).loc[lazy.AS_IS].mean()
    low_end, high_end = lazy_text.EXPECTED[lazy.AS_IS]
    lost = table["end"].sum() > len(lazy_text.SEEDS) * high_end  # whatever the seeds that wait will have
    lengths = run.corpus.spans.lengths(run.model.seq_len)
    sentinels, million = 100 * (lengths.spans + 1) / lengths.targets, results.provenance(dataset)["parameters"] / 1e6
    layers = run.model.n_layers // 2
    return Said(
        f"**An encoder-decoder on text, and its first runs learned little.** It is built as T5 is: {layers} + {layers} "
        f"layers of {run.model.width:,} units, {million:.0f} million parameters, {run.train.tokens / 1e6:.0f} million "
        f"tokens of English with spans cut out. By AdamW at a rate of {short_rate(run.train.lr)} the held-out loss "
        f"falls to {low:.2f} nats, rises to {turn:.2f} while the rate is high, and ends at {end:.2f} "
        f"({how_many(len(table), 'seed')}). {table['accuracy'].mean():.0f} % of the target tokens are predicted first, "
        f"when {sentinels:.0f} % of the targets are sentinels or the end, no words. {table['end'].min():.1f} to "
        f"{table['end'].max():.1f} % of the entries are positive then, {sides['encoder']:.0f} % in the encoder and "
        f"{sides['decoder']:.0f} % in the decoder. We had expected a mean of {low_end:g} to {high_end:g}"
        f"{', which is lost whatever the third seed will have' * bool(lost)}."
    )


def noise(dataset: xr.Dataset) -> Said:
    """What targets from which nothing can be learned do to both stacks, seed by seed."""
    if waits := written.waits(dataset, lazy_text.RANDOM):
        return Said(waits)
    table, silent, sides = _ran(dataset), _silent(dataset), _sides(dataset)
    rows = []
    for seed, row in table.loc[lazy_text.RANDOM].iterrows():
        of, by = silent.loc[(lazy_text.RANDOM, seed)], sides.loc[(lazy_text.RANDOM, seed)]
        rows.append(
            f"one run ends at {row['end']:.0f} % (encoder {by['encoder']:.0f}, decoder {by['decoder']:.0f}), with "
            f"{of['encoder']:.0f} % of the encoder's and {of['decoder']:.0f} % of the decoder's units silent"
        )
    gone = bool(silent.loc[lazy_text.RANDOM, "decoder"].max() == 100)
    dead = " The MLPs of a decoder whose units are all silent add nothing, since T5 has no biases: a share of 0 %."
    living, more = table.loc[lazy_text.RANDOM, "living"], ", more than before training"
    denser = bool(living.min() > table.loc[lazy_text.RANDOM, "start"].max())
    return Said(
        f"**With random targets the share depends on the seed**: {'; '.join(rows)}.{dead * gone} The units that are "
        f"not silent fire at {living.min():.0f} to {living.max():.0f} % of the tokens{more * denser}."
    )


def to_come(dataset: xr.Dataset, rates: xr.Dataset) -> Said:
    """Which runs wait; those that both datasets have are counted once."""
    waits = dataset["final_loss"].isnull().sum("seed").to_series()
    told = (rates["recipe"] == lazy_text_rates.FIRST) & rates["seed"].isin(dataset["seed"])
    later = (rates["final_loss"].isnull() & ~told).sum("seed").to_series()
    named = [f"{number} of *{arm}*" for arm, number in pd.concat([waits, later]).items() if number]
    if not named:
        return Said("All runs of the encoder-decoder have run. Li et al. report 3.0 % for T5-Base.")
    return Said(
        f"**Runs of the encoder-decoder wait for a GPU**: {', '.join(named)}. Li et al. report 3.0 % for T5-Base."
    )


def table(dataset: xr.Dataset) -> pd.DataFrame:
    """Where the runs end, percent, a row an arm and seed that ran."""
    of, silent, sides = _ran(dataset), _silent(dataset), _sides(dataset)
    table = (
        pd.DataFrame(
            {
                "end": of["end"],
                "encoder": sides["encoder"],
                "decoder": sides["decoder"],
                "silent, encoder": silent["encoder"],
                "silent, decoder": silent["decoder"],
                "accuracy": of["accuracy"],
            }
        )
        .map("{:.1f}".format)
        .assign(loss=of["loss"].map("{:.2f}".format))
    )
    return table.set_axis([f"{arm}, seed {seed}" for arm, seed in table.index]).rename_axis("run")


def expected(dataset: xr.Dataset, rates: xr.Dataset) -> pd.DataFrame:
    """The intervals written of the arms, and of two rates after four runs, beside what came."""
    return pd.concat([written.came(lazy_text, dataset, 1), written.came(lazy_text_rates, rates, 1)])


def chances(dataset: xr.Dataset, rates: xr.Dataset) -> pd.DataFrame:
    """The sentences written before the runs, with their chances, beside what came."""
    return pd.concat([written.said(lazy_text, dataset), written.said(lazy_text_rates, rates)])


def _ran(dataset: xr.Dataset) -> pd.DataFrame:
    """`lazy_text.ends` of the runs that there are."""
    return lazy_text.ends(dataset).dropna(subset="end")


def _loss(dataset: xr.Dataset, seeds: list[int]) -> np.ndarray:
    """Held-out loss, mean of some seeds of the arm that changes nothing: (step)."""
    of = dataset["heldout_loss"].sel(recipe=lazy.AS_IS, seed=seeds).mean("seed").astype(float)
    found: np.ndarray = of.values
    return found


def _turns(loss: np.ndarray) -> tuple[float, float, float]:
    """Where a loss is before it rises for good measure, how high it rises, and where it ends.

    The rise is the largest that there is between an earlier and a later measurement.
    """
    lowest = np.minimum.accumulate(loss)
    top = int(np.argmax(loss - lowest))
    return float(lowest[top]), float(loss[top]), float(loss[-1])


def _by_side(dataset: xr.Dataset, values: xr.DataArray) -> pd.DataFrame:
    """Mean over a stack's layers, percent, columns encoder and decoder: a row an arm and seed that ran."""
    decodes = np.array([str(name).startswith("decoder") for name in dataset["layer_name"].values])
    stacks = {"encoder": ~decodes, "decoder": decodes}
    table = lazy.tabulated({name: 100 * values[..., of].mean("layer", skipna=False) for name, of in stacks.items()})
    return table.loc[_ran(dataset).index]


def _sides(dataset: xr.Dataset) -> pd.DataFrame:
    return _by_side(dataset, dataset["final_token_use"].transpose("recipe", "seed", "layer").astype(float))


def _silent(dataset: xr.Dataset) -> pd.DataFrame:
    units = lazy.numbers(dataset)["units"].to_xarray().rename(arm="recipe")
    return _by_side(dataset, (dataset["final_silent_units"] / units).transpose("recipe", "seed", "layer"))

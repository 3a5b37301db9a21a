"""What the book found, in three sentences whose numbers are read from the recorded data."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import xarray as xr

from ..claims import Outcome
from ..claims.table import number
from ..experiments.endings import distance
from ..plots.recipes import FULL
from ..source import BATCH_USE

TEXT = """\
- **Which layer empties depends on the recipe.** Of {recipes} recipes for one model of 6 × 8,192 units (Mid, two seeds
  each), {kept} keep every layer above {full} %. In the other {emptied}, with layers counted from 0,
  {emptiest}.
  The two seeds name the same layer in {agreed} of the {emptied}.
- **No model of ours has both of the paper's numbers.** Wild and Anderson report that {source[0]} % of the
  first layer's units and {source[5]} % of the last's fire in 8,192 tokens. Of our models of that width (Wide, 6 ×
  32,768), *{judged}*, the later of two recipes that are judged, ends at {first} and {last} % ({seeds} fresh seeds). Of
  all {runs} recorded runs, whatever the recipe, the one at the smallest distance from the two numbers ends at
  {closest[0]} and {closest[5]} %; of {narrow_runs} at Mid's width, at {narrow[0]} and {narrow[5]} %.
- **Silent units stay silent, and can go.** Of Mid's units that are silent on 8,192 tokens, {of_mid} % are silent on a
  million others too; of Wide's {silent} %, whose weights decay has nearly taken away. About {idle} % of Wide's units
  are silent on the million. Removing half of all its units, silent ones alone, changes the loss on web text by
  {half} %; removing as many at random from the same layers raises it by {random} %."""

NEAR = 5
"""Points within which the ledger calls two numbers in agreement."""


def findings(
    outcomes: Sequence[Outcome],
    ends: Sequence[Sequence[np.ndarray]],
    cells: Sequence[xr.Dataset],
    pruned: xr.Dataset,
) -> str:
    """Three findings as Markdown.

    Parameters
    ----------
    outcomes
        Of `claims.evaluate` on the recorded datasets; of two recipes of a shape, the first is meant.
    ends
        Batch use at the end, percent by layer, of every recorded run of Wide's width, and of Mid's.
    cells
        Both halves of the factorial, with `final_batch_use` (recipe, seed, set, layer).
    pruned
        Wide's dataset of pruning, with `silent_removed` (seed, layer).

    Raises
    ------
    ValueError
        If a run has both numbers, or the half that is removed is not all silent: then a finding says something else.
    """
    judged = [outcome for outcome in outcomes if outcome.verdict and outcome.readings]
    wide, mid = (
        {outcome.row.number: outcome for outcome in reversed(judged) if outcome.scale == letter} for letter in "PS"
    )
    use = np.concatenate([c["final_batch_use"].mean("set").transpose("recipe", "seed", "layer").values for c in cells])
    emptied = use[use.mean(1).min(1) < FULL]
    lowest = Counter({layer: 0 for layer in range(use.shape[2])})
    lowest.update(emptied.mean(1).argmin(1).tolist())
    idle = 100 * pruned["silent_removed"].sum("layer") / (pruned.sizes["layer"] * pruned.attrs["d_ff"])
    if float(idle.min()) < 50:
        raise ValueError(
            f"{float(idle.min()):.1f} % of a seed's units are silent, fewer than the half that is removed."
        )
    for run in (run for each in ends for run in each):
        if all(abs(run[layer] - stated) <= NEAR for layer, stated in BATCH_USE.items()):
            raise ValueError(f"a run ends at {run[0]:.1f} and {run[5]:.1f} %, within {NEAR} points of both numbers.")
    return TEXT.format(
        recipes=len(use),
        kept=len(use) - len(emptied),
        emptied=len(emptied),
        full=f"{100 * FULL:g}",
        emptiest=_places(lowest),
        agreed=int((emptied.argmin(2) == emptied.argmin(2)[:, :1]).all(1).sum()),
        source=BATCH_USE,
        first=_mean(wide["1"], "batch use of layer 0 (%)"),
        last=_mean(wide["2"], "batch use of layer 5 (%)"),
        judged=wide["1"].recipe.partition(":")[0],
        seeds=wide["1"].n,
        runs=len(ends[0]),
        closest=_closest(ends[0]),
        narrow_runs=len(ends[1]),
        narrow=_closest(ends[1]),
        of_mid=_mean(mid["9"], "silent on both (%)"),
        silent=_mean(wide["9"], "silent on both (%)"),
        idle=f"{float(idle.mean()):.0f}",
        half=_mean(wide["12"], "lowest-rate half (% loss)"),
        random=_mean(wide["12"], "random half (% loss)"),
    )


def example(patterns: xr.Dataset) -> str:
    """What two words of the glossary mean of one layer, in a sentence: of Wide's fullest layer.

    Parameters
    ----------
    patterns
        Wide's dataset of layer patterns: `final_batch_use` (seed, set, layer), `final_token_use` (seed, layer).
    """
    batch = 100 * patterns["final_batch_use"].mean(["seed", "set"]).astype(float)
    token = 100 * patterns["final_token_use"].mean("seed").astype(float)
    layer = int(batch.values.argmax())
    units, seeds = patterns.attrs["d_ff"], patterns.sizes["seed"]
    return (
        f"For example, layer {layer} of Wide (recipe *{patterns.attrs['recipe']}*, mean of {seeds} seeds) has a batch "
        f"use of {number(float(batch[layer]))} % and a token use of {number(float(token[layer]))} %: so many of its "
        f"{units:,} units fire at least once in 8,192 tokens, and at one token."
    )


def _closest(ends: Sequence[np.ndarray]) -> list[str]:
    """The run that is nearest to the source."""
    return [number(float(value)) for value in min(ends, key=distance)]


def _places(lowest: Counter[int]) -> str:
    """Which layer is the emptiest in how many, and which in none."""
    in_some = [f"layer {layer} is the emptiest in {times}" for layer, times in lowest.most_common() if times]
    in_none = [str(layer) for layer in sorted(lowest) if not lowest[layer]]
    return ", ".join(in_some) + (f", layers {', '.join(in_none)} in none" if in_none else "")


def _mean(outcome: Outcome, label: str) -> str:
    """The mean over the seeds that count, or the word that they all have."""
    values = [reading.values[label] for reading in outcome.readings if reading.seed not in outcome.ignored]
    if all(isinstance(value, str) for value in values):
        return " or ".join(dict.fromkeys(map(str, values)))
    return number(float(np.mean([float(value) for value in values])))

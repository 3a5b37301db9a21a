"""What the book found, in three sentences whose numbers are read from the recorded data."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from ..claims import Count, Outcome
from ..claims.table import number
from ..plots.recipes import FULL
from ..source import BATCH_USE

TEXT = """\
- **Which layer goes silent depends on the recipe.** Of {recipes} recipes for one model of 6 × 8,192 units (Mid), which
  differ in five choices that we do not know of the paper, {emptied} leave some layer less than full: {emptiest}.
- **The paper's two numbers have not met in one model.** Wild and Anderson report that {source[0]} % of the first
  layer's units and {source[5]} % of the last's fire in 8,192 tokens. Our nearest recipe of that width (Wide, 6 ×
  32,768) ends at {first} and {last} % ({seeds} seeds); in {both} of {runs} recorded runs of it does an early layer end
  under 30 % while the last keeps 90 %.
- **Silent units stay silent, and can go.** Of Wide's units that are silent on 8,192 tokens {silent} % are silent on a
  million more, beyond chance. Removing the half that fires least costs {half} % of the loss; a random half costs
  {random} %."""


def findings(outcomes: Sequence[Outcome], counts: Mapping[tuple[str, str], Count], cells: Sequence[xr.Dataset]) -> str:
    """Three findings as Markdown.

    Parameters
    ----------
    outcomes
        Of `claims.evaluate` on the recorded datasets; of two recipes of a shape, the first is meant.
    counts
        Of `claims.multiverse` on all recorded runs.
    cells
        Both halves of the factorial, with `final_batch_use` (recipe, seed, set, layer).
    """
    judged = [outcome for outcome in outcomes if outcome.verdict and outcome.readings]
    wide = {outcome.row.number: outcome for outcome in reversed(judged) if outcome.scale == "P"}
    ends = [cell["final_batch_use"].mean(["set", "seed"]).transpose("recipe", "layer").values for cell in cells]
    use = np.concatenate(ends)
    emptied = use[use.min(1) < FULL]
    lowest = Counter(emptied.argmin(1).tolist()).most_common()
    both = counts["3b", "P"]
    return TEXT.format(
        recipes=len(use),
        emptied=len(emptied),
        emptiest=", ".join(f"layer {layer} is the emptiest in {times}" for layer, times in lowest),
        source=BATCH_USE,
        first=_mean(wide["1"], "U_0 (%)"),
        last=_mean(wide["2"], "U_5 (%)"),
        seeds=wide["1"].n,
        both=both.held or "none",
        runs=both.runs,
        silent=_mean(wide["9"], "beyond chance (%)"),
        half=_mean(wide["12"], "lowest-rate half (% loss)"),
        random=_mean(wide["12"], "random half (% loss)"),
    )


def _mean(outcome: Outcome, label: str) -> str:
    """The mean over the seeds that count, or the word that they all have."""
    values = [reading.values[label] for reading in outcome.readings if reading.seed not in outcome.ignored]
    if all(isinstance(value, str) for value in values):
        return " or ".join(dict.fromkeys(map(str, values)))
    return number(float(np.mean([float(value) for value in values])))

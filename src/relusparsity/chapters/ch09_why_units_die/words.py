"""Sentences of chapter 09 on what was forked on this machine; the dataset chooses the words."""

import inspect

import numpy as np
import xarray as xr

from ...claims.short import Said, between
from ...config import RunConfig, from_dict
from ...experiments import attribution, forked, freezes, outliers, sealing
from ...interventions.updates import Control
from ...plots.reading import how_many
from ...store import results
from . import effects


def lines_that_matter() -> Said:
    """The library's own lines that put another update in the place of a treated unit's."""
    lines = inspect.getsource(Control._controlled).splitlines()
    body = lines[next(place for place, line in enumerate(lines) if "kind, held" in line) :]
    return Said("```python\n" + inspect.cleandoc("\n" + "\n".join(body)) + "\n```")


def moved(dataset: xr.Dataset) -> Said:
    """What moved the mean pre-activation of the followed units up to their last firing."""
    parts = by_cause(dataset)
    data, decay, reads = (parts.sel(cause=cause).values for cause in ("data", "decay", "input"))
    n, most = len(data), int((data < np.minimum(decay, reads)).sum())
    raised = f"{int((decay > 0).sum())} of {n}"
    down = int((reads < 0).sum())
    by = [between(of.round(2)).replace("-", "−") for of in (data, decay)]
    return Said(
        f"**In {most} of {n} followed units the data-driven updates did most of it**: up to the first kept step after "
        f"the last firing they moved the mean pre-activation by {by[0]}. Decay raised it in {raised}, by {by[1]}: "
        "their weights point away from the mean input, and shrink. The change of the input lowered it in "
        f"{down} and raised it in {n - down}. Units that live were not followed."
    )


def by_cause(dataset: xr.Dataset) -> xr.DataArray:
    """What moved the mean pre-activation of each followed unit, by cause: (unit, cause).

    Up to the first kept step after its last firing, as the figure has it.
    """
    later = (
        dataset["life_tokens"].shift(life_step=1, fill_value=0) >= dataset["life_onset"]
    )  # the one before is past it
    before = dataset["life_change"].where(~later)
    total = before.sum("life_step").where(dataset["life_unit"] >= 0)
    return total.stack(unit=("seed", "layer", "chosen")).dropna("unit").transpose("unit", "cause")


def taken(dataset: xr.Dataset, point: str) -> Said:
    """What exchanging updates does to deaths in these forks, and whether it counts."""
    found = effects.of_controls(dataset, point)
    of = found.sel(control="exchange")
    deaths = found["died"].sum(["layer", "seed"])
    without, with_it = float(deaths.isel(fork=0)), float(deaths.sel(fork="exchange"))
    counts = bool(of["counts"].all())
    said = (
        f"**{without:.0f} treated units die in the twin, and {with_it:.0f} with exchanged updates** "
        f"(AF {float(of['overall'].mean('seed')):.2f}). "
    )
    if counts:
        return Said(said + "Loss and path stay near the twin's, so that the control counts.")
    loss, path = (float(of[name].mean("seed")) for name in ("loss", "path"))
    why = f"the final loss lies {abs(100 * loss):.1f} % from the twin's, and row 10b allows {100 * attribution.NEAR:g}"
    if abs(path) > attribution.PATH:
        longer = f"{abs(100 * path):.0f} % {'longer' if path > 0 else 'shorter'}"
        why = f"updates became larger: their lengths add up to a path {longer} than the twin's, and row 10b allows "
        why += f"{100 * attribution.PATH:g}"
    return Said(
        f"{said}Each update goes to another unit as it is. But {why} %. So this is a first sight, not its verdict."
    )


def sealed(dataset: xr.Dataset, layer: int, free: str) -> Said:
    """How many of a layer's dead come back with its upstream free and frozen."""
    found = effects.of_revivals(dataset, layer, free)
    dead, back = (found[name].sum("seed").astype(float) for name in ("dead", "came_back"))
    usual, frozen = (float(back.sel(fork=fork)) for fork in (effects.FREE, effects.FROZEN))
    low, high = by_counting(usual, frozen)
    loss = dataset["final_loss"].sel(arm=[free, sealing.named(frozen=layer)]).mean("seed").values
    below = dataset.sel(arm=sealing.named(frozen=layer), layer=layer - 1).sum("seed")
    return Said(
        f"**Of layer {layer}'s {float(dead.sel(fork=effects.FREE)):.0f} dead units {usual:.0f} come back, and "
        f"{frozen:.0f} with all before the layer frozen**: {100 * (1 - frozen / usual):.0f} % fewer "
        f"({100 * low:.0f} to {100 * high:.0f} % by counting alone). That fork's loss ends "
        f"{100 * (loss[1] / loss[0] - 1):.1f} % higher. What is left is not the input's doing: moments, decay, or "
        f"text that had not come before. In layer {layer - 1}, which itself stands still there, new text alone wakes "
        f"{float(below['came_back']):.0f} of {float(below['dead_at_fork']):.0f}."
    )


def made(dataset: xr.Dataset, arm: str) -> Said:
    """Where a fork begins, how long it goes on, who is treated, and when a unit is dead."""
    config = from_dict(RunConfig, results.provenance(dataset)["configs"][arm])
    train, n = config.train, int(dataset.attrs["dead_after"])
    return Said(
        f"Here *n* is {n:,} tokens, {n // train.batch_tokens} steps. Forks begin after {config.fork.tokens:,} tokens, "
        f"go on for {config.fork.steps} steps, and treat {100 * config.control.share:g} % of each layer. Partners are "
        "drawn among the tenth of the treated units with like firing rates, and anew every "
        f"{config.control.every} steps."
    )


def to_come() -> Said:
    """How many forks have their forecasts and have not run."""
    waiting = [each for each in (attribution, outliers, freezes, sealing) if not each.RAN]
    forks = sum(len(each.ARMS) for each in waiting)
    intervals, sentences = (sum(len(getattr(each, name)) for each in waiting) for name in ("EXPECTED", "CHANCES"))
    return Said(
        f"{forks} forks of each of five seeds of Mid wait for a GPU. Their rules, {intervals} intervals and "
        f"{sentences} sentences with chances were written from {min(each.DATE for each in waiting)} on, before any of "
        "them ran."
    )


def cannot_say(dataset: xr.Dataset, point: str) -> Said:
    """What forks of one small run leave open, with the numbers that make it so.

    Parameters
    ----------
    dataset : Dataset
        Of the chapter's experiment.
    """
    found = effects.of_controls(dataset, point)
    deaths = found["died"].isel(fork=0).sum("seed", skipna=False)
    share = float(found.attrs["treated_share"])
    none = [str(layer) for layer, died in zip(deaths["layer"].values, deaths.values, strict=True) if died == 0]
    control = str(found["control"].values[0])
    low, high = by_counting(float(deaths.sum()), float(found["died"].sel(fork=control).sum()))
    said = [f"{_layers(none)} no treated unit dies, so nothing is known there."] if none else []
    of = found.sel(control=control).mean("seed")
    if not bool(found["counts"].sel(control=control).all()):
        said.append(
            f"By the rule of row 10b {control} would not count here: the loss ends {signed(of['loss'])} % from the "
            f"twin's, and the path of its treated units is {signed(of['path'])} % from theirs in the twin "
            "(at most 1 and 5 %)."
        )
    said.append(
        f"The row also asks for {attribution.LEAST} expected deaths in a layer, where {float(deaths.max()):.0f} are "
        f"the most here, for a tenth of the units treated, not {100 * share:g} %, and for {forked.SEEDS} seeds."
    )
    said += [
        f"In all layers {deaths.sum().item():.0f} treated units die in the twin: counting alone leaves what {control} "
        f"takes away uncertain, from {100 * low:.0f} to {100 * high:.0f} %".replace("-", "−")
        + f" (95 %), and {how_many(found.sizes['seed'], 'seed')} cannot say what another seed would do.",
        "A fork of this length sees units die, not whether they stay dead.",
    ]
    return Said("**What these forks cannot say.** " + " ".join(said))


def signed(share: xr.DataArray) -> str:
    """A share in percent, with its sign."""
    return f"{100 * float(share):+.1f}".replace("-", "−")


def _layers(numbers: list[str]) -> str:
    if len(numbers) == 1:
        return f"In layer {numbers[0]}"
    return f"In layers {', '.join(numbers[:-1])} and {numbers[-1]}"


def by_counting(without: float, with_it: float) -> tuple[float, float]:
    """A fraction taken away, 1 − with_it / without, give or take what chance alone does to two independent counts.

    95 %, by the delta method for the logarithm of the ratio of two Poisson counts: Var ≈ 1/a + 1/b. Ours is generous,
    for a control and its twin begin from one state.

    Examples
    --------
    >>> tuple(round(end, 2) for end in by_counting(100, 50))
    (0.3, 0.64)
    """
    if not without or not with_it:
        return np.nan, np.nan
    ratio, half = with_it / without, 1.96 * np.sqrt(1 / without + 1 / with_it)
    return float(1 - ratio * np.exp(half)), float(1 - ratio * np.exp(-half))

"""Sentences of chapter 09 on what was forked on this machine; the dataset chooses the words."""

import inspect

import numpy as np
import xarray as xr

from ...claims.short import Said, between
from ...config import RunConfig, from_dict
from ...experiments import attribution, forked, freezes, written
from ...interventions.updates import Control
from ...plots.reading import how_many
from ...shapes import title
from ...store import results
from . import effects
from .figures.forks import interval

POINT = "25 %"
"""Where the forks of Mid that the page shows begin: all controls are there, in every seed."""


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
    model, seeds = title(dataset.attrs["scale"]), how_many(dataset.sizes["seed"], "seed")
    said = (
        f"**In {model} ({seeds}) {without:.0f} treated units die in the twin, {with_it:.0f} with exchanged updates** "
        f"(AF {float(of['overall'].mean('seed')):.2f}). "
    )
    if counts:
        return Said(said + "Loss and path stay near the twin's, so that the control counts.")
    loss, path = (float(of[name].mean("seed")) for name in ("loss", "path"))
    why = f"the final loss lies {abs(100 * loss):.1f} % from the twin's, and row 10b allows {100 * attribution.NEAR:g}"
    if abs(path) > attribution.PATH:
        longer = f"{abs(100 * path):.0f} % {'longer' if path > 0 else 'shorter'}"
        why = f"their lengths, the *path*, add up to {longer} than the twin's, and row 10b allows "
        why += f"{100 * attribution.PATH:g}"
    return Said(
        f"{said}Each update goes to another unit as it is. But {why} %. So this is a first sight, not its verdict."
    )


def made(dataset: xr.Dataset, arm: str) -> Said:
    """Where a fork begins, how long it goes on, who is treated, and when a unit is dead."""
    config = from_dict(RunConfig, results.provenance(dataset)["configs"][arm])
    train, n = config.train, int(dataset.attrs["dead_after"])
    return Said(
        f"In {title(dataset.attrs['scale'])} *n* is {n:,} tokens, {n // train.batch_tokens} steps. Forks begin after "
        f"{config.fork.tokens:,} tokens, go on for {config.end_step - config.begin_step:,} steps, and treat "
        f"{100 * config.control.share:g} % of each layer. Partners are drawn among the tenth of the treated units with "
        f"like firing rates, the silent among them, and anew every {config.control.every} steps."
    )


def exchanged(dataset: xr.Dataset, point: str) -> Said:
    """What exchange takes away over the seeds of a recorded experiment, layer by layer, and whether it counts."""
    arm = attribution.named(point, "exchange")
    if waits := written.waits(dataset, arm, attribution.twin(arm)):
        return Said(waits)
    low, high = interval(attribution.overall(dataset).sel(arm=arm).values)
    enough = with_enough(dataset, point)
    by_layer = attribution.attributable(dataset).sel(arm=arm)
    of = [f"{_fraction(by_layer.sel(layer=layer).values)} in layer {layer}" for layer in enough]
    table = attribution.counts(dataset, arm)
    path = [100 * end(table["path, relative"]) for end in (min, max)]
    counted = int(table["counts"].sum())
    most = [layer for layer in enough if float(by_layer.sel(layer=layer).mean()) >= 0.5]
    half = [attribution.overall(dataset, part).sel(arm=arm).values for part in (slice(None, 5), slice(5, None))]
    return Said(
        f"**Of all deaths among the treated, exchange takes away {100 * low:.0f} to {100 * high:.0f} %** (95 %, "
        f"{how_many(len(table), 'seed')}), and layers differ. AF, the mean of the seeds with its 95 % interval, is "
        f"{', '.join(of)}; the other layers have fewer than {attribution.LEAST} deaths a seed. Among the rarest half "
        f"of a layer's units it is {_fraction(half[0])}, among the others {_fraction(half[1])}.\n\n"
        f"Its path is {_minus(f'{path[0]:+.0f} to {path[1]:+.0f}')} % from the twin's, where row 10b allows "
        f"{100 * attribution.PATH:g}: it counts in {counted or 'none'} of the seeds. "
        + ("" if counted else "So row 10b is *not testable* with it. ")
        + f"Without that condition, which was written before the runs, it would {'not ' * (len(most) < len(enough))}"
        f"hold: AF reaches 0.5 in {len(most)} of these {len(enough)} layers, and the row asks for all."
    )


def silent(dataset: xr.Dataset, point: str) -> Said:
    """How many treated units of each layer were dead when the forks began, beside what exchange does there."""
    if waits := written.waits(dataset, attribution.named(point, attribution.TWIN)):
        return Said(waits)
    twin = dataset.sel(arm=attribution.named(point, attribution.TWIN))
    lived = twin["lived"].sum("decile").sum("treated")
    share = 100 * (1 - lived / np.array(dataset.attrs["d_ff"])).mean("seed")
    shown = [f"{float(share.sel(layer=layer)):.0f}" for layer in dataset["layer"].values.tolist()]
    return Said(
        f"A guess, made after the runs: in layers 0 to {len(shown) - 1} of Mid {', '.join(shown)} % of the units were "
        "dead when the forks began. Groups are tenths. Where more than a tenth is silent, whole groups are, and their "
        "units get nothing from each other; where few are, as in layer 0 and in Laptop, a silent unit gets updates of "
        "units that fire, which may be what keeps it alive."
    )


def with_enough(dataset: xr.Dataset, point: str) -> list[int]:
    """Layers whose treated units have the deaths that row 10b asks for."""
    deaths = attribution.expected_deaths(dataset, point).mean("seed")
    return [int(layer) for layer in deaths["layer"] if float(deaths.sel(layer=layer)) >= attribution.LEAST]


def others(dataset: xr.Dataset, point: str) -> Said:
    """What the other controls do over the seeds: signs, reflection with its spill-over, and winsorising."""
    if waits := written.waits(dataset, *(arm for arm in attribution.ARMS if arm.startswith(f"at {point}"))):
        return Said(waits)
    overall, spilled = (attribution.overall(dataset, treated=which).mean("seed") for which in (True, False))

    def of(kind: str, values: xr.DataArray = overall) -> float:
        return float(values.sel(arm=attribution.named(point, kind)))

    def deaths(kind: str) -> str:
        died = dataset["died"].sel(arm=attribution.named(point, kind), treated=True)
        return f"{int(died.sum()):,}"

    one, *longer = (of(f"signs of {steps}") for steps in (1, 10, 100))
    signs = [_minus(f"{each:.2f}") for each in (one, *longer)]
    die = "as many" if abs(one) < 0.1 else "fewer" if one > 0 else "more"
    kill = "more" if max(longer) < min(0, one) else "otherwise"
    loss = attribution.counts(dataset, attribution.named(point, "reflect"))["loss, relative"].mean()
    low, high = (100 * (end - 1) for end in attribution.equivalent(dataset, point))
    same = "within" if low >= -10 and high <= 10 else "not within"
    return Said(
        f"**With signs drawn anew at each step, {die} units die** (AF {signs[0]}). Blocks of 10 and 100 steps kill "
        f"{kill} ({signs[1]} and {signs[2]}). **Reflecting leaves {deaths('reflect')} of the twins' "
        f"{deaths(attribution.TWIN)} deaths**, but not the rest of the network alone: the loss ends {signed(loss)} % "
        f"from the twin's, so that it does not count, and of the units that it does not touch "
        f"{100 * of('reflect', spilled):.0f} % fewer die. **Shortening the longest hundredth of the updates changes "
        f"deaths by {_minus(f'{low:+.1f} to {high:+.1f}')} %** (90 %), {same} the 10 % of row 11b (b)."
    )


def changed(fraction: float, layer: int) -> str:
    """A layer's attributable fraction in words.

    Examples
    --------
    >>> changed(0.79, 0), changed(0.004, 2), changed(-0.41, 3)
    ('79 % in layer 0', 'none in layer 2', 'in layer 3 it adds 41 %')
    """
    percent = round(100 * fraction)
    if percent < 0:
        return f"in layer {layer} it adds {-percent} %"
    return f"{f'{percent} %' if percent else 'none'} in layer {layer}"


def _fraction(seeds: np.ndarray) -> str:
    """An attributable fraction: the mean of its seeds, and Student's interval."""
    low, high = interval(seeds)
    return _minus(f"{seeds.mean():.2f} ({low:.2f} to {high:.2f})").replace("−0.00", "0.00")


def to_come(*recorded: xr.Dataset) -> Said:
    """How many forks have their forecasts and have not run.

    Parameters
    ----------
    recorded : Dataset
        Of experiments some of whose forks may have no end.
    """
    waiting = [each for each in (freezes,) if not each.RAN]
    missing = sum(int(each["final_loss"].isnull().sum()) for each in recorded)
    forks = missing + forked.SEEDS * sum(len(each.ARMS) for each in waiting)
    if not forks:
        return Said("All forks have run.")
    intervals, sentences = (sum(len(getattr(each, name)) for each in waiting) for name in ("EXPECTED", "CHANCES"))
    written = sorted({each.DATE for each in waiting})
    days = f"{'on' if len(written) == 1 else 'from'} {written[0]}{' on' * (len(written) > 1)}" if written else ""
    of_shown = f", {missing} of them of the designs shown above" if missing else ""
    if not waiting:
        return Said(f"{forks} forks of Mid wait for a GPU{of_shown}.")
    return Said(
        f"{forks} forks of Mid wait for a GPU{of_shown}. The {forks - missing} others freeze a unit's own weights, its "
        f"bias and its input in turn, in the same seeds; {intervals} intervals were written of them, and {sentences} "
        f"sentences, each with its chance, {days}, before any of them ran."
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
    share, seeds = float(found.attrs["treated_share"]), found.sizes["seed"]
    control = str(found["control"].values[0])
    of = found.sel(control=control).mean("seed")
    low, high = by_counting(float(deaths.sum()), float(found["died"].sel(fork=control).sum()))
    off = ""
    if not bool(found["counts"].sel(control=control).all()):
        off = (
            f" Loss and path of {control} lie {signed(of['loss'])} and {signed(of['path'])} % from the twin's (at most "
            f"{100 * attribution.NEAR:g} and {100 * attribution.PATH:g})."
        )
    none = [str(layer) for layer, died in zip(deaths["layer"].values, deaths.values, strict=True) if died == 0]
    nothing = f" {_layers(none)} no treated unit dies, so nothing is known there." if none else ""
    model = title(dataset.attrs["scale"])
    return Said(
        f"- **{model} decides no row.** Row 10b asks for {forked.SEEDS} seeds, a tenth of the units treated and "
        f"{attribution.LEAST} deaths in a layer; here there {'is' if seeds == 1 else 'are'} {how_many(seeds, 'seed')}, "
        f"{100 * share:g} % treated, and {float(deaths.max()):.0f} deaths at most.{off}{nothing} Counting alone leaves "
        + f"what {control} takes away between {100 * low:.0f} and {100 * high:.0f} % (95 %).".replace("-", "−")
    )


def signed(share: xr.DataArray | float) -> str:
    """A share in percent, with its sign."""
    return _minus(f"{100 * float(share):+.1f}")


def _minus(number: str) -> str:
    return number.replace("-", "−")


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

"""Sentences of chapter 13 on recorded runs; the dataset chooses the words, and says which runs are to come."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from ... import claims
from ...claims.short import Said, listed
from ...claims.statistics import student
from ...experiments import lazy, top_k, top_k_rows, top_k_tuning
from ...experiments.top_k_tuning import DENSE, DROPOUT, TOP_K, named
from ...models import feedforward
from ...plots.reading import how_many
from ...store import results
from . import phrases, read


def or_to_come(make: Callable[[xr.Dataset], Any], dataset: xr.Dataset | None, what: str) -> Any:
    """What is made of a dataset, or a sentence while it is not recorded."""
    return Said(f"**{what} to come.**") if dataset is None else make(dataset)


def verdict(dataset: xr.Dataset, number: str) -> str:
    """What a row of the ledger says of these runs: 'row 25: not reproduced'."""
    rows = tuple(row for row in claims.ADDED if row.number == number)
    outcome = claims.evaluate({("top_k", dataset.attrs["scale"]): dataset}, rows=rows, rules=top_k_rows.RULES)[0]
    return f"row {number}: *{outcome.verdict}*" + f" ({outcome.reason})" * bool(outcome.reason)


def definition() -> Said:
    """The function that every model here calls, from the library's source."""
    return Said(f"```python\n{inspect.getsource(feedforward.top_k).rstrip()}\n```")


def recipe(dataset: xr.Dataset) -> Said:
    """How the models are built, what differs between the arms, and which runs there are."""
    run, facts = lazy.models(dataset)[named(TOP_K, 0.0)], results.provenance(dataset)
    of, kept = run.train, int(run.model.top_k)  # type: ignore[attr-defined]
    passes = of.tokens / run.model.seq_len / facts["corpus"]["train_pictures"]
    seeds = how_many(dataset.sizes["seed"], "seed")
    shares = listed([f"{100 * noise:g}" for noise in read.noises(dataset)])
    return Said(
        f"{how_many(run.model.n_layers, 'layer')} of {run.model.width:,} units, k = {kept}; a stream of "
        f"{run.model.d_model} with {how_many(run.model.n_heads, 'head')}; {of.steps:,} steps of "
        f"{how_many(of.batch_tokens // run.model.seq_len, 'picture')}, {passes:.0f} passes; {seeds}. Three arms, "
        f"{DENSE}, {DROPOUT} and Top-k, with {shares} % of the training labels replaced, drawn once. Arms of a seed "
        f"begin with the same weights and see the same pictures in the same order. {_missing(dataset)}"
    )


def _missing(dataset: xr.Dataset) -> str:
    """How many runs are there, of how many."""
    accuracy = top_k.ends(dataset)["accuracy"]
    lacking = int(accuracy.isna().sum())
    return f"{lacking} of {len(accuracy)} runs are to come." if lacking else f"All {len(accuracy)} runs have ended."


def budget(dataset: xr.Dataset) -> Said:
    """What the tuning tries, on what it chooses, and whether these runs were tuned."""
    scale = dataset.attrs["scale"]
    if scale not in (shape for shape, _ in top_k_tuning.RECORDED):
        return Said("**Nothing was tuned here**: each arm is trained as its shape's own recipe says.")
    tried = len(top_k_tuning.settings(scale, DENSE))
    return Said(
        f"**Each arm had the same budget**: {tried} settings at each noise ({len(top_k_tuning.RATES)} learning rates "
        f"times {len(top_k_tuning.DECAYS)} strengths of weight decay, or of dropout for the arm that has it), on "
        f"{how_many(len(top_k_tuning.SEEDS), 'seed')} that judge nothing. That with the highest accuracy on the "
        "validation at the end is taken. Those labels are clean, whatever the noise, which helps all arms alike; the "
        "test was not looked at."
    )


def by_tuning(tuning: xr.Dataset) -> Said:
    """How much the choice of a setting is worth, beside what is asked of Top-k."""
    end = 100 * tuning["heldout_accuracy"].isel(step=-1).astype(float).mean("seed")
    scale, gains, moved = tuning.attrs["scale"], [], 0
    for (arm, noise), fields in top_k_tuning.chosen(tuning).items():
        tried = top_k_tuning.settings(scale, arm)
        of = end.sel(recipe=[f"{named(arm, noise)}, {setting}" for setting in tried]).values
        gains.append(float(np.nanmax(of) - of[0]))
        moved += fields != next(iter(tried.values()))
    return Said(
        f"Tuning moves {moved} of {len(gains)} arms from the shape's own setting, by {min(gains):.1f} to "
        f"{max(gains):.1f} points on the validation."
    )


def cost(dataset: xr.Dataset) -> Said:
    """Row 25: what Top-k costs without noise."""
    of = read.quality(dataset).sel(noise=0.0)
    (low, high), inside = top_k.costs_little(dataset)
    if inside is None:
        claim = "**What Top-k costs without noise is open.**"
    elif inside:
        claim = f"**Without noise Top-k costs little**: less than {top_k.NEAR:g} points either way."
    elif low > 0 or high < 0:
        claim = f"**Without noise Top-k {'gains' if low > 0 else 'costs'} accuracy.**"
    else:
        claim = f"**Without noise Top-k may cost, or gain, more than {top_k.NEAR:g} points: that is open.**"
    said = phrases.compared(of["gain"].sel(over=DENSE).values, low, high, 90)
    return Said(f"{claim} It ends {said} from dense, {_others(of, DROPOUT)}. By {verdict(dataset, '25')}.")


def _others(of: xr.Dataset, over: str) -> str:
    at = of.sel(over=over)
    return f"{phrases.compared(at['gain'].values, float(at['low']), float(at['high']))} from {over}"


def under_noise(dataset: xr.Dataset) -> Said:
    """Row 26, Top-k against both others at the first noise; the claim counts the other noise, too."""
    of = read.quality(dataset)
    at = of.isel(noise=1)
    pairs = [read.known(at["gain"].sel(over=over).values) for over in (DENSE, DROPOUT)]
    above = " and ".join(f"{int((each > 0).sum())} of {each.size}" for each in pairs)
    return Said(
        f"**{_claim(of)}** With {phrases.labels(float(at['noise']))} Top-k ends {_others(at, DENSE)}, "
        f"{_others(at, DROPOUT)}; it is above them in {above} seeds. By {verdict(dataset, '26')}."
    )


def _claim(of: xr.Dataset) -> str:
    """Of the intervals of the gains under noise, over both others, how many are above 0, and below."""
    low, high = (of[end].isel(noise=slice(1, None)).values.ravel() for end in ("low", "high"))
    if not np.isfinite(low).all():
        return "Whether Top-k helps where labels are wrong is open."
    above, below, all_ = int((low > 0).sum()), int((high < 0).sum()), len(low)
    if above == all_:
        return "Where labels are wrong, Top-k helps, over dense and over dropout."
    if not above and not below:
        return f"Where labels are wrong, none of {all_} comparisons says surely that Top-k is ahead, or behind."
    return (
        f"Where labels are wrong, Top-k is surely ahead in {above} of {all_} comparisons, and surely behind in {below}."
    )


def calibration(dataset: xr.Dataset) -> Said:
    """How the calibration errors of dense and Top-k end, which way they err, and what wrong labels do to both."""
    plain, noisy = read.noises(dataset)[:2]
    return Said(
        f"**With {phrases.labels(0.0)} the calibration error ends at {_errors(dataset, plain)}.** "
        f"{_way(dataset, plain)} Trained on {phrases.labels(100 * noisy)}, it ends at {_errors(dataset, noisy)}. "
        f"{_way(dataset, noisy)}{_doubt(dataset, noisy)}"
    )


def _errors(dataset: xr.Dataset, noise: float) -> str:
    table = top_k.ends(dataset)
    means = {
        column: [phrases.mean(table.loc[named(arm, noise), column].to_numpy(), 2) for arm in (DENSE, TOP_K)]
        for column in ("error", "scaled error")
    }
    (dense, top), scaled = means["error"], means["scaled error"]
    return f"{dense} in dense and {top} in Top-k, by temperature at {scaled[0]} and {scaled[1]}"


def _temperatures(dataset: xr.Dataset, noise: float) -> np.ndarray:
    table = top_k.ends(dataset)["temperature"]
    return read.known(np.concatenate([table.loc[named(arm, noise)].to_numpy() for arm in (DENSE, TOP_K)]))


def _way(dataset: xr.Dataset, noise: float) -> str:
    """Which way the models err, by the temperatures that fit the validation."""
    every = _temperatures(dataset, noise)
    if not every.size:
        return "Which way they err is to come."
    spans = f"temperatures of {every.min():.2f} to {every.max():.2f}"
    if (every > 1).all():
        return f"All of these models are too sure ({spans})."
    return f"{'None of them is sure enough' if (every < 1).all() else 'They err both ways'} ({spans})."


def _doubt(dataset: xr.Dataset, noise: float) -> str:
    every = _temperatures(dataset, noise)
    why = " They learned a doubt from labels that are wrong, and the test's are true."
    return why * bool(every.size and (every < 1).all())


def at_equal_accuracy(dataset: xr.Dataset) -> Said:
    """Row 27: calibration where dense and Top-k are equally accurate on the validation."""
    table = top_k.at_equal_accuracy(dataset, named(DENSE, 0.0), named(TOP_K, 0.0))
    ends, told = {}, []
    for column, how in (("error", "as it is"), ("scaled error", "by temperature")):
        excess = top_k.excess(dataset, column)
        low, high = ends[how] = student(excess)
        told.append(f"{how} {phrases.compared(excess.to_numpy(), low, high)}")
    highs, lows = ([end[at] for end in ends.values()] for at in (1, 0))
    if not np.isfinite(highs).all():
        claim = "Whether Top-k is better calibrated at equal accuracy is open."
    elif max(highs) < 0:
        claim = "At equal accuracy Top-k is better calibrated, as it is and by temperature."
    elif min(lows) > 0:
        claim = "At equal accuracy Top-k is worse calibrated, as it is and by temperature."
    else:
        less = [how for how, (_, high) in ends.items() if high < 0]
        more = [how for how, (low, _) in ends.items() if low > 0]
        claim = "At equal accuracy Top-k's calibration is "
        claim += ", ".join([*(f"better {how}" for how in less), *(f"worse {how}" for how in more)])
        claim += ", and otherwise not surely different." if less or more else "not surely different."
    steps = [read.known(table.loc[named(arm, 0.0), "step"].to_numpy()) for arm in (DENSE, TOP_K)]
    where = ""
    if all(each.size for each in steps):
        dense, top = (f"{each.min():,.0f} to {each.max():,.0f}" for each in steps)
        where = f" Of {int(dataset['step'][-1]):,} steps dense is read after {dense}, Top-k after {top}."
    return Said(
        f"**{claim}** A model that trains longer gets surer, so the two are compared where they are equally right on "
        f"the validation.{where} There Top-k's error differs from dense's: {'; '.join(told)}. By "
        f"{verdict(dataset, '27')}."
    )


def robustness(dataset: xr.Dataset) -> Said:
    """In how many of the ways to spoil pictures Top-k is surely ahead of dense, and surely behind."""
    of, told = read.robustness(dataset).sel(noise=0.0, over=DENSE), []
    open_ = False
    for name, along, what in (
        ("noisy", "strength", "kinds and strengths of noise"),
        ("attacked", "epsilon", "attacks"),
    ):
        low, high = (of[f"{name}_{end}"].isel({along: slice(1, None)}).values.ravel() for end in ("low", "high"))
        open_ |= not np.isfinite(low).all()
        told.append(
            f"of {len(low)} {what} it is surely ahead in {int((low > 0).sum())}, behind in {int((high < 0).sum())}"
        )
    if open_:
        return Said("**Whether Top-k withstands more than dense is open**: pairs are to come, or one is no interval.")
    return Said(
        f"**Spoilt pictures, {phrases.labels(0.0)}: {'; '.join(told)}.** Top-k against dense, by 95 % intervals each "
        "on its own: of twenty such, one errs by luck. Who is ahead on whole pictures begins ahead, so read the curves "
        "from their left end. An attack by the gradient may fail on Top-k for want of a gradient: units that are cut "
        "give none. PGD's 20 steps from a drawn point make that less likely, and do not rule it out."
    )

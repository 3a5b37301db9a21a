"""Sentences of chapter 04 whose words the recorded data choose."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from ...claims.reading import setting
from ...claims.short import Said
from ...claims.statistics import student
from ...claims.table import number
from ...counting import metrics
from . import compared


def passing(*measures: ArrayLike) -> int:
    """In how many seeds every measure's δ is at least 0.33: one list, seed by seed, for each measure."""
    return int((np.asarray(measures, dtype=float) >= compared.ENOUGH).all(0).sum())


def rounded(value: float) -> str:
    """To two decimals: '−0.04'."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def between(values: ArrayLike) -> str:
    """The 95 % interval of the mean over seeds: '0.38 to 0.58'."""
    return " to ".join(map(rounded, student(values)))


def _held(values: ArrayLike) -> str:
    """In how many seeds δ is at least 0.33: 'all 3 seeds', '1 of 3 seeds', 'none of 3 seeds'."""
    held, of = passing(values), np.size(values)
    return f"all {of} seeds" if held == of else f"{held or 'none'} of {of} seeds"


def _place(values: ArrayLike) -> str:
    """Where the 95 % interval of the mean lies against the rule's 0.33."""
    low, high = student(values)
    if low >= compared.ENOUGH:
        return f"lies above {compared.ENOUGH}"
    return f"lies below {compared.ENOUGH}" if high < compared.ENOUGH else f"includes {compared.ENOUGH}"


def rates(named: Mapping[str, xr.Dataset]) -> Said:
    """How far the within-sequence rates of first and last layer lie apart, by recipe of one shape."""
    found = {name: compared.deltas(dataset)["within_sequence_rate"].values for name, dataset in named.items()}
    every = np.concatenate(list(found.values()))
    means = " and ".join(f"{between(values)} with *{name}*" for name, values in found.items())
    return Said(
        "**In Wide, units of the last layer have the higher within-sequence rate, by as much as the rule asks in "
        f"{_held(every)}.** The 95 % interval of the mean δ, over the seeds of a recipe, is {means}."
    )


def selectivity(named: Mapping[str, xr.Dataset]) -> Said:
    """How far the token selectivities of first and last layer lie apart, by recipe of one shape."""
    found = {name: compared.deltas(dataset)["token_selectivity"].values for name, dataset in named.items()}
    held = ", ".join(f"in {_held(values)} with *{name}*" for name, values in found.items())
    places = "; ".join(
        f"with *{name}*, the interval of the mean {_place(values)} ({between(values)})"
        for name, values in found.items()
    )
    above = min(float(values.min()) for values in found.values()) > 0
    sign = " In every seed it is the higher there." if above else ""
    places = places[:1].upper() + places[1:]
    return Said(
        f"**Token selectivity is higher in the last layer by as much as the rule asks {held}.**{sign} {places}."
    )


def narrow(mid: xr.Dataset, wide: xr.Dataset) -> Said:
    """What Mid adds, beside Wide by the same recipe."""
    here, there = compared.deltas(mid), compared.deltas(wide)
    rate, types = (here[name].values for name in compared.MEASURES)
    neither = not passing(rate) and not passing(types)
    claim = (
        f"In Mid neither measure reaches {compared.ENOUGH} in any of {len(rate)} seeds"
        if neither
        else f"In Mid the within-sequence rate reaches {compared.ENOUGH} in {_held(rate)}, token selectivity "
        f"in {_held(types)}"
    )
    lowest = min(float(each.to_dataarray().min()) for each in (here, there))
    same = " As in Wide, the last layer is the higher in both measures in every seed." if lowest > 0 else ""
    tokens = [float(setting(each, "train", "tokens")) for each in (wide, mid)]
    mean, wider = (number(float(each["within_sequence_rate"].mean())) for each in (here, there))
    return Said(
        f"**{claim}.**{same} The mean δ of the within-sequence rate is {mean} (95 % interval {between(rate)}), against "
        f"{wider} in Wide with the same recipe. Wide is wider and was trained on {number(tokens[0] / tokens[1])} times "
        "as many tokens: which of the two matters, these runs cannot say."
    )


def burst(dataset: xr.Dataset, sequences: int = 4) -> Said:
    """Both measures of a unit that fires at every token of a few sequences and nowhere else."""
    seq_len, tokens = int(setting(dataset, "model", "seq_len")), int(dataset.attrs["sample_tokens"])
    of, count = tokens // seq_len, sequences * seq_len
    rate, random = metrics.within_sequence_rate(np.array([count]), np.array([sequences]), of, seq_len)
    hit = count / (float(random[0]) * seq_len)
    return Said(
        f"Its within-sequence rate is {number(float(rate[0]))}, the highest there is. {count:,} random firings would "
        f"hit about {hit:,.0f} of the {of:,} sequences, at a rate of {number(100 * float(random[0]))} %: it bunches "
        f"{number(float(rate[0] / random[0]))} times as much. Its token selectivity is near 0, if its sequences hold "
        "the words that text holds: the unit follows a document, and no word."
    )


def unmatched(named: Mapping[str, xr.Dataset]) -> Said:
    """What δ becomes where units are compared however often they fire."""
    said = []
    for name, dataset in named.items():
        free, held = compared.unmatched(dataset).mean("seed"), compared.deltas(dataset).mean("seed")
        parts = [
            f"{number(float(free[measure]))} instead of {number(float(held[measure]))} for {title}"
            for measure, title in zip(compared.MEASURES, compared.WITH_ARTICLE, strict=True)
        ]
        said.append(f"with *{name}* the mean δ is {' and '.join(parts)}")
    turned = [name for name, dataset in named.items() if (_means(dataset) < 0).any()]
    sign = f" With {' and '.join(f'*{name}*' for name in turned)} even a sign turns." if turned else ""
    return Said(
        f"In Wide, {'; '.join(said)}.{sign} So compared, δ tells how often units fire along with how specific they are."
    )


def _means(dataset: xr.Dataset) -> np.ndarray:
    """For each measure, the mean δ of all units times that at equal firing count: below 0 the two signs differ."""
    product = compared.unmatched(dataset).mean("seed") * compared.deltas(dataset).mean("seed")
    return product.to_dataarray().values


def by_random(named: Mapping[str, xr.Dataset]) -> Said:
    """What δ becomes where each unit's within-sequence rate is first divided by that of random firing."""
    means, changed = [], []
    for name, dataset in named.items():
        rate, selective = (compared.deltas(dataset)[measure].values for measure in compared.MEASURES)
        divided = compared.by_random(dataset).values
        means.append(f"{number(float(divided.mean()))} in {name}")
        pairs = ((rate, selective), (divided, selective))
        before, after = ((np.stack(pair) >= compared.ENOUGH).all(0) for pair in pairs)
        changed += [name] if (before != after).any() else []
    verdicts = (
        f"It would change which seeds of {' and '.join(changed)} pass"
        if changed
        else "The same seeds would pass, since token selectivity decides"
    )
    return Said(
        "**The rule blunts the difference in the within-sequence rate.** Within a stratum counts differ by up to a "
        "quarter, and the rate grows with the count. Divided by that of random firing, unit by unit (the figure's "
        f"lowest panel), its mean δ is {'; '.join(means)}. We saw this after the runs: it decides nothing. "
        f"{verdicts}."
    )


def busy(named: Mapping[str, xr.Dataset], percent: float = 1) -> Said:
    """Between which units, rare or busy, the two layers differ in token selectivity."""
    found = {name: compared.rare_and_busy(dataset, percent) for name, dataset in named.items()}
    rare, often = (
        " and ".join(f"{rounded(float(pair[at].mean()))} with *{name}*" for name, pair in found.items())
        for at in (0, 1)
    )
    return Said(
        f"Between units that fire at less than {percent:g} % of tokens, the mean δ of token selectivity is {rare}; "
        f"between those that fire more often it is {often}. The split was made after looking."
    )

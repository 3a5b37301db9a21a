"""Sentences of chapter 10 on recorded runs and on this machine's; the dataset chooses the words."""

import inspect
from collections.abc import Mapping

import xarray as xr

from ...claims.short import Said
from ...config import RunConfig, from_dict
from ...experiments import pruned_training
from ...plots.reading import how_many
from ...shapes import title
from ...store import results
from ...train.step import Trainer
from . import bound, stages

PART = 0.1
"""Of the training, the first part after which Wide's forks begin."""


def lines_that_matter() -> Said:
    """The library's own lines that go on with fewer units."""
    lines = inspect.getsource(Trainer.keep).splitlines()
    begin = next(place for place, line in enumerate(lines) if "moments: dict" in line)
    end = next(place for place, line in enumerate(lines) if "self.deaths.keep" in line)
    return Said("```python\n" + inspect.cleandoc("\n" + "\n".join(lines[begin : end + 1])) + "\n```")


def at_most(bounds: Mapping[str, xr.Dataset]) -> Said:
    """What the bounds of the fastest and the slowest model of Wide are, at the last step and over a run."""
    table = bound.at(bounds, (1.0,)).isel(stage=0)
    wide = [name for name, of in bounds.items() if of.attrs["scale"] == "wide"]
    ends = table["bound"].sel(model=wide)
    most, least = str(ends.idxmax("model").item()), str(ends.idxmin("model").item())
    of = {name: table.sel(model=name) for name in (most, least)}
    dead = {name: f"{100 * float(each['dead']):.0f} %" for name, each in of.items()}
    return Said(
        f"**At most {float(of[most]['over_run']):.2f} times as fast over a whole run, for {most}**, whose units are "
        f"{dead[most]} dead at its last step; there a step has {float(of[most]['bound']):.2f} times as many operations "
        f"as it needs. For {least} ({dead[least]} dead) it is {float(of[least]['over_run']):.2f} and "
        f"{float(of[least]['bound']):.2f}. The fuller a recipe keeps its layers, the less there is to remove: what "
        "brings a model nearer to the paper's last layer takes this saving away."
    )


def removed(dataset: xr.Dataset) -> Said:
    """Which units went from this machine's run, when, and what is left."""
    of = stages.of(dataset).isel(seed=0).sel(arm="pruned").dropna("stage")
    facts = results.provenance(dataset)["configs"]["pruned"]
    config = from_dict(RunConfig, facts)
    parts = [f"{100 * tokens / config.train.tokens:.3g}" for tokens in config.prune.tokens]
    left = [f"{100 * share:.0f}" for share in of["left"].values]
    return Said(
        f"**In {title(dataset.attrs['scale'])} dead units go after {_and(parts)} % of the tokens**, and {_and(left)} % "
        f"of all units are left. Dead means no firing in {config.train.dead_after:,} tokens. Each layer keeps a "
        f"multiple of {config.prune.multiple} units. *Random* loses as many of each layer, drawn by lot; *narrow* "
        "begins with the mean of these widths, the same in every layer."
    )


def came(dataset: xr.Dataset) -> Said:
    """Loss and seconds of each arm beside dense's, and how fast the last stage is against its bound."""
    ends = dataset["final_loss"].isel(seed=0)
    spent = dataset["training_seconds"].isel(seed=0).max("step")
    rise = {str(arm): 100 * float(ends.sel(arm=arm) / ends.sel(arm="dense") - 1) for arm in ends["arm"].values}
    share = {arm: 100 * float(spent.sel(arm=arm) / spent.sel(arm="dense")) for arm in rise}
    last = stages.of(dataset).isel(seed=0).sel(arm="pruned").dropna("stage").isel(stage=-1)
    told = [f"{arm} {signed(rise[arm])} % in {share[arm]:.0f} % of the seconds" for arm in rise if arm != "dense"]
    by_lot = "no more" if rise["random"] <= rise["pruned"] else "more"
    return Said(
        f"**At the same tokens the final loss beside dense's is: {'; '.join(told)}.** Units drawn by lot cost {by_lot} "
        f"here than the dead; one seed cannot tell such differences from chance. At its end *pruned* trains "
        f"{float(last['speed']):.2f} times as fast as dense, by operations {float(last['bound']):.2f}: what is not "
        "counted in operations, such as the optimiser and the counters, goes with the units too."
    )


def returned(dataset: xr.Dataset) -> Said:
    """How many of the first removal's units fired again where nothing was removed."""
    gone, back = (int(dataset[name].sum()) for name in ("removed", "returned"))
    return Said(
        f"**Of the first {gone} units that went, {back} fire again by the end of the dense run** "
        f"({100 * back / gone:.0f} %). Dead means silent for a while, not for ever; a removal makes it for ever."
    )


def to_come() -> Said:
    """The runs of row 17 that have their rules and have not run."""
    runs = len(pruned_training.config("wide").runs) + len(pruned_training.seeds("wide"))
    if pruned_training.RAN:
        return Said(f"The {runs} runs of Wide ran on {pruned_training.RAN}.")
    return Said(
        f"{runs} runs of Wide, *nearest*, wait for a GPU: in each of three seeds a parent, its dense fork, one that "
        "loses its dead units after 10, 25 and 50 % of the tokens, and two that begin with fewer units. A fifth, with "
        f"units drawn by lot, follows from them. Rules and forecasts were written on {pruned_training.DATE}."
    )


def cannot_say(dataset: xr.Dataset) -> Said:
    """What one small run leaves open, with its numbers."""
    rise = dataset["final_loss"].isel(seed=0)
    most = 100 * float((abs(rise / rise.sel(arm="dense") - 1)).max())
    return Said(
        f"**What these runs cannot say.** {how_many(dataset.sizes['seed'], 'seed').capitalize()} of a model of "
        f"{title(dataset.attrs['scale'])}'s size, trained for {int(dataset['step'].max())} steps with a weight decay "
        f"that empties it: losses that differ by {most:.2f} % or less may differ by chance. Of a run so short most of "
        "the dead come back; how many do in a long one, these runs do not say."
    )


def signed(percent: float) -> str:
    """A number of percent with its sign: '−0.06'."""
    return f"{percent:+.2f}".replace("-", "−")


def _and(parts: list[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}"

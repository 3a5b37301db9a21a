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
        f"**At most {float(of[most]['over_run']):.2f} times as fast over a whole run, for {most}**, if each unit went "
        f"the moment it died and stayed away; {float(of[most]['planned_over_run']):.2f} times with three removals. At "
        f"its last step {dead[most]} of its units are dead, and a step has {float(of[most]['bound']):.2f} times the "
        f"operations of one without them. For {least} ({dead[least]} dead) it is {float(of[least]['over_run']):.2f} "
        f"over the run and {float(of[least]['bound']):.2f} at the end. The fuller a recipe keeps its layers, the less "
        "there is to save, and the recipes that keep them fuller are those whose last layer is nearer to the paper's."
    )


def removed(dataset: xr.Dataset) -> Said:
    """Which units went from this machine's run, when, and what is left."""
    of = stages.of(dataset).isel(seed=0).sel(arm="pruned").dropna("stage")
    facts = results.provenance(dataset)["configs"]["pruned"]
    config = from_dict(RunConfig, facts)
    parts = [f"{100 * tokens / config.train.tokens:.3g}" for tokens in config.prune.tokens]
    left = [f"{100 * share:.0f}" for share in of["left"].values]
    whole, width = (sum(dataset["width"].sel(arm=arm).isel(seed=0, step=0).values) for arm in ("dense", "narrow"))
    narrow = float(width / whole)
    return Said(
        f"**In {title(dataset.attrs['scale'])}, trained with a weight decay of {config.train.weight_decay:g} so that "
        f"there is something to remove, dead units go after {_and(parts)} % of the tokens**, and {_and(left)} % of all "
        f"units are left. Dead means no firing in the last {config.train.dead_after:,} tokens. Each layer keeps a "
        f"multiple of {config.prune.multiple} units. *Random* loses as many of each layer, drawn by lot. *Narrow* has "
        f"{100 * narrow:.0f} % of the units in every layer from its first step on: the mean of *pruned*'s over the "
        "run, so that both cost about as many operations."
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
        f"{float(last['speed']):.2f} times as fast as dense, by operations {float(last['bound']):.2f}. What is not "
        "counted in operations, such as the optimiser and the counters, shrinks with the units, which may be the rest."
    )


def returned(dataset: xr.Dataset) -> Said:
    """How many of the first removal's units fired again where nothing was removed."""
    gone, back = (int(dataset[name].sum()) for name in ("removed", "returned"))
    return Said(
        f"**Of the first {gone} units that went, {back} fire at least once in what is left of the dense run** "
        f"({100 * back / gone:.0f} %). Dead means silent for a while, not for ever; a removal makes it for ever."
    )


def beside(recorded: xr.Dataset, here: xr.Dataset) -> Said:
    """How the arms come out on this machine, and whether in the order of the recorded runs, from the lowest loss."""
    rises = []
    for dataset in (recorded, here):
        ends = dataset["final_loss"].isel(seed=0).to_series()
        rises.append((100 * (ends / ends["dense"] - 1)).sort_values())
    mine = ", ".join(f"{arm} {signed(rise)} %" for arm, rise in rises[1].items() if arm != "dense")
    same = rises[0].index.tolist() == rises[1].index.tolist()
    order = "in the same order as above" if same else "in another order than above, so that they cannot rank the arms"
    return Said(f"Here the same seed ends at {mine} from dense's loss, {order}.")


def to_come(bounds: Mapping[str, xr.Dataset]) -> Said:
    """The runs of row 17 that have their rules and have not run."""
    runs = len(pruned_training.config("wide").runs) + len(pruned_training.seeds("wide"))
    if pruned_training.RAN:
        return Said(f"The {runs} runs of Wide ran on {pruned_training.RAN}.")
    return Said(
        f"**{runs} runs of Wide, *nearest*, wait for a GPU; they decide row 17.** In each of three seeds: a *parent*; "
        "from 10 % of its tokens on its forks *dense* and *pruned*, which loses its dead units there and after 25 and "
        "50 % of the tokens; *narrow*, with one width; *recommended*, with a width for each layer that is computed "
        "from the parent's first tenth. *Random* follows once *pruned*'s widths are known. Row 17 counts from the "
        f"fork on, where the bound by operations is {float(bounds['Wide, nearest']['planned'].mean()):.2f}, and asks "
        "for 1.3 in seconds. Row 18 needs five seeds of Mid, which are not among them."
    )


def cannot_say(dataset: xr.Dataset) -> Said:
    """What one small run leaves open, with its numbers."""
    rise = dataset["final_loss"].isel(seed=0)
    most = 100 * float((abs(rise / rise.sel(arm="dense") - 1)).max())
    seeds, steps = how_many(dataset.sizes["seed"], "seed").capitalize(), int(dataset["step"].max())
    return Said(
        f"- **{seeds}, {steps} steps.** The arms' losses in {title(dataset.attrs['scale'])} lie within {most:.2f} % of "
        "dense's, which may be chance. In a run so short most of the dead come back; how many do in a long one, these "
        "runs do not say."
    )


def signed(percent: float) -> str:
    """A number of percent with its sign: '−0.06'."""
    return f"{percent:+.2f}".replace("-", "−")


def _and(parts: list[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}"

"""What chapter 10 found, and what it still has to find."""

from ... import store
from ...claims.short import Short
from . import bound, experiment, words


def in_short() -> Short:
    """The chapter in a sentence and three lines."""
    laptop = store.recorded(experiment.NAME, "laptop")
    table = bound.at({name: bound.bound(of) for name, of in bound.recorded().items()}, (1.0,)).isel(stage=0)
    most, full, mid = (table.sel(model=name) for name in ("Wide, nearest", "Wide, fan-in, decay 1", "Mid, first"))
    ends = laptop["final_loss"].isel(seed=0)
    rise = {
        arm: words.signed(100 * float(ends.sel(arm=arm) / ends.sel(arm="dense") - 1)) for arm in ("pruned", "random")
    }
    gone, back = (int(laptop[name].sum()) for name in ("removed", "returned"))
    return Short(
        f"By operations, removing dead units while training can make a whole run of our emptiest model (Wide, "
        f"*nearest*) at most {float(most['over_run']):.2f} times as fast, {float(most['planned_over_run']):.2f} times "
        f"with three removals; of Mid {float(mid['over_run']):.2f} times. Wide has not been run without its dead, so "
        "what their removal costs there is not known.",
        (
            f"The fuller the layers stay, the less there is to save: {float(full['over_run']):.2f} times with fan-in "
            "matrices and weight decay 1, which bring Wide's last layer nearer to the paper's.",
            f"In Laptop (weight decay 2, one seed) the loss ends {rise['pruned']} % from the dense run's without the "
            f"dead units, and {rise['random']} % without as many drawn by lot. Both may be chance.",
            f"Of the first {gone} units that went from Laptop, {back} fire again in the dense run, which keeps them.",
        ),
    )

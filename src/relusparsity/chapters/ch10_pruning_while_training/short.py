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
        f"Removing dead units while training can make a whole run at most {float(most['over_run']):.2f} times as fast "
        f"in our emptiest model (Wide, *nearest*), by operations, and {float(mid['over_run']):.2f} times in Mid. "
        "Whether Wide loses nothing by it has not been run.",
        (
            f"The fuller the layers stay, the less there is to save: {float(full['over_run']):.2f} times with fan-in "
            "matrices and weight decay 1, which bring Wide's last layer nearer to the paper's.",
            f"In Laptop (one seed) the loss ends {rise['pruned']} % from the dense run's without the dead units, and "
            f"{rise['random']} % without as many drawn by lot.",
            f"Of the first {gone} units that went, {back} fire again where they may stay.",
        ),
    )

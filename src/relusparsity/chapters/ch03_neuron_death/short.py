"""What chapter 3 found."""

from ... import store
from ...claims.short import Short, between, spread
from ...claims.table import number
from ...plots.reading import percent
from . import lives, words


def in_short() -> Short:
    """The chapter in a sentence and three lines."""
    wide, mid = (store.recorded("neuron_death", name) for name in ("wide", "mid"))
    silent = {each.attrs["scale"]: words.row_9(each)[words.NAMED[0]] for each in (wide, mid)}
    dead = lives.stock(wide).isel(step=-1)
    most, least = (int(at) for at in (dead.argmax("layer"), dead.argmin("layer")))
    late = lives.last_part(wide)
    back = float((100 * late["revivals"] / late["dead_before"]).max())
    left = {each.attrs["scale"]: lives.remains(each)["weights"] for each in (wide, mid)}
    return Short(
        f"Of the units that fire at none of 8,192 tokens, {spread(silent['mid'], ' %')} in Mid and "
        f"{spread(silent['wide'], ' %')} in Wide fire at none of a million others: few were merely rare. Only Mid's "
        "number is a test.",
        (
            f"At the end of Wide's training (6 × 32,768 units, recipe *{wide.attrs['recipe']}*) from "
            f"{number(float(dead.min()))} % of a layer's units (layer {least}) to {number(float(dead.max()))} % (layer "
            f"{most}) are dead: they have not fired for {wide.attrs['dead_after']:,} tokens.",
            f"Death is often undone: a run of Wide counts {between(words.per_100_deaths(wide))} revivals per 100 "
            f"deaths. Yet the stock of dead units stays: in the last tenth of training at most {percent(back)} of the "
            "dead of any layer come back.",
            f"Weight decay leaves {words.two(left['wide'])} % of a dead unit's weights in Wide, and a bias below zero: "
            f"hardly any text could wake it. In Mid (6 × 8,192, recipe *{mid.attrs['recipe']}*) it leaves "
            f"{words.two(left['mid'])} %: more text might.",
        ),
    )

"""What chapter 5 found."""

from ... import claims, store
from ...claims.short import Short, between, measured, spread
from ...claims.table import number


def in_short() -> Short:
    """The chapter in a sentence and three lines."""
    wide, mid = (store.recorded("pruning", name) for name in ("wide", "mid"))
    of_wide, of_mid = (measured({("pruning", each.attrs["scale"]): each}) for each in (wide, mid))
    rows = (each for each in claims.evaluate({("pruning", "wide"): wide}) if each.row.number == "12")
    halves = [reading.values["lowest-rate half (% loss)"] for row in rows for reading in row.readings]
    cost = " or ".join(dict.fromkeys(value if isinstance(value, str) else number(value) for value in halves))
    silent = 100 * wide["silent_removed"].sum("layer") / (wide.sizes["layer"] * wide.attrs["d_ff"])
    least, random = ("12", "lowest-rate half (% loss)"), ("12", "random half (% loss)")
    return Short(
        f"Half of Wide's units can be removed at a cost of {cost} % of the loss, because {between(silent)} % of them "
        f"fire at none of {wide.attrs['silent_sample_tokens']:,} tokens. A random half, as many from each layer as "
        f"that one takes, costs {spread(of_wide[random], ' %')}.",
        (
            f"Wide has 6 × 32,768 units (recipe *{wide.attrs['recipe']}*, {wide.sizes['seed']} seeds). What removing "
            "all silent ones costs is rounding.",
            f"Mid (6 × 8,192, recipe *{mid.attrs['recipe']}*): {spread(of_mid[least], ' %')} for the half that fires "
            f"least, {spread(of_mid[random], ' %')} for a random one.",
            "Nothing is trained again after the removal, and no unit is judged on the text that chose it.",
        ),
    )

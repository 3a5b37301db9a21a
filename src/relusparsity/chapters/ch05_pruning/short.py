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
        "Half of Wide's units can be removed at almost no cost, if they are those that fire least: the loss changes "
        f"by {cost} %. A random half, as many from each layer, raises it by {spread(of_wide[random], ' %')}.",
        (
            f"{between(silent)} % of all units of Wide (6 × 32,768, recipe *{wide.attrs['recipe']}*) fire at none of "
            f"{wide.attrs['silent_sample_tokens']:,} tokens; what removing those costs is rounding.",
            f"Mid (6 × 8,192, recipe *{mid.attrs['recipe']}*): {spread(of_mid[least], ' %')} for the half that "
            f"fires least, {spread(of_mid[random], ' %')} for a random one.",
            "Nothing is trained again after the removal, and no unit is judged on the text that chose it.",
        ),
    )

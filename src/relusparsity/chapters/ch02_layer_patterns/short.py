"""What chapter 2 found."""

from ... import store
from ...claims.short import Short, measured, most, spread
from ...source import BATCH_USE


def in_short() -> Short:
    """The chapter in a sentence and three lines."""
    wide, mid = (store.recorded("layer_patterns", name) for name in ("wide", "mid"))
    of_wide, of_mid = (measured({("layer_patterns", each.attrs["scale"]): each}) for each in (wide, mid))
    ends = {
        each.attrs["scale"]: 100 * each["final_batch_use"].mean("set").transpose("seed", "layer").astype(float)
        for each in (wide, mid)
    }
    lowest = {scale: use.argmin("layer").values.tolist() for scale, use in ends.items()}
    first, last = ("1", "batch use of layer 0 (%)"), ("2", "batch use of layer 5 (%)")
    token = ("5", "highest median token_use (%)")
    return Short(
        "Layers of one model come apart, but the emptiest is not always the first: in Wide it is "
        f"{most(lowest['wide'])}, in Mid {most(lowest['mid'])}.",
        (
            f"Wide (6 × 32,768 units, recipe *{wide.attrs['recipe']}*): over 8,192 tokens, layer 0 uses "
            f"{spread(of_wide[first], ' %')} of its units, layer 5 {spread(of_wide[last], ' %')}. Wild and Anderson "
            f"report {BATCH_USE[0]} and {BATCH_USE[5]} %.",
            f"Mid (6 × 8,192, recipe *{mid.attrs['recipe']}*): {spread(of_mid[first], ' %')} of layer "
            f"0 and {spread(of_mid[last], ' %')} of layer 5 are used. The last layer is as full as theirs, the first "
            "is not as empty.",
            f"At one token hardly any unit fires: at most {spread(of_wide[token], ' %')} of a layer of Wide, in the "
            "median over tokens.",
        ),
    )

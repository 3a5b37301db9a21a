"""What chapter 3 found."""

from ... import store
from ...claims.short import Short, between, measured, spread


def in_short() -> Short:
    """The chapter in a sentence and three lines."""
    wide, mid = (store.recorded("neuron_death", name) for name in ("wide", "mid"))
    of_wide, of_mid = (measured({("neuron_death", each.attrs["scale"]): each}) for each in (wide, mid))
    dead = 100 * wide["dead_units"].isel(step=-1).mean("seed").astype(float) / wide.attrs["d_ff"]
    deaths, revivals = (wide[name].sum(["step", "layer"]).astype(float) for name in ("deaths", "revivals"))
    silent = "9", "silent on both (%)"
    most, least = (int(at) for at in (dead.argmax("layer"), dead.argmin("layer")))
    return Short(
        "A unit of Wide that is silent stays silent, and is not merely rare: of those that fire at none of 8,192 "
        f"tokens, {spread(of_wide[silent], ' %')} fire at none of a million others.",
        (
            f"At the end of Wide's training (6 × 32,768 units, recipe *{wide.attrs['recipe']}*), "
            f"{between([float(dead[least]), float(dead[most])])} % of a layer's units have not fired for "
            f"{wide.attrs['dead_after']:,} tokens: fewest in layer {least}, most in layer {most}.",
            f"Death is often undone on the way: for 100 deaths, {between(100 * revivals / deaths)} revivals are "
            "counted in a run of Wide.",
            f"In Mid (6 × 8,192, recipe *{mid.attrs['recipe']}*) {spread(of_mid[silent], ' %')} of the silent units "
            "are silent on the larger text too.",
        ),
    )

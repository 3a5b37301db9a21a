"""What the colours that `style` names look like, on the light page and on the dark one."""

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex

from . import style

ENDS = {"light": (0.0, 0.49), "dark": (1.0, 0.53)}
"""The part of Matplotlib's ramp plasma that has a contrast of 4.5 : 1 to the page, the strongest first: names of layers
are written in their colours."""


def _palette(mode: str) -> dict[str, str]:
    """What each name looks like. In grey the ramp is as ordered: its lightness is even."""
    ramp = {
        f"layer-{i}": to_hex(colormaps["plasma"](x)) for i, x in enumerate(np.linspace(*ENDS[mode], style.STEPS + 1))
    }
    if mode == "light":
        return ramp | {"ink": "#3a3d42", "accent": "#0b7a59", "grid": "#dfe2e6", "ground": "#ffffff"}
    return ramp | {"ink": "#ced6dd", "accent": "#2fbf90", "grid": "#39424e", "ground": "#121212"}


LIGHT, DARK = _palette("light"), _palette("dark")
NAMES = {colour: name for name, colour in LIGHT.items()}
"""Drawings have the colours of the light page, by which their names are found again."""


def css(selector: str = ":root", dark: str = "html[data-theme=dark]", screen: str = "screen") -> str:
    """The variables of figures: light, dark on a screen where `dark` holds, light again in print."""
    light, night = ("".join(f"--figure-{n}:{c};" for n, c in palette.items()) for palette in (LIGHT, DARK))
    return f"{selector}{{{light}}}@media {screen}{{{dark}{{{night}}}}}\n"

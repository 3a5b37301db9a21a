"""Colours of layers are read as text, at the ends of their lines: WCAG's contrast, by its own formula."""

import numpy as np
import pytest

from relusparsity.plots import style
from relusparsity.plots.palette import DARK, LIGHT

BOTH = pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    share = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_formula_gives_what_is_known_of_it() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#ffffff", "#767676") == pytest.approx(4.54, abs=0.005)  # the palest grey that text may have
    assert contrast("#777777", "#ffffff") < 4.5


@BOTH
def test_what_is_text_can_be_read(colours: dict[str, str]) -> None:
    found = {name: contrast(colour, colours["ground"]) for name, colour in colours.items()}
    told = [name for name in colours if name not in ("ground", "grid")]
    assert {style.layer_colour(i) for i in range(6)} <= set(told)
    assert {name: found[name] for name in told if found[name] < 4.5} == {}


@BOTH
def test_layers_are_ordered_in_grey_too_and_their_steps_even(colours: dict[str, str]) -> None:
    lightness = [116 * np.cbrt(luminance(colours[style.layer_colour(i)])) - 16 for i in range(6)]
    steps = np.abs(np.diff(lightness))
    assert sorted(lightness, reverse=colours is DARK) == lightness
    assert steps.min() > 5 and steps.max() < 2 * steps.min()

"""Names of the colours that figures use, which `drawing` and the page know, and how numbers are said."""

INK = "ink"  # for text and lines of no layer
ACCENT = "accent"  # for what stands out where layers do not matter
STEPS = 20
"""The last colour of the ramp `layer-0` … `layer-20`, from the strongest contrast to the page to 4.5 : 1."""

FONT_SIZE = 12  # pixels


def layer_colour(layer: int, n_layers: int = 6) -> str:
    """The name of a layer's colour: layers are ordered, and so are their colours, however many there are."""
    return f"layer-{round(STEPS * layer / max(n_layers - 1, 1))}"


def si(number: float) -> str:
    """12_345 → '12.3k'; for tokens and units."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"

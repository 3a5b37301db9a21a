"""How every figure looks: one colour per layer, readable on white and on dark, on a phone and on a wide screen."""

import numpy as np

# Layers 0 … 5. Chosen by search so that any two stay apart (CIE76 > 25) for normal, deutan, protan and tritan
# sight, and each keeps a contrast of at least 2.5 to white and to the book's dark background.
LAYER_COLOURS = ("#533cde", "#0aade2", "#97a37e", "#f18600", "#c0101c", "#944478")
INK = "#7c8189"  # for text and lines of no layer: over 3.9 : 1 on white and on dark
ACCENT = "#12906b"  # for what stands out where layers do not matter: 4 : 1 on white and on dark
GRID = "rgba(128,134,144,0.25)"
PRINT_INK, PRINT_GRID = "#3a3d42", "#e3e5e8"  # the twin is drawn on white
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
FONT_SIZE = 12

# pixels of the live figure; the page gives the width
MARGIN = {"left": 46, "right": 12, "top": 8, "bottom": 46}
TITLE_HEIGHT, LINE_HEIGHT, LEGEND_HEIGHT, BUTTONS_HEIGHT, SLIDER_HEIGHT = 22, 16, 28, 40, 78
TICKS_HEIGHT, LABEL_HEIGHT = 26, 18  # below a row that is not the last

TWIN_WIDTH, TWIN_DPI = 7.2, 110  # inches, dots per inch
TWIN_RC = {
    "font.family": "DejaVu Sans",  # comes with Matplotlib, so the picture is the same everywhere
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.edgecolor": PRINT_INK,
    "axes.labelcolor": PRINT_INK,
    "axes.titlecolor": PRINT_INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": PRINT_GRID,
    "grid.linewidth": 0.6,
    "text.color": PRINT_INK,
    "xtick.color": PRINT_INK,
    "ytick.color": PRINT_INK,
    "legend.frameon": False,
    "figure.facecolor": "white",
}


def layer_colour(layer: int, n_layers: int = 6) -> str:
    """The colour of a layer: fixed up to six layers, the same scale stretched for deeper models."""
    if n_layers <= len(LAYER_COLOURS):
        return LAYER_COLOURS[layer]
    at = layer / (n_layers - 1) * (len(LAYER_COLOURS) - 1)
    channels = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in LAYER_COLOURS])
    mixed = [round(float(np.interp(at, range(len(LAYER_COLOURS)), channels[:, i]))) for i in range(3)]
    return "#{:02x}{:02x}{:02x}".format(*mixed)


def faded(colour: str, opacity: float) -> str:
    """A hex colour as CSS rgba."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


def si(number: float) -> str:
    """12_345 → '12.3k'; for tokens and units."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"

"""Drawing: dataset → `Figure`, live (Plotly) with a still twin (Matplotlib), and figures that several chapters show.

No torch here. What one chapter alone draws lies in its folder, `chapters/chNN_name/figures`.
"""

from .feature_specificity import specificity
from .figure import Figure
from .layer_patterns import batch_use
from .pruning import pruning
from .recipes import effects, recipes
from .style import LAYER_COLOURS
from .unit_rates import layer_to_units

__all__ = [
    "LAYER_COLOURS",
    "Figure",
    "batch_use",
    "effects",
    "layer_to_units",
    "pruning",
    "recipes",
    "specificity",
]

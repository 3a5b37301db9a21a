"""Drawing: dataset → `Figure`, which Matplotlib draws, and figures that several chapters show.

No torch here. What one chapter alone draws lies in its folder, `chapters/chNN_name/figures`.
"""

from .feature_specificity import specificity
from .figure import Figure, on_this_machine
from .layer_patterns import batch_use
from .pruning import pruning
from .recipes import effects, recipes
from .unit_rates import layer_to_units

__all__ = [
    "Figure",
    "batch_use",
    "effects",
    "layer_to_units",
    "on_this_machine",
    "pruning",
    "recipes",
    "specificity",
]

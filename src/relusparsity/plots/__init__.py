"""Figures of the book: dataset → `Figure`, live (Plotly) with a still twin (Matplotlib); no torch here."""

from .capacity import recipes, width
from .death_details import domains, drift_before_death
from .feature_specificity import specificity
from .figure import Figure
from .layer_patterns import (
    batch_use,
    percentiles,
    use_by_position,
    use_over_training,
    window_curves,
)
from .neuron_death import (
    dead_over_training,
    death_onsets,
    deaths_and_revivals,
    silent_vs_dead,
    survival,
)
from .pruning import pruning
from .style import LAYER_COLOURS
from .training import loss_curves
from .unit_rates import layer_to_units

__all__ = [
    "LAYER_COLOURS",
    "Figure",
    "batch_use",
    "dead_over_training",
    "death_onsets",
    "deaths_and_revivals",
    "domains",
    "drift_before_death",
    "layer_to_units",
    "loss_curves",
    "percentiles",
    "pruning",
    "recipes",
    "silent_vs_dead",
    "specificity",
    "survival",
    "use_by_position",
    "use_over_training",
    "width",
    "window_curves",
]

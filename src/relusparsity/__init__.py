"""Layer-dependent activation sparsity in ReLU Transformers, measured exactly."""

import sys
import warnings
from typing import TYPE_CHECKING, Any

from .errors import UserError
from .version import __version__

if TYPE_CHECKING:
    from .anymodel.deaths import track_deaths
    from .anymodel.heads import track_heads
    from .anymodel.spikes import track_spikes
    from .anymodel.track import track

if "ipykernel" in sys.modules:
    # tqdm wants ipywidgets in a notebook, whose bars a finished page cannot show; it falls back to text, which is right
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        import tqdm.auto  # noqa: F401

TRACKERS = ("track", "track_deaths", "track_heads", "track_spikes")
__all__ = ["UserError", "__version__", "track", "track_deaths", "track_heads", "track_spikes"]


def __getattr__(name: str) -> Any:
    if name in TRACKERS:  # torch is slow to import, and the command line's --help should not be
        from . import anymodel

        return getattr(anymodel, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

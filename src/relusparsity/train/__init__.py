"""Training: the only loop, what it measures as it goes, and the tiny runs that hold its results to their meaning.

`run` trains a configuration, resumes it or takes what is there; `Trainer` is one run's step by step.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .loop import Run, Trainer, run, run_path

__all__ = ["Run", "Trainer", "run", "run_path"]


def __getattr__(name: str) -> Any:
    if name in __all__:  # late, for `python -m relusparsity.train.golden` is not to find it there
        from . import loop

        return getattr(loop, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

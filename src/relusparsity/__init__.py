"""Layer-dependent activation sparsity in ReLU Transformers, measured exactly."""

from .errors import UserError

__version__ = "0.1.0"
__all__ = ["UserError", "__version__"]

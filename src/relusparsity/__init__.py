"""Layer-dependent activation sparsity in ReLU Transformers, measured exactly."""

import warnings

from .errors import UserError

__version__ = "0.1.0"
# tqdm wants ipywidgets in a notebook, whose bars a finished page cannot show; it falls back to text, which is right
warnings.filterwarnings("ignore", message="IProgress not found")

__all__ = ["UserError", "__version__"]

"""How a model of any shape is trained: each recipe by name, with its date, its seeds and why it is as it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """What a recipe changes of a shape's run, and where it comes from."""

    changes: Mapping[str, Any]
    """Fields of a run, by dotted name."""
    why: str
    """Why it is as it is; of a frozen one, by which rule it was chosen among which runs."""
    frozen: str | None = None
    """The date on which it was frozen, before its fresh seeds ran; None for a recipe that nobody searched for."""
    longer: float = 1
    """Training tokens, in those of the shape."""
    searched: tuple[int, ...] = ()
    """Seeds that searched for it. They are shown and never counted."""
    runs: Mapping[str, int] = field(default_factory=dict)
    """Seeds that are trained, by shape, where they are not three."""

    def seeds(self, scale: str) -> tuple[int, ...]:
        """The seeds that judge it at a shape: the first that did not search for it."""
        return tuple(islice((seed for seed in count() if seed not in self.searched), self.runs.get(scale, 3)))


BASE = {
    "model.positions": "learned",
    "model.init": "xavier",
    "train.schedule": "cosine",
    "train.weight_decay": 1.0,
    "train.lr": 3e-4,
}

RECIPES = {
    "default": Recipe(
        {}, "The defaults of the configuration, chosen on a laptop so that its layers come apart within minutes."
    ),
    "base": Recipe(
        BASE,
        "The cell of the factorial in which layer 0 kept the fewest units in both seeds; the exploration starts here.",
    ),
    "first": Recipe(
        BASE | {"train.lr": 6e-4},
        "When it was frozen, it was the nearest to the source's two numbers by `endings.distance` among the recipes of "
        "the factorial and six beside them, all at Mid.",
        frozen="2026-11-22",
        searched=(0, 1),
        runs={"mid": 5},
    ),
    "nearest": Recipe(
        BASE | {"train.weight_decay": 2.0},
        "When it was frozen, it was the nearest at Wide by the same rule, among the first recipe and eight others with "
        "one seed each; its own run with seed 0 is one of these.",
        frozen="2026-11-28",
        longer=1.75,
        searched=(0, 1),
    ),
    "modern": Recipe(
        {
            "model.norm": "rmsnorm",
            "model.positions": "rotary",
            "model.bias": False,
            "model.init": "normal",
            "train.schedule": "cosine",
            "train.weight_decay": 0.1,
            "train.lr": 6e-4,
        },
        "A plain modern recipe, unsearched: pre-RMSNorm, rotary positions, no biases; the embeddings stay tied.",
    ),
}

FROZEN = {"smoke": "default", "laptop": "default", "mid": "first", "wide": "nearest"}
"""The recipe that a shape is shown with, unless another is named."""

"""Chapter 07, live: one layer's MLP input treated, beside an untreated twin; what `dissociation` does, in small.

Nothing of it is recorded: it is short enough for a reader to wait for, and says nothing that the recorded runs do not.
"""

from dataclasses import dataclass
from typing import Any

import xarray as xr

from ...checks import shown
from ...config import replace
from ...errors import UserError
from ...experiments import dissociation, shared, variants

NAME = "which_layer"
"""Name of its datasets."""

RECORDED = ()
"""No shape: it is run where the chapter is."""

LAYER, TREATMENT = 3, "add 2"
"""What a reader who chooses nothing sees: in Laptop's twin, this layer is among the first to empty."""

SHORT: dict[str, dict[str, Any]] = {
    "laptop": {"train.tokens": 98_304, "measure.points": 6, "measure.final_sets": 4},
    "smoke": {},
}
"""By shape, what makes it short; no wait for a GPU is meant, so others train as long as they always do."""
BARE = {"train.snapshots": 0, "train.resume_every": 0, "measure.sets": 1, "measure.history_units": 16}


@dataclass(frozen=True)
class Config(shared.Config):
    """An untreated run and, but for what is done to one layer, its like."""

    treatment: str
    """One of `dissociation.TREATMENTS`."""
    layer: int
    """Where, counted from 0."""

    @property
    def arm(self) -> str:
        """What the treated run is called."""
        return f"{self.treatment}, layer {self.layer}"


def config(scale: str, recipe: str | None = None, layer: int = LAYER, treatment: str = TREATMENT) -> Config:
    """The two runs at a shape.

    Raises
    ------
    UserError
        For a treatment that does not exist, or a layer that the model does not have.
    """
    of = shared.config(scale, recipe)
    twin = replace(of.runs[0], **BARE, **SHORT.get(of.scale, {}))
    last = twin.model.n_layers - 1
    if not isinstance(treatment, str) or treatment not in dissociation.TREATMENTS:
        raise UserError(
            f"there is no treatment {shown(treatment)}; choose one of {', '.join(map(repr, dissociation.TREATMENTS))}."
        )
    if isinstance(layer, bool) or not isinstance(layer, int) or not 0 <= layer <= last:
        raise UserError(f"there is no layer {shown(layer)} to treat; the model has the layers 0 to {last}.")
    changes = dissociation.changes(f"{treatment}, layer {layer}", twin.seed)
    return Config(of.scale, of.recipe, (twin, replace(twin, **changes)), treatment, layer)


def run(config: Config) -> xr.Dataset:
    """Every measured variable by (recipe, seed, step, layer) of both runs: the recipes are `untreated` and the arm."""

    def compute() -> xr.Dataset:
        both = [run.dataset for run in shared.train_all(config.runs)]
        named = {dissociation.TWIN: {}, config.arm: dissociation.changes(config.arm, config.runs[0].seed)}
        return variants.whole(both, named, config.scale)

    return shared.cached(NAME, config, config.runs, __name__, compute)

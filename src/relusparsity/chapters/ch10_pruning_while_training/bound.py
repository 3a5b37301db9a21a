"""What removing dead units can save at most, in floating-point operations, by recipe and stage of the training.

A training token costs F, forward and backward: 6 operations per parameter of a matrix, the output layer among them, and
12 · layers · positions · width for the scores of attention (`models.training_flops`: Chowdhery et al. 2022, appendix B;
Kaplan et al. 2020, section 2.1). A hidden unit has 2 · d_model parameters in matrices, so the MLPs' share of F is

    m = 12 · d_model · (hidden units of all layers) / F.

With a share d of all hidden units gone, F falls to (1 − m · d) · F: a step of the whole model has 1 / (1 − m · d) times
as many operations. It is at most that, for units that are dead now may come back; and it is operations. Time may lie on
either side: small matrices are slower per operation, and what is not counted, such as the optimiser, the counters,
activations and memory, goes with the units too.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from ...config import RunConfig, from_dict
from ...errors import UserError
from ...experiments import pruned_training
from ...model_config import ModelConfig
from ...models import training_flops
from ...prune_config import rounded_up
from ...store import results

MODELS: dict[str, tuple[str, str, str | None]] = {
    "Wide, nearest": ("layer_patterns", "wide", "nearest"),
    "Wide, first": ("layer_patterns", "wide", "first"),
    "Wide, fan-in, decay 2": ("lead", "wide", "decay 2"),
    "Wide, fan-in, decay 1": ("lead", "wide", "decay 1"),
    "Wide, modern": ("modern", "wide", None),
    "Mid, first": ("layer_patterns", "mid", "first"),
    "Laptop, default": ("layer_patterns", "laptop", "default"),
}
"""Name → experiment, shape, and the recipe, within the dataset where it holds several."""


def recorded() -> dict[str, xr.Dataset]:
    """The recorded runs of `MODELS`, by name."""
    found = {}
    for name, (experiment, scale, recipe) in MODELS.items():
        several = experiment == "lead"
        dataset = results.recorded(experiment, scale, None if several else recipe)
        found[name] = dataset.sel(recipe=recipe) if several else dataset
    return found


def mlp_share(model: ModelConfig) -> float:
    """m: the MLPs' share of the floating-point operations of a training token."""
    return 12.0 * model.d_model * sum(model.widths) / training_flops(model)


def model_of(dataset: xr.Dataset) -> ModelConfig:
    """The configuration of a dataset's models: of its one recipe, or of the one that was chosen from it.

    Raises
    ------
    UserError
        Where it holds several recipes, whose models may differ.
    """
    facts = results.provenance(dataset)
    config: dict[str, Any] = facts["config"]
    if "recipe" in dataset.coords and "configs" in facts:
        if dataset["recipe"].size > 1:
            raise UserError(
                f"the dataset holds {dataset['recipe'].size} recipes, and a bound is of one: choose it with "
                ".sel(recipe=…)."
            )
        # where the one recipe is a name for how all arms are trained, their configurations go by the arms' names
        config = facts["configs"].get(str(dataset["recipe"].item()), config)
    return from_dict(RunConfig, config).model


def dead_share(dataset: xr.Dataset) -> xr.DataArray:
    """d: dead units, as a share of all hidden units, at each measurement: ([seed,] step).

    Nobody is dead(n) before n tokens, so it is 0 there; of a run that stopped it is missing from then on.
    """
    units = sum(model_of(dataset).widths)
    share = dataset["dead_units"].astype(float).sum("layer", skipna=False) / units
    return share.where(dataset["tokens"] >= int(dataset.attrs["dead_after"]), 0.0)


def bound(dataset: xr.Dataset) -> xr.Dataset:
    """How many times as fast training is at most, by operations, without the units that are dead.

    Parameters
    ----------
    dataset
        Of runs of one recipe: `dead_units` ([seed,] step, layer), the coordinate `tokens` (step).

    Returns
    -------
    Dataset
        `dead` and `bound` ([seed,] step): of the moment. `over_run` ([seed,]): of the whole run, had all dead units
        been gone at each moment; between two measurements the share is taken to move evenly. `planned` ([seed,]): from
        the first removal on, had those that are dead after 10, 25 and 50 % of the tokens gone then and no others, down
        to multiples of 128 a layer (an eighth of it in narrow layers), as in the experiment of row 17;
        `planned_over_run` ([seed,]): the same of the whole run. The attribute `mlp_share` is m.
    """
    model = model_of(dataset)
    m, dead = mlp_share(model), dead_share(dataset)
    tokens = dataset["tokens"].values.astype(float)
    mean = dead.reduce(np.trapezoid, "step", x=tokens) / (tokens[-1] - tokens[0])
    steps = [np.searchsorted(tokens, point * tokens[-1], side="right") - 1 for point in pruned_training.POINTS]
    gone = np.stack([_gone(dataset.isel(step=at), model) for at in steps])  # (removal, [seed])
    spent = np.tensordot(np.diff([*(tokens[at] for at in steps), tokens[-1]]), gone, 1)
    by = [dim for dim in dead.dims if dim != "step"]
    return xr.Dataset(
        {
            "dead": dead,
            "bound": _speed(m, dead),
            "over_run": _speed(m, mean),
            "planned": (by, _speed(m, spent / (tokens[-1] - tokens[steps[0]]))),
            "planned_over_run": (by, _speed(m, spent / (tokens[-1] - tokens[0]))),
        },
        attrs=_about(dataset) | {"mlp_share": m},
    )


def _speed(m: float, gone: Any) -> Any:
    return 1 / (1 - m * gone)


def _gone(dataset: xr.Dataset, model: ModelConfig) -> np.ndarray:
    """Share of all units that a removal at a measurement takes, down to multiples: ([seed])."""
    alive = np.array(model.widths) - dataset["dead_units"].fillna(0).transpose(..., "layer").values
    multiples = [min(pruned_training.MULTIPLE, width // 8) for width in model.widths]
    stay = np.vectorize(rounded_up)(alive, multiples)
    return np.asarray(1 - stay.sum(-1) / sum(model.widths))


def _about(dataset: xr.Dataset) -> dict[str, Any]:
    kept = ("scale", "recipe", "provenance", "dead_after")
    return {name: dataset.attrs[name] for name in kept if name in dataset.attrs}


def at(bounds: Mapping[str, xr.Dataset], stages: Sequence[float]) -> xr.Dataset:
    """Share dead and bound at stages of the training, of each model: `dead`, `bound` (model, stage), means over seeds.

    Besides, (model): `over_run`, `planned` and `planned_over_run`, means over seeds; `lowest` and `highest`, the seeds'
    extremes of the bound at the last step; `mlp_share`, `seeds`.

    Parameters
    ----------
    bounds
        Name of a model → what `bound` gives of it.
    stages
        Shares of the training tokens, above 0 and at most 1; the last measurement up to there is read.
    """
    parts = []
    for of in bounds.values():
        tokens = of["tokens"].values
        steps = [int(np.searchsorted(tokens, stage * tokens[-1], side="right")) - 1 for stage in stages]
        last = of["bound"].isel(step=-1)
        read = of[["dead", "bound"]].isel(step=steps).drop_vars(["step", "tokens"]).rename(step="stage")
        read = read.assign(of[["over_run", "planned", "planned_over_run"]]).assign(mlp_share=of.attrs["mlp_share"])
        read = read.mean("seed") if "seed" in read.dims else read
        whole = read.assign(lowest=last.min(), highest=last.max(), seeds=of.sizes.get("seed", 1))
        parts.append(whole.reset_coords(drop=True).assign_coords(stage=list(stages)))
    return xr.concat(parts, xr.Variable("model", list(bounds)))

"""A run's weights on the disk: a file a snapshot, with as many units as the model had then."""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_model, save_model

from .. import distributed
from ..config import RunConfig
from ..interventions.inputs import treat, weights
from ..interventions.units import cut
from ..models import Model, bare
from ..store import sealed
from .step import Trainer
from .timetable import weights_file


def save(trainer: Trainer, path: Path) -> None:
    """Write the weights after the current step into the run's directory."""
    values = {name: distributed.whole(value.detach()).cpu() for name, value in weights(trainer.model).items()}
    if distributed.rank():
        return
    model = _bare(trainer.config)
    _narrow(model, trainer.model.widths())
    model.load_state_dict(values, strict=False)  # what is tied is there once
    with sealed.sealed_write(weights_file(path, trainer.step)) as temporary:
        save_model(model, str(temporary))


def load(config: RunConfig, file: Path) -> Model:
    """The model of a run, with the weights of a file; loading runs no code."""
    with torch.random.fork_rng(devices=[]):  # torch draws what is then overwritten
        model = _bare(config)
    if config.prune.tokens:
        names = {module: name for name, module in model.named_modules()}
        with safe_open(file, "pt") as kept:
            _narrow(model, [kept.get_slice(f"{names[mlp]}.fc_in.weight").get_shape()[0] for mlp in model.mlps()])
    load_model(model, file)
    return model


def _bare(config: RunConfig) -> Model:
    return treat(bare(config.model), config.intervention)


def _narrow(model: Model, widths: Sequence[int]) -> None:
    """Leave each layer so many units, for weights that are about to be loaded."""
    for mlp, width in zip(model.mlps(), widths, strict=True):
        if width < mlp.fc_in.out_features:
            cut(mlp, torch.arange(width))

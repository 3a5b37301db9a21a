"""Whether a model keeps what `protocol.Model` promises, asked once a run: what does not would fail deep in a step."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..checks import in_words
from ..errors import UserError
from .protocol import Hidden, Model


def check_layers(model: Model, widths: Sequence[int] | None = None) -> None:
    """Refuse layers of hidden units that are none.

    Parameters
    ----------
    widths
        Where given, hidden units of each layer, as a run's configuration says: its dataset has them by (layer, unit).

    Raises
    ------
    UserError
        Naming the model's class and what its `mlps` gives.
    """
    name, layers = type(model).__name__, model.mlps()
    if not isinstance(layers, list) or not layers:
        given = "an empty list" if isinstance(layers, list) else f"a {type(layers).__name__}"
        raise UserError(f"{name}.mlps gives {given}: expected a list of its layers of hidden units, one at least.")
    for layer, mlp in enumerate(layers):
        matrices = [getattr(mlp, part, None) for part in ("fc_in", "fc_out")]
        if not all(isinstance(matrix, nn.Linear) for matrix in matrices):
            raise UserError(
                f"layer {layer} of {name}.mlps has no fc_in and fc_out that are linear layers; give it both."
            )
        if mlp.fc_in.out_features != mlp.fc_out.in_features:
            raise UserError(
                f"layer {layer} of {name}.mlps has {mlp.fc_in.out_features} units by fc_in and "
                f"{mlp.fc_out.in_features} by fc_out: expected as many."
            )
    positions = model.positions()
    if len(positions) != len(layers):
        raise UserError(
            f"{name}.positions gives {len(positions)} numbers for {len(layers)} layers: expected one for each, the "
            "positions of a sequence at which it is computed."
        )
    if widths is not None and (found := model.widths()) != list(widths):
        raise UserError(
            f"the layers of {name} have {in_words(found)} hidden units, the run's configuration says "
            f"{in_words(widths)}: what a run records has as many as it says."
        )
    if widths is not None and tuple(positions) != (said := model.config.layer_positions):
        raise UserError(
            f"{name}.positions gives {in_words(positions)}, the run's configuration says {in_words(said)}: what a run "
            "records is divided by these; give layer_positions of the configuration the same."
        )


@torch.no_grad()
def check(model: Model, *batch: Tensor) -> None:
    """Read a batch of a few sequences once, and refuse what a training step or a measurement could not use.

    The model is left as it was; it must not have been treated yet, since what an intervention follows would move.

    Raises
    ------
    UserError
        Naming the model's class, what it gives and what `protocol.Model` asks for.
    """
    check_layers(model)
    name = type(model).__name__
    observed: dict[int, list[tuple[Any, ...]]] = {}
    counted: list[tuple[Any, Any]] = []

    def observe(layer: int, *given: Any) -> None:
        observed.setdefault(layer, []).append(given)

    def count(layer: int, per_unit: Any) -> None:
        counted.append((layer, per_unit))

    try:
        inspect.signature(model.predict).bind(*batch, observe=observe, count=count)
    except TypeError as error:
        raise UserError(f"{name}.predict cannot be called with a batch, observe and count ({error}).") from error
    training = model.training
    model.eval()
    try:
        predicted = model.predict(*batch, observe=observe, count=count)
    finally:
        model.train(training)
    _check_predicted(name, predicted)
    layers = list(range(len(model.widths())))
    if [layer for layer, _ in counted] != layers:
        raise UserError(
            f"{name}.predict calls count for the layers {[layer for layer, _ in counted]}: expected once for each of "
            f"{layers}, in this order."
        )
    seen = [layer for layer, calls in observed.items() for _ in calls]
    if sorted(seen) != layers:
        raise UserError(f"{name}.predict calls observe for the layers {seen}: expected once for each of {layers}.")
    for (layer, per_unit), mlp, positions in zip(counted, model.mlps(), model.positions(), strict=True):
        _check_seen(f"{name}.predict, layer {layer},", mlp, positions, observed[layer][0], per_unit)


def _check_predicted(name: str, predicted: Any) -> None:
    if not (isinstance(predicted, tuple) and len(predicted) == 2 and all(isinstance(x, Tensor) for x in predicted)):
        raise UserError(f"{name}.predict gives a {type(predicted).__name__}: expected two tensors, logits and targets.")
    logits, targets = predicted
    if not logits.is_floating_point() or targets.dtype != torch.int64:
        raise UserError(
            f"{name}.predict gives logits of {logits.dtype} and targets of {targets.dtype}: expected real numbers and "
            "torch.int64."
        )
    if logits.shape[:-1] != targets.shape or not targets.numel():
        raise UserError(
            f"{name}.predict gives logits {tuple(logits.shape)} and targets {tuple(targets.shape)}: expected "
            "(…, class) and (…), and something to predict."
        )
    if targets.min() < 0 or targets.max() >= logits.shape[-1]:
        raise UserError(
            f"{name}.predict gives targets from {int(targets.min())} to {int(targets.max())}: expected those of its "
            f"{logits.shape[-1]} classes, from 0."
        )


def _check_seen(where: str, mlp: Hidden, positions: int, observed: tuple[Any, ...], per_unit: Any) -> None:
    if len(observed) != 3 or not all(isinstance(x, Tensor) and x.ndim == 3 for x in observed):
        raise UserError(
            f"{where} observes {len(observed)} values: expected three tensors, the layer's input, pre-activation and "
            "activation, each (sequence, position, …)."
        )
    inputs, _, activation = observed
    places, units = (len(inputs), positions), mlp.fc_in.out_features
    expected = [(*places, mlp.fc_in.in_features), (*places, units), (*places, units)]
    if (given := [tuple(x.shape) for x in observed]) != expected:
        raise UserError(f"{where} observes the shapes {given}: expected {expected}.")
    counts = (activation > 0).sum(1)
    if not isinstance(per_unit, Tensor) or per_unit.dtype not in (torch.int32, torch.int64):
        given_as = per_unit.dtype if isinstance(per_unit, Tensor) else type(per_unit).__name__
        raise UserError(f"{where} counts in {given_as}: expected whole numbers, torch.int32 or torch.int64.")
    if per_unit.shape != counts.shape:
        raise UserError(
            f"{where} counts by {tuple(per_unit.shape)}: expected (sequence, unit), which is {tuple(counts.shape)}."
        )
    if not torch.equal(per_unit.long(), counts):
        raise UserError(
            f"{where} counts other firings than it observes: expected the tokens with an activation above 0."
        )

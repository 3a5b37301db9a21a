"""What a run's predictions of pictures are worth, where it asks for that: see `MeasureConfig.predictions`.

All of the test is read, and all of the validation, in float32; a temperature is fitted to the validation alone. What
lies around a picture, its padding, stays dark: neither noise nor an attack reaches it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from .. import arithmetic, distributed
from ..classifiers import attacks, calibration, corruptions
from ..classifiers.calibration import Predictions
from ..corpora.pictures import HELD_OUT, Pictures
from ..corpora.tasks import Arrays, Task
from ..interventions.inputs import reading
from ..models import Model
from . import evaluate

EPSILONS = (1, 2, 4, 8)
"""Largest changes of a pixel under attack, of 255."""
ATTACKED = 2048
"""So many pictures, the first of the test, are attacked; or all, where there are fewer."""
AT_ONCE = 256
"""Pictures that are attacked at a time; each such part begins PGD at points of its own seed."""
ATTACKS = {"FGSM": lambda loss, pictures, epsilon, _seed: attacks.fgsm(loss, pictures, epsilon), "PGD": attacks.pgd}

COORDINATES: Mapping[str, tuple[tuple[str, ...], Any]] = {
    name: ((name,), list(labels))
    for name, labels in {
        "scaling": ("as it is", "temperature"),
        "bin": range(calibration.BINS),
        "corruption": corruptions.STRENGTHS,
        "strength": range(1, 1 + len(corruptions.STRENGTHS["shot"])),
        "attack": ATTACKS,
        "epsilon": EPSILONS,
    }.items()
}
"""Dimensions and values of the coordinates that these measures have, by name."""


def at_a_step(model: Model, task: Task) -> dict[str, Any]:
    """Values of `schema.PREDICTED`, by name.

    Raises
    ------
    FloatingPointError
        If the model gives scores that are not finite.
    """
    test, by = _read(model, task.final), calibration.temperature(_read(model, task.heldout))
    both = [_worth(test), _worth(test.at(by))]
    scaled = {name: np.stack([each[name] for each in both]) for name in both[0]}
    return {"temperature": by, "test_accuracy": calibration.accuracy(test), **scaled}


def _worth(of: Predictions) -> dict[str, Any]:
    diagram = calibration.reliability(of)
    examples = diagram["examples"].values
    sums = {name: np.nan_to_num(diagram[name].values) * examples for name in ("confidence", "accuracy")}
    return {
        "test_loss": calibration.cross_entropy(of),
        "test_brier": calibration.brier(of),
        "test_adaptive_error": calibration.calibration_error(of, adaptive=True),
        "bin_pictures": examples.astype(np.int32),
        "bin_confidence": sums["confidence"],
        "bin_correct": sums["accuracy"].round().astype(np.int32),
    }


def at_the_end(model: Model, task: Task) -> dict[str, Any]:
    """Values of `schema.PREDICTED_AT_THE_END`, by name; raises as `at_a_step`."""
    data: Pictures = task.data
    given, by = inside(data), calibration.temperature(_read(model, task.heldout))
    shape = [len(COORDINATES[name][1]) for name in ("corruption", "strength")]
    accuracy, errors = np.empty(shape), np.empty((2, *shape))
    for (at, kind), strength in ((kind, each) for kind in enumerate(corruptions.STRENGTHS) for each in range(shape[1])):
        pictures = corruptions.corrupted(given, kind, strength + 1)
        of = _read(model, (as_read(torch.from_numpy(pictures), data.config.padding).numpy(), data.test.labels))
        accuracy[at, strength] = calibration.accuracy(of)
        errors[:, at, strength] = [calibration.calibration_error(each) for each in (of, of.at(by))]
    return {"corrupted_accuracy": accuracy, "corrupted_error": errors} | _attacked(model, data, given)


class Work(NamedTuple):
    """What it takes to judge predictions."""

    read: int
    """Pictures that the model reads."""
    attacked: int
    """Pictures whose own gradient it gives, besides."""
    batches: int
    """Batches in which it gives these."""


def work(source: str, measurements: int) -> Work:
    """That of a run on a source of pictures, at so many measurements and at the end; exact in one process."""
    validation, test = HELD_OUT[source]
    count, corrupted = min(ATTACKED, test), test * sum(map(len, corruptions.STRENGTHS.values()))
    signs = len(EPSILONS) * (1 + attacks.STEPS)  # of each picture, one by FGSM
    read = measurements * (test + validation) + validation + corrupted + count * len(EPSILONS) * (1 + len(ATTACKS))
    return Work(read, count * signs, -(-count // AT_ONCE) * signs)


def inside(data: Pictures) -> Float[np.ndarray, "picture row column"]:
    """The test's pictures without their padding, float32 from 0 to 1."""
    around = data.config.padding
    cut = slice(around, data.config.side - around)
    return data.test.pixels[:, cut, cut].astype(np.float32) / 255


def as_read(pictures: Tensor, padding: int) -> Tensor:
    """Pictures from 0 to 1, (picture, row, column), as the model reads them: padded, and from −1 to 1."""
    return 2 * F.pad(pictures, (padding,) * 4) - 1


@arithmetic.float32("tf32")
@torch.no_grad()
def _read(model: Model, arrays: Arrays) -> Predictions:
    """What the model says of pictures with labels; under torch.distributed every process reads its part of them."""
    device, count = next(model.parameters()).device, len(arrays[0])
    first, end = (count * part // distributed.world() for part in (distributed.rank(), distributed.rank() + 1))
    batch, found = evaluate.batch_size(model, device), [np.zeros((0, model.config.classes))]
    with reading(model):
        for start in range(first, end, batch):
            some = evaluate.on(device, evaluate.some(arrays, start, min(start + batch, end)))
            found.append(model.predict(*some)[0].cpu().numpy())
    logits = np.concatenate(distributed.gather(np.concatenate(found)))
    if not np.isfinite(logits).all():
        raise FloatingPointError("the model gives pictures scores that are not finite")
    return Predictions(logits, arrays[1])


@arithmetic.float32("tf32")
def _attacked(model: Model, data: Pictures, given: np.ndarray) -> dict[str, Any]:
    """Accuracy on the first pictures of the test, as they are and attacked; every process attacks some of the parts."""
    device = next(model.parameters()).device
    count = min(ATTACKED, len(given))
    right = np.zeros((1 + len(ATTACKS), len(EPSILONS)), dtype=np.int64)
    parts = range(0, count, AT_ONCE)
    with reading(model):
        for start in parts[distributed.rank() :: distributed.world()]:
            stop = min(start + AT_ONCE, count)
            pictures, labels = evaluate.on(device, (given[start:stop], data.test.labels[start:stop]))

            def scores(at: Tensor, labels: Tensor = labels) -> Tensor:
                return model.predict(as_read(at, data.config.padding), labels)[0]

            def loss(at: Tensor, labels: Tensor = labels) -> Tensor:
                return F.cross_entropy(scores(at, labels), labels, reduction="none")

            for place, epsilon in enumerate(EPSILONS):
                moved = [attack(loss, pictures, epsilon / 255, start) for attack in ATTACKS.values()]
                for row, each in enumerate((pictures, *moved)):
                    with torch.no_grad():
                        right[row, place] += int((scores(each).argmax(1) == labels).sum())
    clean, *attacked = sum(distributed.gather(right)) / count
    return {"unattacked_accuracy": clean[0], "attacked_accuracy": np.stack(attacked)}

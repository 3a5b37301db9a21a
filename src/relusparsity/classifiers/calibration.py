"""Whether a classifier's confidence is what it is worth: calibration errors, Brier score, temperature.

A model is calibrated if, of the examples to which it gives a class with confidence p, a share p is of that class. Its
confidence is the largest of its class probabilities, those of a softmax over its logits. All is computed in float64.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from ..checks import shown
from ..errors import UserError

BINS = 15
"""Bins of a reliability diagram, as Guo et al. (2017) have them and the Lazy Neuron paper after them."""

TEMPERATURES = (1e-2, 1e2)
"""Between these a temperature is sought."""


@dataclass(frozen=True)
class Predictions:
    """What a classifier says of some examples: logits (example, class) and the classes they are of (example)."""

    logits: Float[np.ndarray, "example class"]
    labels: Int[np.ndarray, " example"]

    def __post_init__(self) -> None:
        logits, labels = np.asarray(self.logits, dtype=float), np.asarray(self.labels)
        if logits.ndim != 2 or labels.shape != logits.shape[:1] or not logits.size:
            raise UserError(
                f"Predictions has logits {logits.shape} and labels {labels.shape}: expected (example, class) and "
                "(example,), one example at least."
            )
        if not np.isfinite(logits).all():
            raise UserError("Predictions has logits that are not finite: the model diverged, or it overflowed.")
        classes = logits.shape[1]
        whole = np.issubdtype(labels.dtype, np.integer)
        if not whole or labels.min() < 0 or labels.max() >= classes:
            wrong = labels.min() if whole and labels.min() < 0 else labels.max()
            raise UserError(
                f"Predictions has labels such as {wrong} ({labels.dtype}): expected whole numbers from 0 to "
                f"{classes - 1}, one of the {classes} classes."
            )
        object.__setattr__(self, "logits", logits)
        object.__setattr__(self, "labels", labels)

    @property
    def log_probabilities(self) -> Float[np.ndarray, "example class"]:
        """Natural logarithms of the class probabilities."""
        found: np.ndarray = log_softmax(self.logits, axis=1)
        return found

    @property
    def confidence(self) -> Float[np.ndarray, " example"]:
        """Probability of the class that is predicted."""
        return np.exp(self.log_probabilities.max(1))

    @property
    def correct(self) -> np.ndarray:
        """Whether the predicted class, the lowest of equally likely ones, is the example's: (example)."""
        right: np.ndarray = self.logits.argmax(1) == self.labels
        return right

    def at(self, temperature: float) -> "Predictions":
        """The same with logits divided by a temperature: above 1, less confident.

        Raises
        ------
        UserError
            For a temperature that is not above 0.
        """
        if not temperature > 0:
            raise UserError(f"temperature = {shown(temperature)}: expected a number above 0; 1 changes nothing.")
        return Predictions(self.logits / temperature, self.labels)


def accuracy(of: Predictions) -> float:
    """Share of examples whose predicted class is theirs."""
    return float(of.correct.mean())


def cross_entropy(of: Predictions) -> float:
    """Mean negative logarithm of the probability of the example's class: nats per example."""
    return float(-of.log_probabilities[np.arange(len(of.labels)), of.labels].mean())


def brier(of: Predictions) -> float:
    """Mean squared distance of the class probabilities from the truth (Brier, 1950), from 0 to 2.

    Over all classes, so that with two classes it is twice the score of the probability of one.
    """
    truth = np.eye(of.logits.shape[1])[of.labels]
    return float(((np.exp(of.log_probabilities) - truth) ** 2).sum(1).mean())


def reliability(of: Predictions, bins: int = BINS, adaptive: bool = False) -> xr.Dataset:
    """The reliability diagram: confidence against accuracy, bin by bin.

    Parameters
    ----------
    of
        What the classifier says.
    bins
        How many.
    adaptive
        Bins of as many examples each, give or take one, in the order of confidence (ties by index), and not of one
        width. Those of one width have their upper edge and not their lower one.

    Returns
    -------
    Dataset
        `examples`, `confidence`, `accuracy` (bin), means, missing in an empty bin.

    Raises
    ------
    UserError
        For less than one bin, or more bins than examples where they are to be filled.
    """
    confidence, correct = of.confidence, of.correct
    n = len(confidence)
    if bins < 1 or (adaptive and bins > n):
        most = f" to {n}, the examples" if adaptive else " or more"
        raise UserError(f"bins = {shown(bins)}: expected 1{most}.")
    if adaptive:
        place = np.empty(n, dtype=np.int64)
        place[np.argsort(confidence, kind="stable")] = np.arange(n) * bins // n
    else:
        place = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence)  # an edge belongs to the bin below it
    count = np.bincount(place, minlength=bins)
    sums = [np.bincount(place, weights, minlength=bins) for weights in (confidence, correct.astype(float))]
    means = [np.divide(each, count, out=np.full(bins, np.nan), where=count > 0) for each in sums]
    said = {"units": "1"}
    return xr.Dataset(
        {
            "examples": ("bin", count, {"units": "examples", "long_name": "examples of the bin"}),
            "confidence": ("bin", means[0], said | {"long_name": "mean confidence"}),
            "accuracy": ("bin", means[1], said | {"long_name": "share of them predicted right"}),
        },
        {"bin": ("bin", np.arange(bins), said | {"long_name": "bin, from the lowest confidence"})},
    )


def calibration_error(of: Predictions, bins: int = BINS, adaptive: bool = False) -> float:
    """Expected calibration error: how far a bin's accuracy lies from its confidence, mean over the examples.

    Source: Naeini et al. (2015). With `adaptive` bins it is the adaptive one (Nixon et al., 2019). See `reliability`,
    which raises.
    """
    diagram = reliability(of, bins, adaptive)
    gap = abs(diagram["accuracy"] - diagram["confidence"]).fillna(0)
    return float((gap * diagram["examples"]).sum() / len(of.labels))


def temperature(of: Predictions) -> float:
    """The one by which the logits fit their labels best: least cross-entropy (Guo et al., 2017).

    Sought on examples that are not judged. It is convex in 1 / temperature, so the least is unique; where all examples
    are right it is so low that float64 has nothing left to gain, and the lower end of `TEMPERATURES` at the least.
    """
    low, high = (1 / end for end in reversed(TEMPERATURES))
    found = minimize_scalar(
        lambda log: cross_entropy(of.at(np.exp(-log))),
        bounds=(np.log(low), np.log(high)),
        method="bounded",
        options={"xatol": 1e-8},
    )
    return float(np.exp(-found.x))

"""Chapter 12: which way the first step moves pre-activations in a decoder and a vision Transformer, layer by layer.

The theorem (see `theory`) is about the last layer of two. Here the same gradient is read at every layer's
pre-activations, before the first step. Labels that are random do not depend on the model at all; the model's own guess
does, and turns the sign in the network of two layers.

The theorem's mean is over draws of the matrix V behind the activations, and is small beside what one draw gives. So a
gradient is also read in **pairs**: of the model, and of its twin, in which that layer's second matrix has the other
sign. Both are as likely, the pre-activations are the same, and what is linear in V cancels. The paired mean has the
same expectation, and less noise.

One control leaves the **final norm** out. Behind the last layer there is then the output matrix U alone, and the
theorem holds with U V in the place of V. With the norm it need not: an activation is pushed down because what it adds
to the stream makes the guess surer, Uᵀ softmax(U x̂) ≈ mean of U + Var(U) · x̂ to first order, and along x̂ the norm
passes no gradient. The other control **holds the norm's scale**: all values are the same, but it does pass one.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from .. import corpora
from ..checks import seeds as checked
from ..checks import shown
from ..claims.statistics import half_width
from ..config import RunConfig, to_dict
from ..corpora import tasks
from ..errors import UserError
from ..models import Decoder, Hidden, Vit, build
from ..scales import base, pictures
from ..shapes import title
from ..store import results
from ..train import evaluate
from . import shared

MODELS: dict[str, tuple[str, bool]] = {
    f"decoder, {title('smoke')}": ("smoke", False),
    f"decoder, {title('laptop')}": ("laptop", False),
    f"ViT, {title('digits')}: patches": ("digits", False),
    f"ViT, {title('digits')}: class token": ("digits", True),
}
"""What is read → its shape, and whether the positions are those that never count."""

AS_IS, HELD, WITHOUT = "as it is", "the final norm's scale held", "without the final norm"
NORMS = (AS_IS, HELD, WITHOUT)

LABELS = ("real", "random", "own")
"""real: next tokens, or the classes of pictures; random: drawn evenly; own: the model's own guess."""

UNITS_OF = {
    "gradient": ("nats per unit of p", "mean ∂loss/∂p over the pre-activations above 0; loss: sum over predictions"),
    "paired": ("nats per unit of p", "its mean over the model and its twin, the layer's second matrix negated"),
    "theorem": ("nats per unit of p", "the theorem's of the last layer, with nothing but the output matrix behind it"),
    "positive": ("1", "share of pre-activations above 0"),
    "model": ("1", "model, and which of its positions"),
    "norm": ("1", "what stands before the output matrix"),
    "labels": ("1", "what the model is to predict"),
    "seed": ("1", "random seed of the weights, the batch and the random labels"),
    "layer": ("1", "layer, from 0"),
}


RECORDED = (("laptop", "default"),)
"""Shapes whose dataset is committed: the shape says how many seeds there are, the models are the same."""


SEEDS, FEWER = 40, {"smoke": 2}
"""How many seeds, and shape → how many where that is less."""

config = shared.without_runs


def run(config: shared.Config) -> xr.Dataset:
    """See `measure`."""
    drawn = range(FEWER.get(config.scale, SEEDS))
    return shared.cached(
        "first_gradient_by_layer", config, (), __name__, lambda: measure(drawn).assign_attrs(scale=config.scale)
    )


class Part(NamedTuple):
    """What is read of a model at some of its positions; NaN where there are none."""

    gradient: np.ndarray
    """Mean of ∂loss/∂p over the entries above 0: (labels, layer)."""
    paired: np.ndarray
    """The same, mean with that of the twin."""
    positive: np.ndarray
    """Share of entries above 0: (layer)."""
    theorem: float
    """Of the last layer, with nothing but the output matrix behind it."""


def measure(seeds: Iterable[int] = range(8), tokens: int = 128) -> xr.Dataset:
    """Gradients before the first step, by (model, norm, seed, labels, layer).

    Variables: `gradient` and `paired`; `positive` by (model, norm, seed, layer); `theorem` by (model, norm, seed).

    Parameters
    ----------
    tokens
        Of a batch; they are whole sequences, or pictures.

    Raises
    ------
    UserError
        For fewer than two seeds or the same twice, tokens that make no sequence, or pictures that were not fetched.
    """
    begun, drawn = monotonic(), checked(seeds)
    runs = {scale: pictures(scale) if scale == "digits" else base(scale) for scale, _ in MODELS.values()}
    longest = max(run.model.seq_len for run in runs.values())
    if not isinstance(tokens, int) or tokens < longest:
        raise UserError(f"tokens = {shown(tokens)}: expected a whole number from {longest}, a sequence of each shape.")
    found = {each: _of(runs[each[0]], *each[1:], tokens) for each in product(runs, NORMS, drawn)}
    every = [
        [[found[scale, norm, seed][apart] for seed in drawn] for norm in NORMS] for scale, apart in MODELS.values()
    ]
    by = ("model", "norm", "seed")
    dims = {"gradient": (*by, "labels", "layer"), "positive": (*by, "layer"), "theorem": by}
    dims["paired"] = dims["gradient"]
    values: dict[str, Any] = {
        name: (of, [[[getattr(part, name) for part in each] for each in model] for model in every])
        for name, of in dims.items()
    }
    layers = len(next(iter(runs.values())).model.widths)
    coordinates = {"model": list(MODELS), "norm": NORMS, "seed": drawn, "labels": LABELS, "layer": range(layers)}
    values |= {name: ((name,), list(given)) for name, given in coordinates.items()}
    facts = {
        "config": {scale: to_dict(run) for scale, run in runs.items()} | {"tokens": tokens},
        "environment": results.environment(),
        "runs": [],
        "wall_seconds": [monotonic() - begun],
    }
    return results.described(values, UNITS_OF).assign_attrs(provenance=json.dumps(facts, sort_keys=True))


def _of(run: RunConfig, norm: str, seed: int, tokens: int) -> tuple[Part, Part]:
    """What `of_batch` gives for the model of a seed, and its first batch."""
    model = build(run.model, seed)
    assert isinstance(model, Decoder | Vit)
    if norm != AS_IS:
        model.final_norm = Held(model.final_norm) if norm == HELD else nn.Identity()
    task = tasks.of(run, corpora.load(run.corpus))
    batch = evaluate.on(torch.device("cpu"), task.batch(tokens // run.model.seq_len, seed, 0))
    return of_batch(model, batch, torch.Generator().manual_seed(-1 - seed))  # another than the weights are of


class Held(nn.Module):
    """A LayerNorm with the same values, whose scale passes no gradient, as if it did not depend on the stream."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        assert isinstance(norm, nn.LayerNorm)
        self.norm = norm

    def forward(self, x: Float[Tensor, "... C"]) -> Float[Tensor, "... C"]:
        middle = x - x.mean(-1, keepdim=True)
        scale = (middle.detach().square().mean(-1, keepdim=True) + self.norm.eps).rsqrt()
        return middle * scale * self.norm.weight + self.norm.bias


def of_batch(model: Decoder | Vit, batch: tuple[Tensor, ...], generator: torch.Generator) -> tuple[Part, Part]:
    """Of a model's positive pre-activations on a batch: at the positions that count, and at those that do not.

    The loss is the sum over all predictions, so that an entry's gradient is what all predictions ask of it.
    """
    mlps = model.mlps()
    random: list[Tensor] = []  # one draw for the model and its twins

    def gradients(layers: Sequence[int]) -> tuple[list[Tensor], list[list[Tensor]]]:
        """Pre-activations of these layers, and the gradients of each kind of labels."""
        seen: list[Tensor] = []
        hooks = [mlps[at].fc_in.register_forward_hook(lambda _module, _given, p: seen.append(p)) for at in layers]
        try:
            logits, real = model.predict(*batch)
        finally:
            for hook in hooks:
                hook.remove()
        logits, real = logits.flatten(0, -2), real.flatten()
        if not random:
            random.append(torch.randint(logits.shape[-1], real.shape, generator=generator))
        losses = [F.cross_entropy(logits, of, reduction="sum") for of in (real, random[0], logits.argmax(-1))]
        return [p.detach() for p in seen], [list(torch.autograd.grad(loss, seen, retain_graph=True)) for loss in losses]

    seen, single = gradients(range(len(mlps)))
    paired = [list(of) for of in single]
    for layer, mlp in enumerate(mlps):
        with _negated(mlp):
            _, twin = gradients([layer])
        for of, (each,) in zip(paired, twin, strict=True):
            of[layer] = (of[layer] + each) / 2
    parts = []
    for apart in (False, True):
        at = [slice(None, mlp.uncounted) if apart else slice(mlp.uncounted, None) for mlp in mlps]
        above = [p[:, of] > 0 for p, of in zip(seen, at, strict=True)]

        def mean(of: Sequence[Tensor], at: Any = at, above: Any = above) -> list[float]:
            return [float(g[:, some][fires].double().mean()) for g, some, fires in zip(of, at, above, strict=True)]

        means, of_pairs = (np.array([mean(of) for of in kind]) for kind in (single, paired))
        share = np.array([float(each.double().mean()) for each in above])
        read = means[:, -1].any()  # of the last layer, a class is read at the class token alone
        parts.append(Part(means, of_pairs, share, mean(seen)[-1] * _variance(model) if read else np.nan))
    return parts[0], parts[1]


@contextmanager
def _negated(mlp: Hidden) -> Iterator[None]:
    """With the sign of a layer's second matrix turned: its draw is as likely, and its pre-activations are the same."""

    def turn() -> None:
        with torch.no_grad():
            mlp.fc_out.weight.neg_()

    turn()
    try:
        yield
    finally:
        turn()


@torch.no_grad()
def _variance(model: Decoder | Vit) -> float:
    """Var(U V) · (1 − 1/K) of output matrix and last layer: the variance over the K classes, mean of the units."""
    combined = model.output.weight.double() @ model.mlps()[-1].fc_out.weight.double()
    return float(combined.var(0, correction=0).mean())


def table(dataset: xr.Dataset) -> pd.DataFrame:
    """A row per model, norm, labels and layer, of the paired gradient.

    Columns: `gradient`, the mean over the seeds, with `low` and `high`, Student's 95 % interval, in nats per unit of p;
    `sign`, that of the interval: 0 where it has 0 inside, missing where no gradient reaches the layer.
    """
    by = ["model", "norm", "labels", "layer"]
    paired = dataset["paired"].transpose(*by, "seed").astype(float)
    names = product(*(paired[dim].values.tolist() for dim in by))
    rows = {}
    for place, values in zip(names, paired.values.reshape(-1, paired.sizes["seed"]), strict=True):
        mean, half = values.mean(), half_width(values)
        sign = (np.sign(mean) if abs(mean) > half else 0.0) if values.any() else np.nan
        rows[place] = (mean, mean - half, mean + half, sign)
    index = pd.MultiIndex.from_tuples(rows, names=by)
    return pd.DataFrame(list(rows.values()), index, ["gradient", "low", "high", "sign"])


def against_theorem(dataset: xr.Dataset) -> pd.DataFrame:
    """Of the last layer without the final norm: a row per model with `gradient` (real labels), `theorem`, `percent`."""
    of = dataset.sel(norm=WITHOUT).isel(layer=-1).dropna("model", subset=["theorem"])
    rows = of["paired"].sel(labels="real").mean("seed").to_series(), of["theorem"].mean("seed").to_series()
    found = pd.concat(rows, axis=1, keys=["gradient", "theorem"]).astype(float)
    return found.assign(percent=100 * found["gradient"] / found["theorem"])

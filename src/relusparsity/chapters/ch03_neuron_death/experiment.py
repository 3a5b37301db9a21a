"""Chapter 03: which units die, who comes back, and how much of the silence on held-out text chance explains.

The training runs are chapter 02's. Here their final weights read one set of held-out text (the small sample), a larger
sample disjoint from it, and equal samples of several domains.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from tqdm import tqdm

from ... import arithmetic, corpora, distributed
from ...checks import Size, Tokens
from ...claims.statistics import poisson_upper
from ...counting import metrics
from ...errors import UserError
from ...experiments import shared
from ...models import Model
from ...store import results
from ...store.schema import HISTORY
from ...train import Run, evaluate
from .death_tables import ADDED, COORDINATES

LEVELS = (2.5, 50.0, 97.5)
MEASURED_AT = ("before training", "after the warm-up")
FATES = ("alive at the end", "dead at the end")
GRID = 101

DRIFT = ("preactivation_mean", "preactivation_std", "preactivation_p99", "input_weight_norm")

NAME = "neuron_death"
"""Name of its datasets."""

RECORDED = (("laptop", "default"), ("mid", "first"), ("wide", "first"), ("wide", "nearest"))
"""Shapes and recipes whose dataset is committed."""


@dataclass(frozen=True)
class Config(shared.Config):
    """The shared runs and the held-out samples that their final weights read."""

    small_tokens: Tokens
    """The first set of the held-out text."""
    large_tokens: Tokens
    """The held-out text that follows it."""
    domain_tokens: Tokens
    """Each of a domain's two samples."""
    domains: Size = 4
    """Largest domains of held-out text that are compared."""
    draws: Size = 200
    """Random draws of documents."""


DOMAIN, FEWER = 131_072, {"smoke": 2_048, "laptop": 16_384}
"""Tokens of each of a domain's two samples, and shape → how many where that is less."""


def config(scale: str, recipe: str | None = None) -> Config:
    """The chapter's configuration at a shape, by its own recipe or another."""
    of = shared.config(scale, recipe)
    measure = of.runs[0].measure
    # the small sample and the large one are the run's own final sets, except where a verdict needs 1 M tokens
    large = measure.final_sets - 1 if of.scale in FEWER else 128
    domain = FEWER.get(of.scale, DOMAIN)
    return Config(of.scale, of.recipe, of.runs, measure.set_tokens, large * measure.set_tokens, domain)


def run(config: Config) -> xr.Dataset:
    """Deaths, drift and silence by (seed, …); `domain_silent_units` only where the text has two domains or more."""

    def compute() -> xr.Dataset:
        runs = shared.train_all(config.runs)
        kept = ["dead_units", "deaths", "revivals", "death_onset", "death_count", "revival_count"]
        dataset = shared.stack(runs, config, [*kept, *DRIFT])
        corpus = corpora.load(config.runs[0].corpus)
        samples = domain_samples(corpus, config)
        grid = np.linspace(0, config.runs[0].train.tokens, GRID).round().astype(np.int64)
        parts = [_one(finished, corpus, samples, grid, config) for finished in runs]
        coords = {
            "tokens_grid": grid,
            "measured_at": list(MEASURED_AT),
            "rate_quarter": np.arange(1, 5),
            "fate": list(FATES),
            "quantity": list(HISTORY),
            "level": np.array(LEVELS),
        } | ({"silent_on": list(samples), "fires_on": list(samples)} if len(samples) > 1 else {})
        values = {name: (("seed", *ADDED[name][0]), np.stack([part[name] for part in parts])) for name in parts[0]}
        units = COORDINATES | {name: (unit, text) for name, (_, unit, text) in ADDED.items()}
        added = results.described({name: ((name,), at) for name, at in coords.items()} | values, units)
        dataset = dataset.merge(added.set_coords(list(coords)), join="exact", combine_attrs="override")
        sizes = {"small_sample_tokens": config.small_tokens, "large_sample_tokens": config.large_tokens}
        dataset.attrs |= sizes
        for name in ("silent_small", "silent_both"):
            dataset[name].attrs |= sizes
        if len(samples) > 1:
            dataset["domain_silent_units"].attrs["sample_tokens"] = config.domain_tokens
        return dataset

    return shared.cached(NAME, config, config.runs, __name__, compute)


def domain_samples(corpus: corpora.Corpus, config: Config) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Two samples, (sequence, position + 1) each, of every domain that is long enough, largest domain first."""
    seq_len = config.runs[0].model.seq_len
    wanted = config.domain_tokens // seq_len
    texts = corpus.domains | corpus.extra
    largest = sorted(texts, key=lambda name: -len(texts[name]))[: config.domains]
    enough = [name for name in largest if len(texts[name]) > 2 * wanted * seq_len]
    cut = {name: corpora.heldout_sequences(texts[name][: 2 * wanted * seq_len + 1], seq_len) for name in enough}
    return {name: (both[:wanted], both[wanted:]) for name, both in cut.items()}


def _one(
    finished: Run,
    corpus: corpora.Corpus,
    samples: dict[str, tuple[np.ndarray, np.ndarray]],
    grid: np.ndarray,
    config: Config,
) -> dict[str, np.ndarray]:
    """Everything added for one seed, by name."""
    data, train = finished.dataset, finished.config.train
    seq_len = finished.config.model.seq_len
    sequences = corpora.heldout_sequences(corpus.heldout, seq_len)
    small, large = config.small_tokens // seq_len, config.large_tokens // seq_len
    if len(sequences) < small + large:
        raise UserError(
            f"the held-out text has {len(sequences) * seq_len:,} tokens, but the small and the large sample need "
            f"{config.small_tokens + config.large_tokens:,}; give more held-out text."
        )
    model = finished.model(distributed.device())
    model.output = torch.nn.Identity()  # type: ignore[assignment]  # only firing is read: no logits
    batch = evaluate.batch_size(model, distributed.device())
    read = _Reader(model, batch, f"seed {finished.config.seed}: held-out text")
    silent = ~read.fired(sequences[:small])
    documents = document_of(sequences[small : small + large], corpus.eos)
    fired_in, sequences_fired = read.fired_in_documents(sequences[small : small + large], documents, silent)
    dead = train.tokens - data["last_fired"].values >= train.dead_after
    silent_both = silent.copy()
    for layer, fired in enumerate(fired_in):
        silent_both[layer, silent[layer]] = ~fired.any(axis=0)
    once = np.array([(count == 1).sum() for count in sequences_fired])
    values = {
        "survival": _survival(data["death_onset"].values, train.tokens - train.dead_after, grid),
        "dead_count": dead.sum(axis=1),
        "dead_and_silent_count": (dead & silent_both).sum(axis=1),
        "death_share_by_rate": _death_share_by_rate(data, train.warmup),
        "fate_median": _fate_median(data, dead),
        "silent_small": silent.sum(axis=1),
        "silent_both": silent_both.sum(axis=1),
        "good_turing_expected": once,
        "good_turing_upper": poisson_upper(once),
        "good_turing_documents": np.array([(fired.sum(axis=0) == 1).sum() for fired in fired_in]),
    }
    resampled = [resample(fired, config.draws) for fired in fired_in]
    for i, name in enumerate(("silent_both_bootstrap", "woken_observed", "woken_expected")):
        values[name] = np.array([np.percentile(drawn[i], LEVELS) for drawn in resampled])
    if len(samples) > 1:
        on = {name: [read.fired(sample) for sample in both] for name, both in samples.items()}
        values["domain_silent_units"] = np.array(
            [[(~on[a][0] & on[b][int(a == b)]).sum(axis=1) for b in on] for a in on]
        ).transpose(2, 0, 1)
    return values


@dataclass(frozen=True)
class _Reader:
    """Reads held-out sequences under frozen weights, a batch at a time."""

    model: Model
    batch: int
    progress: str

    @arithmetic.float32("tf32")
    @torch.no_grad()
    def _each(self, sequences: np.ndarray, see: Callable[[slice, int, Tensor], None]) -> None:
        """Call `see(sequences read, layer, firing mask (sequence, position, unit))`."""
        device = next(self.model.parameters()).device
        starts = range(0, len(sequences), self.batch)
        for start in tqdm(starts, desc=self.progress, unit="batch", leave=False, disable=None):
            where = slice(start, start + self.batch)
            inputs = torch.from_numpy(sequences[where, :-1].astype(np.int64)).to(device)
            self.model(inputs, lambda layer, _x, _pre, a, where=where: see(where, layer, metrics.fires(a)))

    def fired(self, sequences: np.ndarray) -> np.ndarray:
        """Whether each unit fires at least once: (layer, unit)."""
        config = self.model.config
        out = np.zeros((config.n_layers, config.width), dtype=bool)

        def see(_where: slice, layer: int, fired: Tensor) -> None:
            out[layer] |= fired.flatten(0, 1).any(dim=0).cpu().numpy()

        self._each(sequences, see)
        return out

    def fired_in_documents(
        self, sequences: np.ndarray, documents: np.ndarray, chosen: np.ndarray
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """By layer: the documents each chosen unit fires in, (document, chosen), and how many sequences, (chosen).

        `documents` numbers the document of every token, (sequence, position); `chosen` is (layer, unit) bool.
        """
        device = next(self.model.parameters()).device
        index = [torch.from_numpy(np.flatnonzero(row)).to(device) for row in chosen]
        tables = [np.zeros((int(documents.max()) + 1, len(units)), dtype=bool) for units in index]
        counts = [np.zeros(len(units), dtype=np.int64) for units in index]

        def see(where: slice, layer: int, fired: Tensor) -> None:
            mask = fired[:, :, index[layer]]
            counts[layer] += mask.any(dim=1).sum(dim=0).cpu().numpy()
            number = documents[where].ravel()
            first, last = int(number[0]), int(number[-1]) + 1
            local = torch.zeros(last - first, mask.shape[2], dtype=torch.int32, device=device)
            local.index_add_(0, torch.from_numpy(number - first).to(device), mask.flatten(0, 1).int())
            tables[layer][first:last] |= (local > 0).cpu().numpy()

        self._each(sequences, see)
        return tables, counts


def document_of(sequences: np.ndarray, eos: int) -> np.ndarray:
    """Number of the document that each input token belongs to, from 0 in text order: (sequence, position).

    Sequences follow each other in the text; `<eos>` belongs to the document that it ends.

    >>> document_of(np.array([[5, 0, 6], [6, 7, 0]]), eos=0)
    array([[0, 0],
           [1, 1]])
    """
    ends = sequences[:, :-1].ravel() == eos
    return (np.cumsum(ends) - ends).reshape(len(sequences), -1)


def resample(fired: np.ndarray, draws: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What other documents would have shown, from where the units fire: (document, unit) bool.

    Returns
    -------
    silent : (draw)
        Units silent in as many documents drawn with replacement (a bootstrap; it leaves out a third of the documents
        and is therefore biased upwards).
    woken, expected : (draw)
        Units silent in a random half of the documents that fire in the other half, and their number as forecast from
        the first half alone: the units that fire in exactly one of its documents (Good 1953). The forecast is too high
        where many units are neither rare nor common. The full series of Good & Toulmin (1956) is not, but its signs
        alternate, and units that fire in most documents drown it.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    count = len(fired)
    half, table = count // 2, fired.astype(np.float32)
    redrawn = np.stack([np.bincount(generator.integers(count, size=count), minlength=count) for _ in range(draws)])
    silent = (redrawn.astype(np.float32) @ table == 0).sum(axis=1)
    order = np.stack([generator.permutation(count) for _ in range(draws)])
    first, second = np.zeros((2, draws, count), dtype=np.float32)
    np.put_along_axis(first, order[:, :half], 1, axis=1)
    np.put_along_axis(second, order[:, half : 2 * half], 1, axis=1)
    seen, after = first @ table, second @ table
    return silent, ((seen == 0) & (after > 0)).sum(axis=1), (seen == 1).sum(axis=1)


def _survival(onset: np.ndarray, followed: int, grid: np.ndarray) -> np.ndarray:
    return np.stack([metrics.survival(row, followed, grid) for row in onset])


def _death_share_by_rate(data: xr.Dataset, warmup: int) -> np.ndarray:
    """Share of the followed units alive at each moment that die later: (measured_at, layer, rate_quarter)."""
    seen, rate = data["history_tokens"].values, data["history_firing_rate"].values
    onset = data["death_onset"].values[:, data["history_unit"].values]
    steps = 0, int(np.searchsorted(seen, warmup))
    out = np.full((len(steps), len(onset), 4), np.nan)
    for i, step in enumerate(steps):
        for layer, of_layer in enumerate(onset):
            at_risk = ~(of_layer <= seen[step]) if step else np.ones(len(of_layer), dtype=bool)
            in_order = np.argsort(rate[step, layer, at_risk], kind="stable")
            died = np.isfinite(of_layer[at_risk])[in_order]
            out[i, layer] = [part.mean() if len(part) else np.nan for part in np.array_split(died, 4)]
    return out


def _fate_median(data: xr.Dataset, dead: np.ndarray) -> np.ndarray:
    """Medians over the followed units at the last history step, NaN without any: (layer, fate, quantity)."""
    of_units = dead[:, data["history_unit"].values]
    last: Sequence[np.ndarray] = [data[name].values[-1] for name in HISTORY]
    groups = [[~row, row] for row in of_units]
    return np.array(
        [
            [[np.median(q[layer][g]) if g.any() else np.nan for q in last] for g in fates]
            for layer, fates in enumerate(groups)
        ]
    )

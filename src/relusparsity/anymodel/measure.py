"""One model, one text → a Dataset with everything that the report shows; interrupted, it resumes."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn
from tqdm import tqdm

from .. import __version__, results
from ..checks import Batch, Checked, Size, Tokens, TokensOrNone
from ..config import digest, source_digest
from ..corpora import text as files
from ..errors import UserError
from . import calibrate, contexts, load, reading, removal, statistics, text
from .attach import Side, find
from .details import Detailed
from .rules import Rule, above, exact

RULES = "exact, epsilon=0.1, quantile=0.9, cett=0.2, cett-ppl=1"


@dataclass(frozen=True)
class Options(Checked):
    """What is measured of a model, and on how much text."""

    tokens: Tokens = 1_000_000
    """Tokens to count on."""
    seq_len: Size | None = None
    """Tokens of a sequence, a power of two; None: 512, or as many as the model can read."""
    batch_size: Batch | None = None
    """Sequences read at a time; None: chosen by the device's memory."""
    rule: str = "exact"
    """When a unit fires: exact, epsilon=0.1, quantile=0.9, cett=0.2 or cett-ppl=1."""
    layers: str | None = None
    """Pattern of module names; None: found by structure."""
    of: Side = "output"
    """Side of the modules that is the hidden activation."""
    followed: Size = 32
    """Units a layer whose token types are counted."""
    loss_tokens: TokensOrNone = 16_384
    """Tokens kept apart, for thresholds and for the loss without units; at most an eighth of the text."""


def sequence_length(model: nn.Module, wanted: int | None) -> int:
    """The tokens of a sequence: those wanted if the model can read so many, else up to 512.

    Raises
    ------
    UserError
        If the model cannot, or it is no power of two.
    """
    most = load.positions(model)
    if wanted is None:
        return 1 << (min(512, most or 512).bit_length() - 1)
    if wanted < 2 or wanted & (wanted - 1):
        raise UserError(f"seq_len = {wanted}: expected a power of two, for windows to nest.")
    if most is not None and wanted > most:
        raise UserError(f"seq_len = {wanted} is longer than the {most} positions that the model can read; lower it.")
    return wanted


def measure_text(
    model: nn.Module, tokenizer: Any, paths: Sequence[str], options: Options, folder: Path, name: str
) -> xr.Dataset:
    """Read text files with a model; see `measure`."""
    seq_len = sequence_length(model, options.seq_len)
    if options.tokens < seq_len:
        raise UserError(f"tokens = {options.tokens} is less than one sequence of {seq_len}.")
    ids = text.pack(tokenizer, paths, options.tokens + options.loss_tokens, seq_len)
    source = {"files": [[name, checksum] for name, checksum in files.fingerprint(paths)]}
    return measure(model, tokenizer, ids, options, folder, name, source)


def measure(
    model: nn.Module,
    tokenizer: Any,
    ids: np.ndarray,
    options: Options,
    folder: Path | None = None,
    name: str = "",
    source: dict[str, Any] | None = None,
) -> xr.Dataset:
    """Count, on packed token ids (sequence, position), what the model's hidden units do.

    Parameters
    ----------
    tokenizer
        Whatever decodes lists of ids, of transformers or tokenizers.
    folder
        Where a state is kept to resume from; None keeps none.
    name, source
        What the model is called and where the text comes from, for the record.

    Raises
    ------
    UserError
        If model, text and options do not fit each other.
    FloatingPointError
        If an activation is NaN.
    """
    started, seq_len, at = time.time(), ids.shape[1], next(model.parameters()).device
    sequence_length(model, seq_len)
    types = load.vocabulary(model)
    if ids.max() >= types:
        raise UserError(
            f"the text has token {ids.max()}, but the model knows {types}; the tokenizer is another model's."
        )
    apart = min(options.loss_tokens // seq_len, len(ids) // 8)
    heldout, ids = ids[len(ids) - apart :], ids[: min(len(ids) - apart, max(1, options.tokens // seq_len))]
    batch = options.batch_size or _batch_size(model, seq_len, at)
    key = digest(asdict(options), __version__, source_digest(), load.fingerprint(model), _checksum(ids), batch)
    if folder and (before := reading.finished(folder / "dataset.nc", key)) is not None:
        return before
    rule = _rule(model, options, heldout, batch)
    use = Detailed(model, options.layers, None if options.of == "output" else options.of, rule)
    use.prepare(types, options.followed)
    state = folder / "state.safetensors" if folder else None
    nats, sequences = reading.read(use, ids, batch, key, state)
    dataset = use.dataset()
    values = {name: value for name, value in statistics.silent(dataset, seq_len).items()}
    values |= statistics.specificity(use, ids, seq_len) | statistics.strongest(use)
    counts = dataset["final_firing_count"].values[0]
    examples = contexts.examples(values, use, ids, tokenizer)
    if load.is_causal(model):
        values["final_loss"] = (("seed",), [nats / (sequences * (seq_len - 1))])
        if len(heldout):
            bar = _bar("loss without units", "evaluation")
            values |= removal.costs(use.model, heldout, batch, counts, options.layers, options.of, bar)
    more = results.described(values | examples, statistics.DESCRIBED)
    dataset = dataset.merge(more.drop_vars("seed", errors="ignore"), combine_attrs="override")
    dataset = dataset.set_coords([n for n in ("chosen_by", "share", "evaluation", "context", "rank") if n in dataset])
    dataset["firing_count"].attrs["sample_tokens"] = int(ids.size)
    dataset.attrs |= _about(model, use, options, name, seq_len, batch, ids, started, source, key)
    if state:
        state.unlink(missing_ok=True)
    return dataset


def _batch_size(model: nn.Module, seq_len: int, at: torch.device) -> int:
    """Sequences at a time: 2,048 tokens on a CPU, a quarter of a GPU's free memory."""
    tokens = 2048
    if at.type == "cuda":
        a_token = 12 * load.vocabulary(model) + 65_536  # bytes: logits in float32, twice, and a layer's activations
        tokens = torch.cuda.mem_get_info(at)[0] // 4 // a_token
    return max(1, tokens // seq_len)


def _rule(model: nn.Module, options: Options, heldout: np.ndarray, batch: int) -> Rule:
    kind, _, number = options.rule.partition("=")
    places = find(model, options.layers, options.of)
    if kind == "exact" and not number:
        return exact(places)
    try:
        value = float(number)
    except ValueError:
        value = float("nan")
    if kind not in ("epsilon", "quantile", "cett", "cett-ppl") or value != value:
        raise UserError(f"rule = {options.rule!r}: expected one like {RULES}.")
    if kind == "epsilon":
        return above(value, len(places))
    if not len(heldout):
        raise UserError("the text is too short to set some apart for thresholds; give at least 8 sequences.")
    at = next(model.parameters()).device
    parts = [torch.from_numpy(heldout[i : i + batch]).to(at) for i in range(0, len(heldout), batch)]
    batches = [load.arguments(model, part) for part in parts]
    if kind == "quantile":
        return calibrate.quantile(model, batches, value, options.layers, options.of)
    if options.layers is not None or options.of != "output":
        raise UserError(f"rule = {options.rule!r} finds its layers by itself; leave out layers and of.")
    if kind == "cett-ppl" and not load.is_causal(model):
        raise UserError(
            f"rule = {options.rule!r} needs the loss of a model that predicts each next token, and "
            f"{type(model).__name__} does not; take cett=0.2 or another rule."
        )
    if kind == "cett":
        return calibrate.cett(model, batches, value)
    return calibrate.cett_at_perplexity(model, batches, value)


def _about(
    model: nn.Module,
    use: Detailed,
    options: Options,
    name: str,
    seq_len: int,
    batch: int,
    ids: np.ndarray,
    started: float,
    source: dict[str, Any] | None,
    key: str,
) -> dict[str, Any]:
    first = next(model.parameters())
    facts = {
        "config": {"measure": {"set_tokens": 8192}, "options": asdict(options)},
        "model": {"name": name, "class": type(use.model).__name__, "weights": load.fingerprint(use.model)},
        "layers": [str(place) for place in use.places],
        "rule": {"name": use.rule.name, "facts": use.rule.facts},
        "text": (source or {}) | {"sha256": _checksum(ids), "tokens": int(ids.size), "seq_len": seq_len},
        "precision": str(first.dtype).removeprefix("torch."),
        "batch_size": batch,
        "environment": results.environment(str(first.device)),
        "wall_seconds": time.time() - started,
        "measurement": key[:16],
    }
    return {"provenance": json.dumps(facts, sort_keys=True), "name": name, "seq_len": seq_len}


def _checksum(ids: np.ndarray) -> str:
    import hashlib

    return hashlib.sha256(np.ascontiguousarray(ids, dtype=np.int64).tobytes()).hexdigest()


def _bar(what: str, unit: str) -> Any:
    return lambda items: tqdm(items, desc=what, unit=unit, leave=False, disable=None)

"""One model, one text → a Dataset with everything that the report shows; interrupted, it resumes."""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from .. import arithmetic
from ..anymodel import calibrate
from ..anymodel.attach import find
from ..anymodel.rules import Rule, above, exact
from ..corpora import text as files
from ..errors import UserError
from ..identity import digest, plain
from ..store import loaded, results
from . import attending, contexts, load, progress, reading, removal, statistics, text
from .details import Detailed
from .options import Options as Options

PASSES = {"quantile": 1, "cett": 2, "cett-ppl": 3 + calibrate.STEPS}
"""How often a rule reads the text apart, if its first guess is good."""


def sequence_length(model: nn.Module, wanted: int | None) -> int:
    """The tokens of a sequence: those wanted if the model can read so many, else up to 512.

    Raises
    ------
    UserError
        If the model cannot, or it is no power of two.
    """
    most = load.positions(model)
    if most is not None and most < 2:
        raise UserError(f"by its configuration the model reads {max(0, most)} tokens; expected 2 or more.")
    if wanted is None:
        return 1 << (min(512, most or 512).bit_length() - 1)
    if wanted < 2 or wanted & (wanted - 1):
        raise UserError(f"seq_len = {wanted}: expected a power of two, for windows to nest.")
    if most is not None and wanted > most:
        raise UserError(f"seq_len = {wanted} is longer than the {most} positions that the model can read; lower it.")
    return wanted


def measure_text(
    model: nn.Module,
    tokenizer: Any,
    paths: Sequence[str],
    options: Options,
    folder: Path,
    name: str,
    about: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Read text files with a model, with the special tokens that its tokenizer adds to a text; see `measure`."""
    seq_len = sequence_length(model, options.seq_len)
    if options.tokens < seq_len:
        raise UserError(f"tokens = {options.tokens} is less than one sequence of {seq_len}.")
    without_text: Counter[str] = Counter()
    ids = text.pack(tokenizer, paths, options.tokens + options.loss_tokens, seq_len, without_text)
    source = {"files": files.sources(paths), "without_text": without_text.total()}
    source["special_tokens"] = text.said(tokenizer, options.special_tokens)
    return measure(model, tokenizer, ids, options, folder, name, source, about)


def measure(
    model: nn.Module,
    tokenizer: Any,
    ids: np.ndarray,
    options: Options,
    folder: Path | None = None,
    name: str = "",
    source: dict[str, Any] | None = None,
    about: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Count, on packed token ids (sequence, position), what the model's hidden units do.

    Parameters
    ----------
    tokenizer
        Whatever decodes lists of ids, of transformers or tokenizers.
    folder
        Where a state is kept to resume from; None keeps none.
    name, source, about
        What the model is called, where the text comes from, and what else is known of the model, for the record: the
        `run` that trained it, `notes` to be read with every result.

    Returns
    -------
    Dataset
        Float32 on a GPU was float32, whatever the program that calls this has told torch.

    Raises
    ------
    UserError
        If model, text and options do not fit each other.
    FloatingPointError
        If an activation or the loss is not finite.
    """
    with arithmetic.float32("ieee"):
        return _measure(model, tokenizer, ids, options, folder, name, source, about or {})


def _measure(
    model: nn.Module,
    tokenizer: Any,
    ids: np.ndarray,
    options: Options,
    folder: Path | None,
    name: str,
    source: dict[str, Any] | None,
    about: Mapping[str, Any],
) -> xr.Dataset:
    started, seq_len, at = time.time(), ids.shape[1], next(model.parameters()).device
    sequence_length(model, seq_len)
    types = load.vocabulary(model)
    if ids.max() >= types:
        raise UserError(
            f"the text has token {ids.max()}, but the model knows {types}; the tokenizer is another model's."
        )
    causal = reading.predicts(model, torch.from_numpy(ids[:1]).to(at))
    if options.attention:
        attending.check(model, seq_len)
    apart = min(options.loss_tokens // seq_len, len(ids) // 8)
    heldout, ids = ids[len(ids) - apart :], ids[: min(len(ids) - apart, max(1, options.tokens // seq_len))]
    batch = options.batch_size or _batch_size(model, seq_len, at)
    weights = load.fingerprint(model)
    read = [(list(each.shape), _checksum(each)) for each in (ids, heldout)]
    key = digest(plain(options), loaded.code(__name__), weights, text.fingerprint(tokenizer), read, batch)
    if folder and (before := reading.finished(folder / "dataset.nc", key)) is not None:
        return _called(before, name, source, about)
    stages, lost = progress.current(), causal and len(heldout) and options.removal
    stages.plan(_reads(options, ids, heldout, lost))
    rule = _rule(model, options, heldout, batch)
    use = Detailed(model, options.layers, None if options.of == "output" else options.of, rule)
    left_out = text.reader(tokenizer).special if options.special_tokens == "left_out" else ()
    use.prepare(types, options.followed, left_out)
    state = folder / "state.safetensors" if folder else None
    nats, sequences = reading.read(use, ids, batch, key, state)
    with stages.stage("describing the units"):
        dataset = use.dataset()
        values = {name: value for name, value in statistics.silent(dataset).items()}
        values |= statistics.specificity(use, ids) | statistics.strongest(use)
        examples = contexts.examples(values, use, ids, tokenizer)
    if causal:
        if not np.isfinite(nats):
            raise FloatingPointError(f"the loss on the text is {nats}; nothing is reported")
        values["final_loss"] = (("seed",), [nats / (sequences * (seq_len - 1))])
        if lost:
            counts = dataset["final_firing_count"].values[0]
            with stages.stage("loss without units", use.model, heldout.size * removal.EVALUATIONS):
                values |= removal.costs(use.model, heldout, batch, counts, options.layers, options.of)
    more = results.described(values | examples, statistics.DESCRIBED)
    dataset = dataset.merge(more.drop_vars("seed", errors="ignore"), combine_attrs="override")
    if options.attention:
        found = attending.attended(use.model, tokenizer, ids, batch, sorted(left_out))
        dataset = dataset.merge(found, combine_attrs="no_conflicts")
    dataset = dataset.set_coords([n for n in ("chosen_by", "share", "evaluation", "context", "rank") if n in dataset])
    dataset["firing_count"].attrs["sample_tokens"] = dataset.attrs["final_sample_tokens"]
    dataset.attrs |= _about(model, use, options, name, seq_len, batch, ids, started, source, key, weights, about)
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


def _reads(options: Options, ids: np.ndarray, heldout: np.ndarray, lost: object) -> dict[progress.Stage, int]:
    """Tokens that the model reads in each stage."""
    passes = PASSES.get(options.threshold()[0], 0)
    return {
        "calibrating": heldout.size * passes,
        "reading the text": ids.size,
        "loss without units": heldout.size * removal.EVALUATIONS if lost else 0,
        "attention": attending.planned(ids) if options.attention else 0,
    }


def _rule(model: nn.Module, options: Options, heldout: np.ndarray, batch: int) -> Rule:
    kind, value = options.threshold()
    places = find(model, options.layers, options.of)
    if value is None:
        return exact(places)
    if kind == "epsilon":
        return above(value, len(places))
    if not len(heldout):
        raise UserError("the text is too short to set some apart for thresholds; give at least 8 sequences.")
    at = next(model.parameters()).device
    parts = [torch.from_numpy(heldout[i : i + batch]).to(at) for i in range(0, len(heldout), batch)]
    batches = [load.arguments(model, part) for part in parts]
    with progress.current().stage("calibrating", model, heldout.size * PASSES[kind]):
        return _calibrated(model, options, batches, kind, value)


def _calibrated(model: nn.Module, options: Options, batches: Any, kind: str, value: float) -> Rule:
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
    weights: str,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    first = next(model.parameters())
    facts = {
        "config": {"measure": {"set_tokens": 8192}, "options": asdict(options)},
        "model": {"name": name, "class": type(use.model).__name__, "weights": weights, **about},
        "layers": [str(place) for place in use.places],
        **({"not_counted": use.not_counted} if use.not_counted else {}),
        "rule": {"name": use.rule.name, "facts": use.rule.facts},
        "text": (source or {}) | {"sha256": _checksum(ids), "tokens": int(ids.size), "seq_len": seq_len},
        "precision": str(first.dtype).removeprefix("torch."),
        "batch_size": batch,
        "environment": results.environment(str(first.device)),
        "wall_seconds": time.time() - started,
        "measurement": key[:16],
    }
    return {"provenance": json.dumps(facts, sort_keys=True), "name": name, "seq_len": seq_len}


def _called(measured: xr.Dataset, name: str, source: dict[str, Any] | None, about: Mapping[str, Any]) -> xr.Dataset:
    """What was measured before, under the names that model and text have now."""
    facts = results.provenance(measured)
    facts["model"] |= {"name": name, **about}
    facts["text"] |= source or {}
    return measured.assign_attrs(provenance=json.dumps(facts, sort_keys=True), name=name)


def _checksum(ids: np.ndarray) -> str:
    import hashlib

    return hashlib.sha256(np.ascontiguousarray(ids, dtype=np.int64).tobytes()).hexdigest()

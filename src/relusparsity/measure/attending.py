"""What `--attention` adds to a measurement: where heads look, sinks, induction, and spikes of the residual stream."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from ..anymodel import heads, spikes
from ..attention import SINK_TOKENS, induction
from ..errors import UserError
from ..examples import shown_token
from ..store import results
from . import load, progress
from .text import reader

TOKENS = 65_536
"""Tokens of the text that are read, at most: means over them are precise, and read as much again as is counted."""
DELIMITERS = frozenset(".,;:!?\n")
SHORTEST = 8
"""Tokens that must repeat for a test of induction."""

DESCRIBED = {
    "prefix_matching": ("1", "prefix-matching score: mean attention to the token after earlier occurrences"),
    "spike_text": ("1", "token at which the largest entry is"),
}


def check(model: nn.Module, seq_len: int) -> None:
    """Before anything is read, raise UserError if there is nothing to be had, or sequences are too short."""
    heads.track_heads(model)
    if seq_len < SINK_TOKENS:
        raise UserError(
            f"seq_len = {seq_len} is shorter than what --attention needs: a sink is told by the first {SINK_TOKENS} "
            "tokens of a sequence; give a longer --seq_len, or leave out --attention."
        )


def planned(ids: np.ndarray) -> int:
    """Tokens of the text that are read, whole sequences."""
    return min(len(ids), max(1, TOKENS // ids.shape[1])) * ids.shape[1]


def delimiters(tokenizer: Any, ids: np.ndarray) -> list[int]:
    """Which tokens of a text are delimiters: punctuation and line ends, and special tokens after the first."""
    how = reader(tokenizer)
    special = how.special - set(how.first)
    return [each for each in np.unique(ids).tolist() if each in special or _delimits(str(tokenizer.decode([each])))]


def _delimits(text: str) -> bool:
    bare = text.strip(" ")
    return bool(bare) and set(bare) <= DELIMITERS


@torch.no_grad()
def attended(model: nn.Module, tokenizer: Any, ids: np.ndarray, batch: int, left_out: Sequence[int]) -> xr.Dataset:
    """Statistics of heads and of the stream, on the first sequences (sequence, position) of a text; for a Dataset.

    Raises
    ------
    UserError
        If the weights of attention are not known.
    """
    at, ids = next(model.parameters()).device, ids[: planned(ids) // ids.shape[1]]
    with progress.current().stage("attention", model, ids.size):
        track = heads.track_heads(model, delimiters(tokenizer, ids), left_out)
        with track, (stream := spikes.track_spikes(model)):
            for start in range(0, len(ids), batch):
                part = torch.from_numpy(ids[start : start + batch]).to(at)
                load.logits(model, part)
        data = track.dataset().rename(layer="attention_layer")
        found = stream.dataset().rename(layer="stream_layer")
        where = zip(found["spike_sequence"].values[0], found["spike_token"].values[0], strict=True)
        told = [shown_token(tokenizer, int(ids[sequence, token])) for sequence, token in where]
        data = data.merge(found).merge(results.described({"spike_text": (("stream_layer",), told)}, DESCRIBED))
        data.attrs = {"attention_tokens": int(ids.size)}
        if load.is_causal(model):
            data = data.merge(_induction(model, tokenizer), combine_attrs="no_conflicts")
    return data


def _induction(model: nn.Module, tokenizer: Any) -> xr.Dataset:
    """The prefix-matching score of every head, on repeated random tokens as long as the model can read."""
    how, most, at = reader(tokenizer), load.positions(model), next(model.parameters()).device
    first = how.first or how.last  # a packed text without first tokens goes on after the end of another
    room = 2 * induction.PERIOD + len(first) if most is None else most
    types = induction.usual(load.vocabulary(model), set(how.special))
    period = min(induction.PERIOD, (room - len(first)) // 2, len(types))
    if period < SHORTEST:
        return xr.Dataset()
    rows = induction.repeated(types, torch.tensor(first, dtype=torch.int64), period)
    _read(model, rows.to(at), track := heads.track_heads(model, period=period, begin=len(first)))
    scores = np.stack(track.prefix_matching())[None]
    dims = ("seed", "attention_layer", "head")
    found = results.described({"prefix_matching": (dims, scores)}, DESCRIBED)
    return found.assign_attrs(induction_period=period, induction_draws=len(rows))


def _read(model: nn.Module, rows: Tensor, track: heads.TrackedHeads) -> None:
    with track:
        for row in rows.split(1):
            load.logits(model, row)

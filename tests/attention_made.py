"""Attention by its plain definition: whole matrices in float64, and loops over queries."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from relusparsity.attention import SINK, SINK_TOKENS, HeadUse, Scores


def matrix(q: Tensor, k: Tensor, scores: Scores, first: int = 0) -> np.ndarray:
    """All weights of one sequence (head, query, key), of queries (head, query, width) and keys (group, key, width)."""
    found = np.zeros((q.shape[0], q.shape[1], k.shape[1]))
    for head in range(q.shape[0]):
        group = head * k.shape[0] // q.shape[0]
        for row in range(q.shape[1]):
            logits = np.full(k.shape[1], -np.inf)
            for key in range(k.shape[1]):
                back = first + row - key
                if (scores.causal and back < 0) or (scores.window is not None and abs(back) >= scores.window):
                    continue
                if scores.mask is not None and not scores.mask[0, 0, row, key]:
                    continue
                logit = float(q[head, row].double() @ k[group, key].double()) * scores.scale
                if scores.softcap is not None:
                    logit = scores.softcap * np.tanh(logit / scores.softcap)
                logits[key] = logit + (0 if scores.bias is None else float(scores.bias[0, head, row, key]))
            if scores.sigmoid is not None:
                found[head, row] = 1 / (1 + np.exp(-(logits + scores.sigmoid)))
                continue
            sink = -np.inf if scores.sink is None else float(scores.sink[head])
            if scores.sink_key is not None:
                sink = float(q[head, row].double() @ scores.sink_key[head].double()) * scores.scale
            top = max(logits.max(), sink)
            each = np.exp(logits - top)
            found[head, row] = each / (each.sum() + np.exp(sink - top))
    return found


def statistics(
    whole: Sequence[np.ndarray],
    real: np.ndarray,
    delimiters: np.ndarray | None = None,
    counted: np.ndarray | None = None,
    shared_out: bool = True,
) -> dict[str, np.ndarray]:
    """Every statistic of `HeadUse` for matrices (sequence)(head, query, key) whose queries are all of their keys.

    Weights that are not shared out of 1 have no sink that takes the rest, and are divided by their sum to look for one.
    """
    counted = real if counted is None else counted & real
    rows: dict[str, list[np.ndarray]] = {}
    sinks = []
    for sequence, weights in enumerate(whole):
        tokens = np.flatnonzero(real[sequence])
        looked = weights if shared_out else weights / np.maximum(weights.sum(2, keepdims=True), 1e-300)
        if len(tokens) >= SINK_TOKENS:
            sinks.append(looked[:, tokens[:SINK_TOKENS], tokens[0]].mean(1) > SINK)
        for i in tokens[counted[sequence, tokens]]:
            row = weights[:, i]
            total = row.sum(1)
            share = row / total[:, None]
            with np.errstate(divide="ignore", invalid="ignore"):
                entropy = -np.where(share > 0, share * np.log(share), 0).sum(1)
            told = {
                "first": row[:, tokens[0]],
                "same": row[:, i],
                "entropy": entropy,
                "distance": (share * np.abs(i - np.arange(row.shape[1]))).sum(1),
                "pairs": looked[:, i, tokens[0]] > SINK,
            }
            if shared_out:
                told["learned_sink"] = 1 - total
            if i > tokens[0]:
                told["previous"] = row[:, i - 1]
            if i + 1 < row.shape[1] and real[sequence, i + 1]:
                told["next"] = row[:, i + 1]
            if delimiters is not None:
                told["delimiter"] = row[:, delimiters[sequence]].sum(1)
            for name, value in told.items():
                rows.setdefault(name, []).append(value)
    found = {name: np.mean(values, axis=0) for name, values in rows.items()}
    return found | ({"sinks": np.mean(sinks, axis=0)} if sinks else {})


def assert_same(use: HeadUse, expected: dict[str, np.ndarray], close: float = 1e-6) -> None:
    for name, value in expected.items():
        read = {"pairs": use.sink_pairs, "sinks": use.sink_rate}.get(name, lambda name=name: use.mean(name))()
        np.testing.assert_allclose(read, value, rtol=0, atol=close * max(1, float(np.abs(value).max())), err_msg=name)


def drawn(*shape: int, seed: int = 0, size: float = 1.0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * size

"""What counts are compared with."""

from typing import Any

import numpy as np

from relusparsity.counting.layer import LayerUse


def brute_force(fired: np.ndarray, real: np.ndarray) -> dict[str, Any]:
    """Every count again, the slow way, from masks (sequence, position, unit) and (sequence, position)."""
    of_sequence = [row[here] for row, here in zip(fired, real, strict=True) if here.any()]
    stream, units = np.concatenate(of_sequence), fired.shape[-1]
    windows = {}
    for level in range(21):
        whole = [stream[i : i + 2**level] for i in range(0, len(stream) - 2**level + 1, 2**level)]
        windows[level] = (sum(int(w.any(0).sum()) for w in whole), len(whole))
    return {
        "tokens": len(stream),
        "sequences": len(of_sequence),
        "unit_tokens": stream.sum(0),
        "unit_sequences": np.sum([s.any(0) for s in of_sequence], axis=0),
        "token_histogram": np.bincount(stream.sum(1), minlength=units + 1),
        "sequence_histogram": np.bincount([s.any(0).sum() for s in of_sequence], minlength=units + 1),
        "window_units": [windows[level][0] for level in range(21)],
        "window_count": [windows[level][1] for level in range(21)],
    }


def assert_counts(use: LayerUse, fired: np.ndarray, real: np.ndarray | None = None, windows: bool = True) -> None:
    real = np.ones(fired.shape[:2], dtype=bool) if real is None else real
    for name, value in brute_force(fired, real).items():
        if windows or not name.startswith("window"):
            np.testing.assert_array_equal(np.asarray(getattr(use, name)), value, err_msg=name)


def shaped(activations: list[np.ndarray], sequences: int) -> np.ndarray:
    return np.concatenate([a.reshape(sequences, -1, a.shape[-1]) for a in activations], axis=1)

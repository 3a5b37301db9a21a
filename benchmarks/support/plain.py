"""The tracker's counts as one writes them in plain PyTorch from activations that were kept.

Vectorised, and windows are built by doubling, so that the comparison is with good code: only the tracker's habit of
looking at each layer's activations while they pass is missing.
"""

import torch
from torch import Tensor

Counts = dict[str, Tensor]


def of_chunk(layers: list[Tensor]) -> Counts:
    """Counts of one chunk from its layers' activations (sequence, position, unit), each with leading dim layer."""
    rows: dict[str, list[Tensor]] = {}
    for activation in layers:
        fired = activation > 0
        in_sequence = fired.any(dim=1)
        per_token = fired.sum(dim=2)
        d_ff = fired.shape[2]
        windows, union = [], fired.flatten(0, 1)
        while True:
            windows.append(union.sum())
            if len(union) == 1:
                break
            union = union[0::2] | union[1::2]
        row = {
            "unit_tokens": fired.sum(dim=(0, 1)),
            "unit_sequences": in_sequence.sum(dim=0),
            "token_histogram": torch.bincount(per_token.flatten(), minlength=d_ff + 1),
            "sequence_histogram": torch.bincount(in_sequence.sum(dim=1), minlength=d_ff + 1),
            "position_units": per_token.sum(dim=0),
            "window_units": torch.stack(windows),
            "union": union,
        }
        for name, value in row.items():
            rows.setdefault(name, []).append(value)
    return {name: torch.stack(values) for name, values in rows.items()}


def together(chunks: list[Counts]) -> Counts:
    """Counts of the whole text; windows wider than a chunk are unions of chunks' unions."""
    total = {name: torch.stack([chunk[name] for chunk in chunks]).sum(dim=0) for name in chunks[0] if name != "union"}
    union = torch.cat([chunk["union"] for chunk in chunks], dim=1)  # (layer, chunk, unit)
    wider = []
    while (pairs := union.shape[1] // 2) > 0:
        union = union[:, 0 : 2 * pairs : 2] | union[:, 1 : 2 * pairs : 2]
        wider.append(union.sum(dim=(1, 2)))
    if wider:
        total["window_units"] = torch.cat((total["window_units"], torch.stack(wider, dim=1)), dim=1)
    return total

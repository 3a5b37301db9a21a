"""Do two measured models have the same units? Only two checkpoints of one training do."""

import numpy as np
import scipy
import xarray as xr

from ..store import results

CHANCE = 5.0
"""Standard deviations of a rank correlation by chance; models trained apart exceed them once in three million."""


def whether(before: xr.Dataset, after: xr.Dataset) -> tuple[str, str]:
    """Why units cannot be followed from one model to the other (empty if they can), and what to say if they are.

    Two steps of one run have the same units. Of other models we know only what was measured. If they were trained
    apart, a unit's number means nothing, so the order of a layer's units by how often they fire agrees between them by
    chance only; the further from chance, the more they share.
    """
    if before["final_firing_count"].shape != after["final_firing_count"].shape:
        return "have different shapes", ""
    facts = [results.provenance(data) for data in (before, after)]
    if any(
        facts[0]["text"].get(part) != facts[1]["text"].get(part) for part in ("sha256", "seq_len", "special_tokens")
    ):
        return "did not read the same text", ""
    if facts[0]["layers"] != facts[1]["layers"]:
        return "were read at different layers", ""
    runs = [each["model"].get("run") for each in facts]
    if runs[0] and runs[0] == runs[1]:
        return "", ""
    agreement, chance = _agreement(*(data["final_firing_count"].values[0] for data in (before, after)))
    if agreement < CHANCE * chance:
        return (
            "are paired by the number of a unit in its layer only, and agree no more in which units fire often than "
            f"models trained apart (rank correlation {agreement:.2f}, by chance {chance:.2f})"
        ), ""
    return "", (
        "Nothing says that these are checkpoints of one training: units are paired by their number in the layer. They "
        f"agree in which units fire often (rank correlation {agreement:.2f}, 1: the same order, 0 ± {chance:.2g}: "
        "models trained apart)."
    )


def _agreement(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Mean rank correlation of counts (layer, unit) within layers, and its standard deviation under permutation.

    A layer whose units all fire equally often is left out; if every layer is, the correlation is 0 ± 1.
    """
    layers = zip(one, other, strict=True)
    found = [scipy.stats.spearmanr(a, b).statistic for a, b in layers if np.ptp(a) and np.ptp(b)]
    if not found:
        return 0.0, 1.0
    return float(np.mean(found)), float(1 / np.sqrt(max(1, one.shape[1] - 1) * len(found)))

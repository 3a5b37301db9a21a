"""Row 11b of the ledger: what forks with larger gradients and those with capped updates say of it together."""

import numpy as np
import xarray as xr

from ..claims import Rule, Verdict
from ..claims.reading import Finding, Reading
from . import attribution, forked, outliers, variants


def finding(controls: xr.Dataset, dataset: xr.Dataset) -> Finding:
    """Row 11b, of all seeds together; `controls`, of `attribution`, has its part (b)."""
    winsorised = attribution.overall(controls).sel(arm=attribution.named("25 %", "winsorise")).values
    whole = len(winsorised) == forked.SEEDS and bool(np.isfinite(winsorised).all())
    word, parts = outliers.row_11b(dataset, attribution.equivalent(controls) if whole else (np.nan, np.nan))
    holds = None if word is Verdict.NOT_YET_TESTED else word is Verdict.REPRODUCED
    columns = {
        "deaths, ten-fold gradients (× those without)": outliers.ratio(dataset, outliers.TENFOLD),
        "falls in the largest 1 % of steps, median dying unit (%)": outliers.median(dataset, outliers.UNTREATED, True),
    }
    readings = [
        Reading(
            int(seed),
            holds,
            {name: "not run" if of[place] != of[place] else float(of[place]) for name, of in columns.items()},
            "a fork has no end" if holds is None else "",
        )
        for place, seed in enumerate(dataset["seed"].values)
    ]
    came = parts.iloc[0]["came"]
    harmless = f"the positive control raises no deaths by a quarter: {came} times as many (mean of the seeds, 95 %)"
    if word is Verdict.NOT_TESTABLE:
        return Finding(tuple(readings), (harmless,))
    capped = [attribution.named("25 %", kind) for kind in (attribution.TWIN, "winsorise")]
    read = (controls, capped), (dataset, [outliers.UNTREATED, outliers.UNCLIPPED, outliers.TENFOLD])
    return Finding(tuple(readings), to_come=variants.to_come(*read) if holds is None else "")


RULES = {"11b": Rule("outliers", finding, beside="attribution")}
"""The ledger's row that these runs decide."""

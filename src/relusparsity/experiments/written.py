"""What was written before the runs of an experiment, beside what came, as a page shows it."""

from types import ModuleType

import pandas as pd
import xarray as xr


def came(experiment: ModuleType, dataset: xr.Dataset, digits: int = 2) -> pd.DataFrame:
    """The intervals written of an experiment's arms, against the mean of its seeds: its `predicted`."""
    table = experiment.predicted(dataset)
    table = table.set_index([name for name in ("arm", "optimizer") if name in table])
    table["written before"] = table["written before"].str.replace("-", "−")
    number = table["came"].map(f"{{:.{digits}f}}".format).str.replace("-", "−")
    return table.assign(came=number.where(table["holds"].notna(), "not all have run"), holds=held(table["holds"]))


def said(experiment: ModuleType, dataset: xr.Dataset | None) -> pd.DataFrame:
    """The sentences written of an experiment, with their chances, against what came: its `sentences`.

    Parameters
    ----------
    dataset
        The experiment's; None before any of its runs, which leaves every sentence undecided.
    """
    columns = {"written before": list(experiment.CHANCES), "chance": list(experiment.CHANCES.values())}
    table = pd.DataFrame(columns).assign(came=None, holds=None) if dataset is None else experiment.sentences(dataset)
    table = table.set_index("written before").rename_axis("sentence")
    shown = table["came"].where(table["holds"].notna(), "undecided").str.replace("-", "−")
    return table.assign(chance=(100 * table["chance"]).map("{:.0f} %".format), came=shown, holds=held(table["holds"]))


def expected(*experiments: ModuleType, number: str, arm: str = "arm") -> pd.DataFrame:
    """The intervals written of runs that are to come: a row an arm.

    Parameters
    ----------
    number, arm
        What the intervals are of, and what their runs are called: heads of the columns.
    """
    rows = [
        (name, f"{low:g} to {high:g}".replace("-", "−"), each.DATE)
        for each in experiments
        for name, (low, high) in each.EXPECTED.items()
    ]
    return pd.DataFrame(rows, columns=[arm, number, "written"]).set_index(arm)


def chances(*experiments: ModuleType) -> pd.DataFrame:
    """The sentences written of runs that are to come, with the chance that we gave each: a row a sentence."""
    rows = [
        (sentence, f"{100 * chance:.0f} %", each.DATE)
        for each in experiments
        for sentence, chance in each.CHANCES.items()
    ]
    return pd.DataFrame(rows, columns=["sentence", "chance", "written"]).set_index("sentence")


def waits(dataset: xr.Dataset, *arms: str) -> str:
    """That runs are to come, in a sentence, of arms without a run that came to its end; "" where each of these has one.

    Parameters
    ----------
    dataset
        With `final_loss`, missing where a run has no end, by arm (or recipe) and seed.
    """
    loss = dataset["final_loss"]
    ended = loss.notnull().any("seed").to_series()
    lacking = [f"*{arm}*" for arm in dict.fromkeys(arms) if not ended[arm]]
    return f"**Still to come**: no run of {' or '.join(lacking)} has come to its end yet." if lacking else ""


def held(holds: pd.Series) -> pd.Series:
    """Yes, no, or a dash where it is not known."""
    return holds.map({True: "yes", False: "no"}).fillna("–")

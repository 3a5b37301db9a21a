"""What recorded runs took, on a dataset made up and on one whose runs are not all made."""

import json

import numpy as np
import pytest
import xarray as xr

from relusparsity import store
from relusparsity.experiments import costs, dissociation, variants


def made(commit: str) -> xr.Dataset:
    facts = {"runs": ["a", variants.NOT_RUN], "wall_seconds": [90.0, 0.0]}
    return xr.Dataset(attrs={"provenance": json.dumps(facts | {"environment": {"device": "cpu", "commit": commit}})})


@pytest.mark.parametrize(("commit", "shown"), [("0123456789abcdef", "0123456789ab"), ("unknown (why)", "unknown")])
def test_runs_that_were_made_are_counted_and_their_minutes_summed(commit: str, shown: str) -> None:
    assert costs.cost({"x": made(commit)}).loc["x"].tolist() == [1, "2", "cpu", shown]
    assert costs.cost({"x": made(commit)}, {"x": 2}).loc["x", "runs"] == "1 of 2"


def test_recorded_runs_are_those_of_the_dataset() -> None:
    treated = store.recorded("dissociation", "mid")
    ran = int(treated["final_batch_use"].notnull().any(["set", "layer"]).sum())
    table = costs.cost({"treated": treated}, {"treated": len(dissociation.config("mid").runs)})
    assert table.loc["treated", "runs"] == f"{ran} of 66"
    seconds = np.ravel(store.provenance(treated)["wall_seconds"]).astype(float)
    assert table.loc["treated", "minutes"] == f"{seconds.sum() / 60:.0f}"

"""What recorded runs took, on datasets made up and on a recorded one."""

import json

import numpy as np
import pytest
import xarray as xr

from relusparsity import store
from relusparsity.experiments import costs, dissociation, variants
from relusparsity.version import commits


def made(commit: str) -> xr.Dataset:
    facts = {"runs": ["a", variants.NOT_RUN], "wall_seconds": [90.0, 0.0]}
    return xr.Dataset(attrs={"provenance": json.dumps(facts | {"environment": {"device": "cpu", "commit": commit}})})


@pytest.mark.parametrize(("commit", "shown"), [("0123456789abcdef", "0123456789ab"), ("unknown (why)", "unknown")])
def test_runs_that_were_made_are_counted_and_their_minutes_summed(commit: str, shown: str) -> None:
    assert costs.cost({"x": made(commit)}).loc["x"].tolist() == [1, "2", "cpu", shown]


def test_each_commit_that_made_runs_is_named_once() -> None:
    facts = {"environment": {"commit": "c" * 40}}
    assert commits(facts) == ["c" * 40] and commits({}) == []
    by_recipe = {"commits": ["b" * 40, None, "a" * 40]}
    by_seed = {"commits": [["b" * 40, "a" * 40], [None, "b" * 40]]}
    assert commits(facts | by_recipe) == commits(facts | by_seed) == ["b" * 40, "a" * 40]
    several = made("c" * 40)
    several.attrs["provenance"] = json.dumps(json.loads(several.attrs["provenance"]) | by_seed)
    assert costs.cost({"x": several}).loc["x", "commit"] == f"{'b' * 12}, {'a' * 12}"


def test_recorded_runs_are_those_of_the_dataset() -> None:
    treated = store.recorded("dissociation", "mid")
    ran = int(treated["final_batch_use"].notnull().any(["set", "layer"]).sum())
    table = costs.cost({"treated": treated})
    assert table.loc["treated", "runs"] == ran == len(dissociation.config("mid").runs)
    seconds = np.ravel(store.provenance(treated)["wall_seconds"]).astype(float)
    assert table.loc["treated", "minutes"] == f"{seconds.sum() / 60:.0f}"

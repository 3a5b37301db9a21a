"""Tables of endings: the distance, the sum of decay, and the run that a row is of."""

import math

import numpy as np
import pytest
import torch
import xarray as xr

from relusparsity import scales
from relusparsity.config import replace
from relusparsity.experiments import endings, sweep_table
from relusparsity.store import results
from relusparsity.train.step import learning_rate


def test_distance_is_to_the_sources_two_numbers() -> None:
    assert endings.distance(np.array([13.3, 1, 2, 3, 4, 95.6])) == 0
    assert endings.distance(np.array([16.3, 1, 2, 3, 4, 91.6])) == pytest.approx(np.sqrt(12.5))


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_a_weight_without_a_gradient_shrinks_by_the_summed_decay(schedule: str) -> None:
    run = replace(scales.base("smoke"), **{"train.schedule": schedule, "train.lr": 1e-3, "train.weight_decay": 3.0})
    weight = torch.nn.Parameter(torch.ones(1, 1, dtype=torch.float64))
    optimizer = torch.optim.AdamW([weight], weight_decay=run.train.weight_decay)
    for step in range(run.train.steps):
        optimizer.param_groups[0]["lr"] = learning_rate(run.train, step * run.train.batch_tokens)
        weight.grad = torch.zeros_like(weight)
        optimizer.step()
    assert -math.log(weight.item()) == pytest.approx(endings.summed_decay(run), rel=5e-3)


def test_a_recipe_is_summed_as_it_was_trained() -> None:
    short = results.recorded("exploration", "mid")
    table = endings.by_summed_decay({name: short.sel(recipe=name) for name in ("lr × 2", "decay × 2", "base")})
    assert table.index[0] == "base" and table["sum"].tolist() == [1.0, 2.0, 2.0]
    assert table.loc["decay × 2", "decay"] == sweep_table.RECIPES["decay × 2"]["train.weight_decay"]
    assert table.loc["lr × 2", 0] == endings.by_recipe(short).loc["lr × 2", 0]


def test_each_of_the_four_is_summed_as_it_was_trained() -> None:
    four, changes = results.recorded("equal_decay", "wide"), sweep_table.row("equal_decay", "wide").changes
    table = endings.by_summed_decay({name: four.sel(recipe=name) for name in changes})
    assert table["sum"].tolist() == [9.2] * 4
    for name, fields in changes.items():
        assert table.loc[name, ["rate", "decay"]].tolist() == [fields["train.lr"], fields["train.weight_decay"]]
        assert table.loc[name, 5] == endings.by_recipe(four).loc[name, 5]


def test_a_table_by_tokens_takes_the_recipe_that_is_meant() -> None:
    final = np.array([[[[0.2, 0.4], [0.4, 0.6]]], [[[1.0, 1.0], [1.0, 1.0]]]])  # (recipe, seed, set, layer)
    final = np.concatenate([final, np.ones((2, 1, 2, 4))], axis=-1)
    two = xr.Dataset(
        {
            "final_batch_use": (("recipe", "seed", "set", "layer"), final),
            "final_loss": (("recipe", "seed"), [[3.0], [4.0]]),
        },
        {"recipe": ["lr × 2", "base"], "tokens": ("step", [0, 1000])},
    )
    table = endings.by_tokens(two, two.isel(recipe=1).assign_coords(tokens=("step", [0, 2000])))
    assert table.index.tolist() == ["1,000", "2,000"] and table["loss"].tolist() == [3.0, 4.0]
    assert table.loc["1,000", [0, 1, "loss", "seeds"]].tolist() == [30.0, 50.0, 3.0, 1]
    assert table.loc["1,000", "distance"] == pytest.approx(12.2)
    assert endings.by_tokens(two, recipe="base").loc["1,000", "loss"] == 4.0

"""Top-k in the decoder: small runs from end to end, and forecasts on made-up ends."""

from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.stats import spearmanr

from relusparsity import train
from relusparsity.experiments import top_k_text
from relusparsity.experiments.top_k_text import CHANCES, DENSE, EXPECTED, SEEDS
from relusparsity.experiments.top_k_tuning import size
from relusparsity.store import results

ARMS = [DENSE, *map(size, top_k_text.PARTS)]
PART_I = (70, 20, 30, 70, 92, 96)
"""Percent of a layer's units that fire in a set, as in Part I."""


def made(losses: dict[str, Any] | None = None, batch: dict[str, Any] | None = None, silent: Any = None) -> xr.Dataset:
    """Arms whose loss is 4 nats, and layers as those of Part I, or as given by arm (and seed)."""
    loss = np.full((4, 3), 4.0)
    of = np.broadcast_to(np.array(PART_I, float), (4, 3, 6)).copy()
    idle = np.full((4, 3, 6), 100.0)
    for table, given in ((loss, losses), (of, batch), (idle, silent)):
        for arm, value in (given or {}).items():
            table[ARMS.index(arm)] = value
    of[np.isnan(loss)] = idle[np.isnan(loss)] = np.nan
    by = ("recipe", "seed", "layer")
    return xr.Dataset(
        {
            "final_loss": (by[:2], loss),
            "final_batch_use": ((*by, "set"), of[..., None] / 100),
            "final_token_use": (by, np.full(of.shape, 0.01)),
            "final_silent_units": (by, idle),
        },
        {"recipe": ARMS, "seed": list(SEEDS), "layer": range(6)},
        {"d_ff": 8192},
    )


def test_arms_change_k_alone() -> None:
    runs = top_k_text.config("mid").runs
    assert [run.model.top_k for run in runs[:4]] == [None, 682, 341, 85] and len(runs) == 12
    assert [run.seed for run in runs] == [seed for seed in SEEDS for _ in range(4)]
    assert len({(run.train, run.corpus, run.measure) for run in runs}) == 1
    assert [run.model.activation for run in runs[:4]] == ["relu", "topk", "topk", "topk"]


def test_in_smoke_it_runs_and_no_layer_has_more_than_k_at_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top_k_text, "SEEDS", (2,))
    config = top_k_text.config("smoke")
    dataset = top_k_text.run(config)
    assert dataset["recipe"].values.tolist() == ARMS
    table, layers = top_k_text.ends(dataset), top_k_text.by_layer(dataset)
    for arm, run in zip(ARMS, config.runs, strict=True):
        of = train.run(run).dataset
        most = 100 * (run.model.top_k or run.model.width) / run.model.width
        assert (layers.loc[arm, "token"] <= most + 1e-4).all() and (dataset["token_use"].sel(recipe=arm) <= most).all()
        fired = of["final_firing_count"].transpose("layer", "unit").values > 0
        np.testing.assert_allclose(layers.loc[arm, "silent"], 100 * (~fired).mean(1), rtol=1e-6)
        batch = of["final_batch_use"].transpose("layer", "set").values.mean(1)
        np.testing.assert_allclose(layers.loc[arm, "batch"], 100 * batch, rtol=1e-6)
        assert table.loc[(arm, 2), "loss"] == pytest.approx(float(of["final_loss"]))
        assert table.loc[(arm, 2), "emptiest"] == int(batch.argmin())
    assert table.loc[(DENSE, 2), ["costs", "like dense"]].tolist() == [0, 1]
    part = top_k_text.assemble(config, [train.run(config.runs[0]).dataset, None, None, None])
    assert top_k_text.ends(part)["loss"].notna().tolist() == [True, False, False, False]
    assert set(results.provenance(part)["runs"][1]) == {"not run"}


def test_likeness_is_the_rank_correlation_of_the_layers() -> None:
    other = (10, 20, 15, 90, 60, 70)
    table = top_k_text.ends(made(batch={size(24): other}))
    assert table.loc[size(24), "like dense"].tolist() == pytest.approx([spearmanr(other, PART_I).statistic] * 3)
    assert table.loc[size(24), "emptiest"].tolist() == [0] * 3 and table.loc[size(12), "emptiest"].tolist() == [1] * 3


@pytest.mark.parametrize(
    ("losses", "batch", "silent", "holds"),
    [
        (
            {size(96): 4.08},
            {size(96): (10, 20, 30, 70, 80, 89)},
            {size(24): 101},
            [True, True, True, False, True, True],
        ),
        ({size(12): 4.05, size(96): 4.07}, {}, {}, [False, False, True, True, False, False]),
        (
            {size(12): (4.04, 3.96, 4)},
            {size(12): (5, 20, 20, 20, 20, 20)},
            {},
            [True, False, False, True, False, False],
        ),
        ({size(12): (4, 4, np.nan)}, {}, {}, [None, False, None, True, False, False]),
        ({DENSE: (4, 4, np.nan)}, {}, {}, [None, False, True, True, False, False]),
    ],
)
def test_sentences_come_out_each_way(losses: Any, batch: Any, silent: Any, holds: list[bool | None]) -> None:
    said = top_k_text.sentences(made(losses, batch, silent))
    assert said["holds"].tolist() == holds and said["written before"].tolist() == list(CHANCES)


def test_forecasts_are_of_the_mean_of_all_seeds() -> None:
    inside = {arm: 4 * (1 + sum(ends) / 200) for arm, ends in EXPECTED.items()}
    assert top_k_text.predicted(made(inside))["holds"].tolist() == [True] * 3
    over = {arm: 4 * (1 + (high + 0.1) / 100) for arm, (_, high) in EXPECTED.items()}
    assert top_k_text.predicted(made(over))["holds"].tolist() == [False] * 3
    assert top_k_text.predicted(made({size(24): (4, np.nan, 4)}))["holds"].tolist()[1] is None

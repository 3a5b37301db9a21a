"""The hazard of firing again: exact counts against brute force, whole and in parts."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from fixtures_core import tiny_corpus, tiny_run
from relusparsity.counting.deaths import DeathTracker
from relusparsity.counting.hazard import HazardTracker
from relusparsity.train.step import Trainer
from train_made import trained

WIDTHS, STEPS, BATCH = [5, 3, 11], 70, 8


def history(steps: int = STEPS) -> np.ndarray:
    """(step, unit) tokens at which units fire, of very different rates; the first unit never does."""
    rng = np.random.default_rng(3)
    rates = rng.uniform(0, 1, sum(WIDTHS)) ** 4
    rates[0] = 0
    return rng.integers(1, BATCH, (steps, sum(WIDTHS))) * (rng.uniform(size=(steps, sum(WIDTHS))) < rates)


def brute_force(fired: np.ndarray, after: int, gone: tuple[int, ...] = (), until: int = 0) -> tuple[np.ndarray, ...]:
    """At risk and fired, (layer, bin), in the steps after the first `after`; of the units gone, until some step."""
    bins = 8  # 0, 1, 2–3 … 64–127 silent steps
    at_risk, events = (np.zeros((len(WIDTHS), bins), dtype=int) for _ in range(2))
    for step in range(after, len(fired)):
        for unit in range(fired.shape[1]):
            if step >= until and unit in gone:
                continue
            silent = 0
            while silent < step and not fired[step - 1 - silent, unit]:
                silent += 1
            at = next(i for i in range(bins) if silent < 2**i)
            layer = int(np.searchsorted(np.cumsum(WIDTHS), unit, side="right"))
            at_risk[layer, at] += 1
            events[layer, at] += fired[step, unit]
    return at_risk, events


def followed(deaths: DeathTracker, hazard: HazardTracker | None, tokens: np.ndarray, before: int) -> None:
    """Give the trackers these steps, as a trainer does."""
    for step, row in enumerate(torch.from_numpy(tokens), start=before + 1):
        if hazard:
            hazard.update(row, step, BATCH)
        zeros = torch.zeros(len(WIDTHS), dtype=torch.int64)
        deaths.update(row, zeros, zeros, step * BATCH)


def test_units_that_are_removed_are_no_longer_at_risk() -> None:
    tokens, gone, at = history(), (1, 4, 6, 18), 40
    deaths = DeathTracker(WIDTHS, dead_after=4 * BATCH)
    hazard = HazardTracker(deaths, STEPS)
    followed(deaths, hazard, tokens[:at], 0)
    stays = np.setdiff1d(np.arange(sum(WIDTHS)), gone)
    ends = np.cumsum([0, *WIDTHS])
    kept = [torch.from_numpy(stays[(stays >= a) & (stays < b)] - a) for a, b in pairwise(ends)]
    hazard.keep(kept)
    deaths.keep(kept)
    followed(deaths, hazard, tokens[at:, stays], at)
    assert deaths.widths == [3, 2, 10]
    found, expected = hazard.arrays(), brute_force(tokens > 0, 0, gone, at)
    for name, counts in zip(("silent_at_risk", "silent_fired"), expected, strict=True):
        np.testing.assert_array_equal(found[name][:, : counts.shape[1]], counts, err_msg=name)


@pytest.mark.parametrize("after", [0, 1, 33])
def test_counts_are_those_of_brute_force_and_parts_make_the_whole(after: int) -> None:
    tokens = history()
    deaths = DeathTracker(WIDTHS, dead_after=4 * BATCH)
    followed(deaths, None, tokens[:after], 0)
    hazard = HazardTracker(deaths, STEPS)
    hazard.begin()
    last_fired, revivals = deaths.last_fired.numpy().copy(), deaths.revivals.clone()
    followed(deaths, hazard, tokens[after:50], after)
    again = HazardTracker(deaths, STEPS)
    again.load(hazard.state())
    followed(deaths, again, tokens[50:], 50)
    at_risk, fired = brute_force(tokens > 0, after)
    assert np.array_equal(again.at_risk.view(3, -1), at_risk) and np.array_equal(again.fired.view(3, -1), fired)
    assert np.array_equal(again.before, last_fired)
    since = [int(row.sum()) for row in deaths.rows(deaths.revivals - revivals)]
    assert sum(since) > 0 and fired[:, 3:].sum(1).tolist() == since, "dead after 2² steps: they fire after 4 or more"


def test_a_forks_dataset_has_its_hazard_and_its_revivals(tmp_path: Path) -> None:
    fork, keeps = 16 * 64, {"train.fork_states": (16 * 64,)}
    trained(tmp_path, **keeps)
    data = trained(tmp_path, **keeps, **{"fork.tokens": fork}).dataset
    trainer = Trainer(tiny_run(), tiny_corpus(), torch.device("cpu"))
    for _ in range(16):
        trainer.advance()
    at_the_fork = torch.stack(trainer.deaths.rows(trainer.deaths.last_fired)).numpy()
    dead = torch.stack(trainer.deaths.rows(trainer.deaths.dead)).numpy()
    assert np.array_equal(data["fork_last_fired"], at_the_fork)
    assert np.array_equal(fork - data["fork_last_fired"] >= data.attrs["dead_after"], dead), "who was dead at the fork"
    assert data["silent_steps"].values.tolist() == [0, 1, 2, 4, 8, 16, 32]
    assert data["silent_at_risk"].sum("silent_steps").values.tolist() == [24 * 32] * 2
    revived = data["silent_fired"].sel(silent_steps=slice(2, None)).sum("silent_steps")
    assert revived.values.tolist() == data["revivals"].sum("step").values.tolist() and revived.sum() > 0

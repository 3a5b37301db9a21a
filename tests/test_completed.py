"""What only a recorded dataset still has joins the runs of a machine that is new, if it is the same runs."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from relusparsity import corpora, train
from relusparsity.config import replace
from relusparsity.errors import UserError
from relusparsity.experiments import lazy_text, shared
from relusparsity.experiments.completed import completed
from relusparsity.experiments.lazy_text import ADAFACTOR, RANDOM
from relusparsity.store import results
from relusparsity.train import golden
from spans_made import text, tiny_spans

pytestmark = pytest.mark.usefixtures("one_thread")

FEWER = {"train.tokens": 8 * 128, "train.warmup": 0, "measure.points": 3, "measure.histories": 2}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, xr.Dataset]:
    """Place among the runs of `config` → its dataset: all of two seeds but Adafactor's, which nobody trained."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RELUSPARSITY_RUNS", str(tmp_path_factory.mktemp("completed")))
        patched.setattr(golden, "meaning", lambda: "1")
        of = config(patched).runs
        return {at: train.run(of[at], text(of[at].corpus)).dataset for at in (0, 2, 3, 5)}


def config(patched: pytest.MonkeyPatch) -> shared.Config:
    patched.setattr(golden, "meaning", lambda: "1")
    patched.setattr(corpora, "load", text)
    patched.setattr(lazy_text, "spans", lambda scale, seed: tiny_spans(seed=seed, **FEWER))
    patched.setattr(lazy_text, "SEEDS", (0, 1))
    return lazy_text.config("smoke")


def of(config: shared.Config, runs: dict[int, xr.Dataset], *at: int) -> xr.Dataset:
    """The dataset of a machine that has these runs."""
    return lazy_text.assemble(config, [runs[place] if place in at else None for place in range(6)])


@pytest.mark.parametrize("here", [(2,), (3,), (0, 5), (0, 2, 3, 5)])
def test_what_two_machines_have_is_as_if_one_had_it(
    here: tuple[int, ...], runs: dict[int, xr.Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = config(monkeypatch)
    results.save(of(asked, runs, 0, 2, 5), tmp_path / "recorded.nc")
    both = completed(of(asked, runs, *here), asked, results.load(tmp_path / "recorded.nc"))
    whole = of(asked, runs, *{*here, 0, 2, 5})
    xr.testing.assert_equal(both, whole)
    facts, expected = results.provenance(both), results.provenance(whole)
    for told in ("runs", "wall_seconds", "commits", "checksums", "stopped_after_step", "configs"):
        assert facts[told] == expected[told], told
    assert facts["runs"][1] == ["not run"] * 2 and facts["checksums"][1] == [None, None]


def test_data_of_their_own_keep_their_checksums(runs: dict[int, xr.Dataset], monkeypatch: pytest.MonkeyPatch) -> None:
    """As of noisy labels, beside runs that have all read one text."""
    asked = config(monkeypatch)
    here, there = of(asked, runs, 0), of(asked, runs, 2)
    facts = results.provenance(here)
    del facts["checksums"]
    here.attrs["provenance"] = json.dumps(facts)
    told = results.provenance(completed(here, asked, there))
    drawn = results.provenance(there)["checksums"][2][0]
    assert told["checksums"] == [[facts["corpus"]["checksum"], None], [None, None], [drawn, None]]


def test_names_may_differ_and_a_seed_may_lack(runs: dict[int, xr.Dataset], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = config(monkeypatch)
    recorded = of(asked, runs, 0, 3).assign_coords(recipe=["T5", "other", "drawn"]).sel(seed=[0])
    facts = results.provenance(recorded)
    for told in ("runs", "wall_seconds", "commits"):
        facts[told] = [each[:1] for each in facts[told]]
    recorded.attrs["provenance"] = json.dumps(facts)
    both = completed(of(asked, runs, 2), asked, recorded, {"as it is": "T5"})
    assert results.provenance(both)["runs"][0] == [facts["runs"][0][0], "not run"]
    np.testing.assert_array_equal(both["final_loss"].sel(recipe="as it is", seed=0), recorded["final_loss"][0, 0])


def test_another_run_is_refused(runs: dict[int, xr.Dataset], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = config(monkeypatch)
    other = replace(asked, runs=tuple(replace(run, **{"train.lr": 0.2}) for run in asked.runs))
    with pytest.raises(UserError, match=r"^the recorded as it is, seed 0, is the run \w{16}: expected \w{16}, of the"):
        completed(of(asked, runs, 2), other, of(asked, runs, 0))
    with pytest.raises(UserError, match=r"^the recorded random targets, seed 0, is the run .* that as it is has by"):
        completed(of(asked, runs, 3), asked, of(asked, runs, 2), {"as it is": RANDOM, ADAFACTOR: RANDOM})

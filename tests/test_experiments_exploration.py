"""The exploration of recipes: what each run changes, and that a diverged run is marked and not dropped."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from relusparsity import results, train
from relusparsity.config import replace
from relusparsity.errors import UserError
from relusparsity.experiments import exploration, recipes, variants


def test_every_recipe_differs_from_the_base_in_what_it_says() -> None:
    config = exploration.config("factorial")
    base = config.runs[0]
    assert base == recipes.recipe("factorial", exploration.BASE, seed=0)
    assert (base.model.tied, base.model.init, base.train.weight_decay, base.train.lr) == (True, "xavier", 1.0, 3e-4)
    for changes, run in zip(exploration.CHANGES.values(), config.runs, strict=True):
        for field, value in changes.items():
            part, _, name = field.partition(".")
            assert getattr(getattr(run, part), name) == value
        assert run.train.tokens == base.train.tokens, "equal tokens"
    assert len(set(config.runs)) == len(config.runs)


def test_distance_is_to_the_sources_two_numbers() -> None:
    assert exploration.distance(np.array([13.3, 1, 2, 3, 4, 95.6])) == 0
    assert exploration.distance(np.array([16.3, 1, 2, 3, 4, 91.6])) == pytest.approx(np.sqrt(12.5))


def test_a_diverged_run_is_marked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    smoke = exploration.config("smoke").runs
    original = train.Trainer.advance
    batch_too = list(exploration.CHANGES).index("batch × 4")
    # a seed of their own: these runs are not those of any other test
    kept = tuple(replace(smoke[i], seed=77) for i in (0, 1, batch_too))
    broken = kept[1]

    def advance(self: train.Trainer) -> object:
        loss, norm = original(self)
        return (loss * np.nan if self.config == broken and self.step > 30 else loss), norm

    monkeypatch.setattr(train.Trainer, "advance", advance)
    changes = {name: exploration.CHANGES[name] for name in ("base", "RMSNorm", "batch × 4")}
    monkeypatch.setattr(exploration, "CHANGES", changes)
    dataset = exploration.run(exploration.Config("smoke", kept))
    results.save(dataset, tmp_path / "saved.nc")  # whole: units and names everywhere
    assert dataset["batch_use"].dims == ("recipe", "seed", "step", "layer")
    use = dataset["batch_use"].isel(seed=0)
    assert np.isfinite(use.isel(recipe=[0, 2])).all()
    seen = xr.where(np.isfinite(use.isel(recipe=1)).all("layer"), dataset["tokens"], 0)
    assert 0 < int(seen.max()) <= 30 * 256 < int(dataset["tokens"].max())
    assert np.isnan(dataset["final_loss"].values.ravel()).tolist() == [False, True, False]
    assert dataset["changed"].values.tolist() == ["nothing changed", "norm rmsnorm", "batch_tokens 32768"]
    assert "stopped_after_step" not in dataset.attrs, "one recipe stopped, not all"
    assert results.provenance(dataset)["stopped_after_step"] == {"RMSNorm": 30}
    alone = variants.measured(broken)
    with pytest.raises(UserError, match="each of one, other diverged"):
        variants.stack([alone, alone], {"one": {}, "other": {}}, "smoke")
    whole = variants.measured(kept[0])
    another = whole.assign_attrs(provenance=whole.attrs["provenance"].replace('"seed": 77', '"seed": 78'))
    with pytest.raises(UserError, match=r"one, other have the seeds \[77, 78\]"):
        variants.stack([whole, another], {"one": {}, "other": {}}, "smoke")

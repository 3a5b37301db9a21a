"""Checkpoints of any depth and width go into one dataset; the recorded one says what was measured."""

from typing import Any

import numpy as np
import pytest
import xarray as xr

from relusparsity import store
from relusparsity.errors import UserError
from relusparsity.packages import catalogue
from relusparsity.store import results

from . import public, public_tables


@pytest.fixture(scope="module")
def dataset() -> xr.Dataset:
    return store.recorded(public.NAME, public.SCALE)


def test_it_was_made_of_the_packages_that_are_pinned(dataset: xr.Dataset) -> None:
    facts = results.provenance(dataset)
    for name, told in facts["packages"].items():
        package = catalogue.everything()[name]
        assert told == {
            "package": f"{package.package} {package.version}",
            "sha256": package.sha256,
            "licence": package.licence,
        }
        assert 11 in package.chapters
    assert set(facts["packages"]) == set(public.PACKAGES)
    assert {"transformers", "gguf", "accelerate"} <= set(facts["read_with"])


def test_its_rows_are_all_layers_of_every_checkpoint(dataset: xr.Dataset) -> None:
    facts = results.provenance(dataset)["models"]
    for name, told in facts.items():
        part = dataset.isel(row=dataset["model"].values == name)
        assert part["layer"].values.tolist() == list(range(len(told["layers"])))
        assert (part["layer_tokens"] == told["text"]["tokens"]).all()
        silent = part["firing_rate_percentiles"].sel(percentile=0) == 0
        assert (silent == (part["silent_units"] > 0)).all(), name
    assert set(facts) == set(dataset["model"].values) and facts[public.SMOLLM2]["model"]["notes"]


def test_a_wider_window_and_more_tokens_use_no_fewer_units(dataset: xr.Dataset) -> None:
    one = dataset["final_window_use"].sel(window=1)
    np.testing.assert_allclose(one, dataset["final_token_use"], rtol=1e-6)
    np.testing.assert_allclose(dataset["final_rarefied_use"].sel(window=1), one, rtol=1e-5)
    # firing clusters: in tokens that follow each other no more units fire than in tokens drawn at random
    assert (
        (dataset["final_window_use"] <= dataset["final_rarefied_use"] + 0.01)
        .where(dataset["final_window_use"].notnull(), True)
        .all()
    )


def test_the_tables_say_what_the_dataset_does(dataset: xr.Dataset) -> None:
    names = list(results.provenance(dataset)["models"])
    about, use = public_tables.about(dataset), public_tables.use(dataset)
    assert about.index.tolist() == use.index.tolist() == names
    assert about.loc[public.NANOGUARD, "layers × units"] == "4 × 2,048"
    layers = public_tables.by_layer(dataset, "final_token_use", names)
    assert layers.loc[public.UZMORPH].notna().sum() == 3 and layers.loc[public.SMOLLM2].notna().all()
    for name in names:
        least, _, most = use.loc[name, "at a token"].partition("–")
        assert [float(least), float(most or least)] == [layers.loc[name].min(), layers.loc[name].max()]
    over = public_tables.by_layer(dataset, "final_window_use", names, window=8192)
    assert (over.fillna(0) >= layers.fillna(0)).all(axis=None)
    costs = public_tables.costs(dataset)
    assert (costs.loc["0 %"] == 0).all() and costs.index.tolist()[-1] == "90 %"
    units = public_tables.units(dataset, layers=[0])
    assert (
        set(units.index.get_level_values("layer")) == {0}
        and units["strongest, in context"].str.contains("[[", regex=False).all()
    )


def test_what_is_not_fetched_is_said_before_anything_is_read(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(tmp_path))
    with pytest.raises(UserError, match=r"^smollm2 is not on this machine"):
        public.run(tmp_path / "out")
    assert not (tmp_path / "out").exists()

"""The reports on recorded checkpoints say what the dataset says, and what it does not keep."""

import html
import re

import numpy as np
import pytest
import xarray as xr
from scipy.stats import poisson

from relusparsity import store
from relusparsity.errors import UserError
from relusparsity.measure import sections
from relusparsity.store import results

from . import public, reports


@pytest.fixture(scope="module")
def dataset() -> xr.Dataset:
    return store.recorded(public.NAME, public.SCALE)


def of(dataset: xr.Dataset, checkpoint: str) -> xr.Dataset:
    return dataset.isel(row=dataset["model"].values == checkpoint)


def text(name: str, dataset: xr.Dataset) -> str:
    """A report without its figures."""
    models = {each: reports.measured(dataset, each) for each in reports.REPORTS[name]}
    return "\n".join(sections.body(models, lambda figure: f"[{figure.name}]"))


def test_every_checkpoint_is_in_one_report(dataset: xr.Dataset) -> None:
    shown = [each for names in reports.REPORTS.values() for each in names]
    assert sorted(shown) == sorted(results.provenance(dataset)["models"])
    for checkpoint in shown:
        found, rows = reports.measured(dataset, checkpoint), of(dataset, checkpoint)
        for name in ("final_token_use", "silent_units", "firing_rate_percentiles", "final_window_use"):
            np.testing.assert_array_equal(found[name].isel(seed=0).values, rows[name].values)
        assert found.attrs["d_ff"] == rows["units"].values[0]
        assert found.attrs["final_sample_tokens"] == rows["layer_tokens"].values[0]
        assert ("loss" in found) == (checkpoint == public.SMOLLM2)
        once, upper = (found[f"good_turing_{of}"].values for of in ("expected", "upper"))
        np.testing.assert_allclose(poisson.cdf(once, upper), 0.05, rtol=1e-6)
    with pytest.raises(UserError, match=r"^no checkpoint 'GPT' was measured; there are NanoGuard, "):
        reports.measured(dataset, "GPT")


@pytest.mark.parametrize("name", reports.REPORTS)
def test_a_report_says_of_what_it_is_made(name: str, dataset: xr.Dataset) -> None:
    page, facts = html.unescape(text(name, dataset)), results.provenance(dataset)["models"]
    for checkpoint in reports.REPORTS[name]:
        of_one = facts[checkpoint]
        environment = of_one["environment"]
        assert f"at commit {environment['commit']}<" in page
        assert f"torch {environment['packages']['torch']}" in page and f"Python {environment['python']}" in page
        assert f"package {of_one['model']['package']}, licence {of_one['model']['licence']}" in page
        assert of_one["model"]["sha256"] in page
        assert f"<dd>{of_one['text']['tokens']:,} tokens in sequences of " in page
    read_with = results.provenance(dataset)["read_with"]["transformers"]
    assert (f"transformers {read_with}" in page) == (name == "smollm2")
    assert ("Uzbek word forms of hunspell-uz" in page) == (name == "uzmorph")


@pytest.mark.parametrize("name", reports.REPORTS)
def test_its_numbers_are_those_of_the_dataset(name: str, dataset: xr.Dataset) -> None:
    page = text(name, dataset)
    tables = re.findall(r"<table><thead><tr><th>layer</th><th class=\"text\">module.*?</table>", page)
    for checkpoint, table in zip(reports.REPORTS[name], tables, strict=True):
        rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", table)[1:]]
        part = of(dataset, checkpoint)
        assert [row[1] for row in rows] == part["layer_name"].values.tolist()
        for at, share in ((2, part["final_token_use"]), (4, part["final_window_use"].sel(window=8192))):
            assert [row[at] for row in rows] == [f"{100 * float(value):.1f}" for value in share.values]
        assert [int(row[-1].replace(",", "")) for row in rows] == part["silent_units"].values.tolist()
    assert page.count("keeps numbers of layers and of chosen units, not of every unit") == 1
    assert ("[silent-" in page) == (name == "uzmorph"), "a figure without anything to see is left out"
    units = dataset["example_model"].isin(list(reports.REPORTS[name])).sum()
    assert page.count('class="text context"') == units
    losses = dataset["loss"].sel(chosen_by="random").values.ravel()
    assert all((f"<td>{value:.4f}</td>" in page) == (name == "smollm2") for value in losses)

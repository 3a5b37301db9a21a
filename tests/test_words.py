"""What the glossary and the front pages say of shapes, recipes and numbers is what the code does and the data are."""

import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from relusparsity.book import findings
from relusparsity.claims.statistics import cliffs_delta
from relusparsity.experiments import endings
from relusparsity.recipes import FROZEN, RECIPES
from relusparsity.shapes import SHAPES
from relusparsity.source import BATCH_USE
from relusparsity.store import results


@pytest.fixture(scope="module")
def meanings(root: Path) -> dict[str, str]:
    """Term → its text in one line."""
    inside = (root / "book" / "glossary.md").read_text().partition("```{glossary}\n")[2].partition("\n```")[0]
    found = {}
    for entry in inside.split("\n\n"):
        lines = entry.splitlines()
        terms = [line for line in lines if not line.startswith("  ")]
        found |= dict.fromkeys(terms, " ".join(line.strip() for line in lines[len(terms) :]))
    return found


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_has_the_sizes_of_the_code(name: str, meanings: dict[str, str]) -> None:
    run, said = SHAPES[name], meanings[name.capitalize()]
    assert f"{run.model.n_layers} layers of {run.model.d_ff:,} units" in said
    assert f"a residual stream of {run.model.d_model:,}," in said
    assert f"sequences of {run.model.seq_len} tokens" in said
    assert f"{run.train.tokens:,} tokens" in said
    assert ("the documentation of Python packages" in said) is (name == "laptop")
    assert ("C4" in said) is (name == "wide") and SHAPES["wide"].corpus == SHAPES["mid"].corpus


def test_mid_has_a_quarter_of_wide(meanings: dict[str, str]) -> None:
    assert 4 * SHAPES["mid"].model.d_ff == SHAPES["wide"].model.d_ff and "a quarter of Wide's units" in meanings["Mid"]


def test_recipes_their_days_and_seeds_are_those_of_the_code(meanings: dict[str, str]) -> None:
    assert set(re.findall(r"\*(\w+)\*", meanings["recipe"])) - {"factorial"} == set(RECIPES)
    assert {name for name, shape in FROZEN.items() if shape == "default"} == {"smoke", "laptop"}
    frozen = {name: recipe.frozen for name, recipe in RECIPES.items() if recipe.frozen}
    assert dict(re.findall(r"\*(\w+)\* since ([\d-]+)", meanings["frozen recipe"])) == frozen
    number = {3: "Three", 5: "five"}
    seeds = {(name, shape): len(RECIPES[name].seeds(shape)) for name, shape in [("first", "mid"), ("first", "wide")]}
    assert {len(RECIPES[name].seeds("wide")) for name in frozen} == {3}
    said = f"{number[seeds['first', 'wide']]} judge each frozen recipe in Wide, {number[seeds['first', 'mid']]} judge"
    assert said in meanings["fresh seed"]


def test_distance_is_as_it_is_said(meanings: dict[str, str]) -> None:
    (first, last) = re.findall(r"of layer (\d) from ([\d.]+) %", meanings["distance"])
    told = {int(layer): float(use) for layer, use in (first, last)}
    assert told == BATCH_USE
    ends = np.array([20.0, 0, 0, 0, 0, 70.0])
    by_hand = ((20 - told[0]) ** 2 / 2 + (70 - told[5]) ** 2 / 2) ** 0.5
    assert endings.distance(ends) == pytest.approx(by_hand)


def test_delta_is_a_share_of_pairs_less_another(meanings: dict[str, str]) -> None:
    assert "the rule asks for 0.33" in meanings["Cliff's δ"]
    first, last = np.array([1.0, 2.0, 2.0]), np.array([2.0, 3.0])
    pairs = [(a, b) for a in first for b in last]
    shares = sum(b > a for a, b in pairs) / len(pairs) - sum(b < a for a, b in pairs) / len(pairs)
    assert cliffs_delta(first, last) == pytest.approx(shares) and shares > 0


def test_the_example_is_the_fullest_layer_with_its_means() -> None:
    batch = xr.DataArray(np.array([[[0.25, 0.75]] * 2, [[0.35, 0.85]] * 2]), dims=("seed", "set", "layer"))
    token = xr.DataArray(np.array([[0.1, 0.02], [0.1, 0.04]]), dims=("seed", "layer"))
    facts = {"d_ff": 2048, "recipe": "first"}
    said = findings.example(xr.Dataset({"final_batch_use": batch, "final_token_use": token}, attrs=facts))
    assert said.startswith("For example, layer 1 of Wide (recipe *first*, mean of 2 seeds)")
    assert "batch use of 80 % and a token use of 3 %: so many of its 2,048 units" in said


def test_a_finding_that_the_data_no_longer_bear_out_is_refused() -> None:
    """Before any of its numbers is put into words."""
    halves = [results.recorded(name, "mid") for name in ("factorial", "other_half")]
    pruned = results.recorded("pruning", "wide")
    near, one = np.array([15.0, 0, 0, 0, 0, 92.0]), np.array([15.0, 0, 0, 0, 0, 80.0])
    with pytest.raises(ValueError, match=r"a run ends at 15\.0 and 92\.0 %, within 5 points of both numbers"):
        findings.findings([], [[one, near], [one]], halves, pruned)
    with pytest.raises(ValueError, match="fewer than the half that is removed"):
        findings.findings([], [[one], [one]], halves, pruned.assign(silent_removed=0 * pruned["silent_removed"]))

"""Every experiment at every scale: as it is meant there, or a sentence that names the scales that it knows."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

from relusparsity import scales, shapes
from relusparsity.book import recorded
from relusparsity.config import replace
from relusparsity.errors import UserError
from relusparsity.experiments import shared
from relusparsity.recipes import RECIPES
from relusparsity.train import Run

EXPERIMENTS = recorded.makers()


@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_a_scale_is_right_or_named(name: str) -> None:
    experiment, known = EXPERIMENTS[name], []
    of_pictures = dict.fromkeys(("lazy_pictures", "top_k", "top_k_sizes", "top_k_tuning"), shapes.PICTURES)
    sizes = (of_pictures | dict.fromkeys(("lazy_text", "lazy_text_rates"), shapes.SPANS)).get(name, shapes.SHAPES)
    for scale in scales.EVERY:
        try:
            config = experiment.config(scale)
        except UserError as refusal:
            refused = str(refusal)
            if re.search(
                r"\.nc is not there; `make record .*` makes it.$|runs of .* not made yet, .*its end.$", refused
            ):
                known.append(scale)  # it is trained as data say that are to be recorded first
                continue
            assert f"scale {scale} has no" in refused and refused.endswith(".")
            assert [each for each in scales.EVERY if each in refused.partition("those that have are ")[2].split(", ")]
            continue
        known.append(scale)
        assert config.scale == scale and (config.runs or experiment.config is shared.without_runs)
        # what a reader waits for may be shorter, if it says so (STEPS), and so may forks that end after some steps
        live = hasattr(experiment, "STEPS")
        whole = [run for run in config.runs if experiment.RECORDED and not run.fork.steps and not live]
        assert all(run.train.tokens >= 0.9 * sizes[scale].train.tokens for run in whole)
    assert {"smoke", *(scale for scale, _ in experiment.RECORDED)} <= set(known)
    with pytest.raises(UserError, match="there is no scale 'huge'; choose one of smoke, laptop"):
        experiment.config("huge")


@pytest.mark.parametrize("name", list(EXPERIMENTS))
@pytest.mark.parametrize(
    "changes", [{"scale": "huge"}, {"scale": None}, {"recipe": "best"}, {"runs": (3,)}, {"runs": "all"}]
)
def test_a_configuration_of_an_experiment_is_checked_like_a_runs(name: str, changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(changes))):
        replace(EXPERIMENTS[name].config("smoke"), **changes)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("neuron_death", {"small_tokens": -1}),
        ("neuron_death", {"draws": 0}),
        ("pruning", {"shares": (0.0, 1.5)}),
        ("pruning", {"shares": (float("nan"),)}),
        ("pruning", {"random_draws": True}),
        ("feature_specificity", {"sample_tokens": "all"}),
        ("any_model", {"weights_seed": 2**63}),
        ("factorial", {"levels": ((0.5,),)}),
    ],
)
def test_their_own_numbers_are_checked_too(name: str, changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(changes))):
        replace(EXPERIMENTS[name].config("smoke"), **changes)


def test_runs_that_are_stacked_by_seed_differ_in_it_alone() -> None:
    first, second, third = (Run(Path("none"), config) for config in shared.config("smoke").runs)
    other = Run(Path("none"), replace(third.config, **{"train.lr": 0.5}))
    for runs in ([first, second, other], [first, second, first]):
        with pytest.raises(UserError, match="3 runs are to be stacked by seed"):
            shared.stack(runs, shared.config("smoke"))


def test_a_whole_says_only_what_all_of_its_parts_say() -> None:
    parts: list[dict[str, Any]] = [{"a": 1, "b": [1, 2], "only one": 3}, {"a": 1, "b": [1, 2]}, {"a": 1, "b": [1, 3]}]
    assert shared.agreed(parts) == {"a": 1} and shared.agreed(parts[:2]) == {"a": 1, "b": [1, 2]}


def test_seeds_that_searched_are_part_of_a_datasets_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(tmp_path))
    config, made = shared.Config("smoke", "first", ()), []

    def compute() -> xr.Dataset:
        made.append(1)
        return xr.Dataset(attrs={"provenance": "{}"})

    for count in (1, 1):
        shared.cached("some", config, (), shared.__name__, compute)
        assert len(made) == count
    monkeypatch.setitem(RECIPES, "first", dataclasses.replace(RECIPES["first"], searched=(0, 1, 2)))
    shared.cached("some", config, (), shared.__name__, compute)
    assert len(made) == 2

"""A figure's title, model, permanent name, and what its data say of themselves."""

import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image

from relusparsity.errors import UserError
from relusparsity.plots.chart import Axis, Chart, Mark, Panel
from relusparsity.plots.figure import Figure, figure
from relusparsity.plots.written import to_json


def dataset(scale: str, recipe: str | None, seeds: int, commit: str = "") -> xr.Dataset:
    made = xr.Dataset({"use": (("seed", "layer"), np.zeros((seeds, 6)))}, attrs={"scale": scale})
    if recipe:
        made.attrs["recipe"] = recipe
    if commit:
        made.attrs["provenance"] = json.dumps({"environment": {"commit": commit}})
    return made


CHART = Chart([Panel("use", Axis("layer"), Axis(), [Mark("bars", [0, 1], [1, 2], "ink", hover="{y}")])])
FUNCTION = "relusparsity.plots.layer_patterns.batch_use"
BARE = Figure("batch_use", FUNCTION, "Bars.", to_json(CHART), "layer,use\n0,0.1\n", "One bar.")
WIDE = dataset("wide", "nearest", 3, commit="256d9bd")


def test_a_title_names_finding_and_model_everywhere():
    figure = BARE.titled("Layer 1 is emptier than layer 0", WIDE)
    assert figure.heading == "Layer 1 is emptier than layer 0. Wide, nearest, 3 seeds."
    assert figure.name == "batch-use-wide-nearest"
    assert repr(figure).startswith("batch-use-wide-nearest: Layer 1 is emptier than layer 0. Wide, nearest, 3 seeds.")
    about = figure._repr_mimebundle_()[1]["relusparsity"]
    assert (about["title"], about["model"]) == ("Layer 1 is emptier than layer 0", "Wide, nearest, 3 seeds")
    assert BARE.heading == "" and BARE.csv == "layer,use\n0,0.1\n"


def test_the_data_say_what_they_are_and_are_read_as_before():
    figure = BARE.titled("Layer 1 is emptier than layer 0", WIDE)
    assert figure.csv.splitlines()[:2] == [
        "# Layer 1 is emptier than layer 0. Wide, nearest, 3 seeds.",
        "# Wide, nearest, 3 seeds: measured by relusparsity at commit 256d9bd",
    ]
    assert pd.read_csv(io.StringIO(figure.csv), comment="#").equals(pd.read_csv(io.StringIO(BARE.csv)))


def test_a_figure_of_several_models_names_each_once():
    both = BARE.titled("Fewer units fire here", WIDE, dataset("mid", "first", 1), WIDE)
    assert both.model == "Wide, nearest, 3 seeds; Mid, first, 1 seed"
    assert both.name == "batch-use-wide-nearest-mid-first"
    assert "# Mid, first, 1 seed: computed from recorded runs, and names no commit\n" in both.csv


def test_one_recipe_of_a_sweep_is_named_and_the_whole_sweep_is_not():
    sweep = xr.concat([WIDE, WIDE], "recipe").assign_coords(recipe=["base", "lr × 2"])
    del sweep.attrs["recipe"]
    assert BARE.titled("It empties", sweep.sel(recipe="lr × 2")).name == "batch-use-wide-lr-2"
    assert BARE.titled("It empties", sweep).model == "Wide, 3 seeds"


def test_two_figures_of_one_model_are_told_apart_by_a_name():
    assert BARE.titled("Rates spread", WIDE, name="firing-rate").name == "batch-use-wide-nearest-firing-rate"


@pytest.mark.parametrize(
    ("finding", "of", "name", "said"),
    [
        ("", [WIDE], "", "full stop; batch_use got ''"),
        ("It empties.", [WIDE], "", "without its full stop"),
        ("It empties", [], "", "give the datasets"),
        ("It empties", [WIDE], "Firing Rate", "got 'Firing Rate'"),
        ("It empties", [xr.Dataset()], "", "no attribute 'scale'"),
    ],
)
def test_a_title_that_does_not_fit_is_refused_in_a_sentence(finding, of, name, said):
    with pytest.raises(UserError, match=said):
        BARE.titled(finding, *of, name=name)


def test_a_measured_model_is_called_by_its_name():
    opt = xr.Dataset(attrs={"name": "facebook/opt-125m"})
    assert BARE.titled("It empties", opt).heading == "It empties. opt-125m."
    assert BARE.titled("It empties", opt).name == "batch-use-opt-125m"


def test_the_picture_says_in_its_file_what_it_is_and_where_it_comes_from():
    said = Image.open(io.BytesIO(BARE.titled("Layer 1 is emptier than layer 0", WIDE).png)).text
    assert said["Title"] == "Layer 1 is emptier than layer 0. Wide, nearest, 3 seeds."
    assert said["Source"] == "Wide, nearest, 3 seeds: measured by relusparsity at commit 256d9bd"
    assert said["Description"] == "One bar."
    assert (
        BARE.titled("Layer 1 is emptier than layer 0", WIDE).png
        == BARE.titled("Layer 1 is emptier than layer 0", WIDE).png
    )
    assert replace(BARE, title="").png != BARE.titled("Other", WIDE).png


def test_a_figure_that_is_put_together_has_its_title():
    made = figure(FUNCTION, CHART, "Bars.", [("", WIDE)], "Both fire", WIDE)
    assert (made.heading, made.name) == ("Both fire. Wide, nearest, 3 seeds.", "batch-use-wide-nearest")
    assert made.alt == "A bar chart of use by layer: from 1 (layer 0) to 2 (layer 1)."

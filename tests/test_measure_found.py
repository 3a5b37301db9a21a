"""What a report opens with: the layers' use, the rule's zero point, silent units; and nothing that was not read."""

import html
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from tokenizers import Tokenizer
from tokenizers import models as vocabularies

from relusparsity.config import ModelConfig
from relusparsity.measure import found, measure, report, sections
from relusparsity.models import build
from relusparsity.plots import measured

UNITS = 64


@pytest.fixture(scope="module")
def data() -> xr.Dataset:
    """A ReLU network that learned nothing, but for a bias that holds the last layer down."""
    model = build(ModelConfig(n_layers=3, d_model=16, d_ff=UNITS, n_heads=2, seq_len=8, vocab_size=64), seed=0)
    with torch.no_grad():
        list(model.blocks)[-1].mlp.fc_in.bias -= 0.35
    ids = np.random.default_rng(0).integers(0, 64, (80, 8))
    words = Tokenizer(vocabularies.WordLevel({f"w{i}": i for i in range(64)}, unk_token="w0"))
    return measure.measure(model, words, ids, measure.Options(loss_tokens=64), name="held down")


def by_rule(data: xr.Dataset, name: str, option: str, layers: list[str] | None = None) -> xr.Dataset:
    """The same numbers, as if another rule had read them."""
    facts = json.loads(data.attrs["provenance"])
    facts["rule"]["name"], facts["config"]["options"]["rule"] = name, option
    facts["layers"] = layers or facts["layers"]
    return data.assign_attrs(provenance=json.dumps(facts), rule=name)


def test_the_numbers_are_those_of_the_counts(data: xr.Dataset) -> None:
    counts = data["final_firing_count"].values[0]
    use = 100 * counts.mean(axis=1) / data.attrs["final_sample_tokens"]
    first, against, silent = found.sentences(data)
    assert use.argmin() == 2 and abs(use[:2] - 50).max() < 5 < 50 - use[2], "as the fixture was made"
    assert "layer's units fire; layer 2 uses the fewest" in first and f" {use.max():.0f} % of" in first
    assert against == (
        "With random weights about half of them would, in every layer. 1 of 3 layers lies more than 5 points below it."
    )
    never = (counts == 0).sum(axis=1)
    assert never.sum() > 0
    assert silent.startswith(f"{never.sum()} of {3 * UNITS} units ({100 * never.sum() / (3 * UNITS):.0f} %) fired at")
    assert f"; layer {never.argmax()} has the most of them ({100 * never.max() / UNITS:.0f} % of its units)" in silent
    cost = 100 * (float(data["silent_loss"][0, 0]) / float(data["baseline_loss"][0, 0]) - 1)
    assert (f"{cost:+.2f}".replace("-", "−") in silent) != (abs(cost) < 0.005)


def test_without_training_it_says_that_nothing_was_shown(data: xr.Dataset) -> None:
    plain = data.isel(layer=[0, 1])
    assert "Every layer is within 5 points of that" in list(found.sentences(plain))[1]
    alone = list(found.sentences(data.isel(layer=[0])))
    assert "the layer's units fire" in alone[0] and "The layer is within 5 points" in alone[1]
    all_fire = plain.assign(silent_units=0 * plain["silent_units"])
    assert list(found.sentences(all_fire))[2] == f"Every one of {2 * UNITS} units fired somewhere in 576 tokens."
    full = data.assign(final_token_use=data["final_token_use"] * 0 + 0.9)
    first, against, _ = found.sentences(full)
    assert (
        first == "At a token 90 % of each layer's units fire."
        and "3 of 3 layers lie more than 5 points above" in against
    )


@pytest.mark.parametrize(
    ("name", "option", "layers", "number", "said"),
    [
        ("90 % quantile", "quantile=0.9", None, None, "it is 10 % by definition"),
        ("|activation| > 0.1", "epsilon=0.1", None, None, "Measure the same model untrained, too"),
        ("CETT 0.2", "cett=0.2", ["mlp.down (input of Linear, act(gate) · up)"], 38.2, "would read 38 %"),
        ("CETT 0.2", "cett=0.2", ["fc2 (input of Linear)"], None, "Measure the same model untrained, too"),
        ("not exactly zero", "exact", None, None, "Measure the same model untrained, too"),
    ],
)
def test_every_rule_has_its_own_zero_point(
    data: xr.Dataset, name: str, option: str, layers: list[str] | None, number: float | None, said: str
) -> None:
    zero, why = found.zero_point(by_rule(data, name, option, layers))
    assert zero == number and said in why
    assert said in list(found.sentences(by_rule(data, name, option, layers)))[1]


def test_a_report_opens_with_it(data: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = {"drawings": {size: {"svg": "<svg></svg>"} for size in ("wide", "narrow")}}
    monkeypatch.setattr("relusparsity.plots.moves.figure", lambda chart: empty)
    report.write([data, data], tmp_path / "two.html")
    report.write([data], tmp_path / "one.html")
    one, two = (html.unescape((tmp_path / f"{name}.html").read_text()) for name in ("one", "two"))
    heading, first = one.index("</h1>"), one.index(next(iter(found.sentences(data))))
    assert one[heading + 5 : first].strip() == "<p class=found><b>" and first < one.index("<dl>")
    assert two.count("<p class=found>held down (") == 2 and two.rindex("<p class=found>") < two.index("<h2>")


def test_a_window_longer_than_the_text_has_no_panel(data: xr.Dataset, tmp_path: Path) -> None:
    assert data.attrs["final_sample_tokens"] < measured.BATCH and measured.BATCH not in data["window"].values
    figure = measured.layer_use({"short": data})
    assert len(figure.chart["panels"]) == 3 and "8,192" not in figure.caption and "in_8192" not in figure.csv
    longer = data.isel(window=[-1]).assign_coords(window=[measured.BATCH]).assign_attrs(final_sample_tokens=10_000)
    assert len(measured.layer_use({"long": longer}).chart["panels"]) == 4
    assert len(measured.layer_use({"short": data, "long": longer}).chart["panels"]) == 6
    assert "in 8,192" not in sections._table("", data) and "in 8,192" in sections._table("", longer)
    assert "<td></td>" not in sections._table("", data)


def test_lines_that_end_together_have_one_name(data: xr.Dataset) -> None:
    window = data["final_window_use"]
    full = data.assign(final_window_use=xr.ones_like(window), final_rarefied_use=xr.ones_like(window))
    legends = [m["legend"] for m in measured.windows({"full": full}).chart["panels"][0]["marks"] if m.get("legend")]
    assert legends == ["0 to 2"]
    both = measured.windows({"apart": data, "full": full}).chart["panels"]
    named = [[m["legend"] for m in panel["marks"] if m.get("legend")] for panel in both]
    assert named == [["0", "1", "2"], ["0 to 2"]]

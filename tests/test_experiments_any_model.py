"""Chapter 11: a model reads the same alone and among others, fresh ones have one seed, what it says was counted."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

import relusparsity
from any_models import build
from relusparsity import plots, store
from relusparsity.chapters.ch11_measure_any_model import experiment, figures, tables, words
from relusparsity.errors import UserError
from relusparsity.experiments import shared
from relusparsity.measure import found, report
from relusparsity.plots import measured
from relusparsity.store import results

RELU = ["trained", "untrained", "OPT"]


@pytest.fixture(scope="module")
def dataset() -> xr.Dataset:
    return experiment.run(experiment.config("smoke"))


def test_a_model_reads_the_same_alone_and_among_others(dataset: xr.Dataset) -> None:
    config = experiment.config("smoke")
    (finished,) = shared.train_all(config.runs)
    for name in ("trained", "Llama, CETT 0.2"):
        alone, among = experiment._one(name, finished, config), tables.one(dataset, name)
        alone = alone.drop_vars(experiment.LEFT_OUT)
        assert set(alone.variables) == set(among.variables)
        for variable in alone.variables:
            np.testing.assert_array_equal(among[variable], alone[variable], str(variable))
        assert among.attrs.keys() == alone.attrs.keys() and among.attrs["rule"] == alone.attrs["rule"]
        assert results.provenance(among).keys() == results.provenance(alone).keys()


def test_every_model_is_measured_on_one_text(dataset: xr.Dataset) -> None:
    facts = results.provenance(dataset)["models"].values()
    assert len({fact["text"]["sha256"] for fact in facts}) == 1
    assert {fact["text"]["tokens"] for fact in facts} == {8_192}
    assert list(tables.about(dataset).index) == list(experiment.READINGS)


@pytest.mark.parametrize("kind", ["opt", "llama"])
def test_fresh_models_have_the_weights_of_their_seed(kind: str) -> None:
    config = experiment.config("smoke")
    before = torch.get_rng_state()
    first, second = (experiment.fresh(kind, config).state_dict() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before), "nobody else's random numbers are touched"
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_random_weights_read_as_the_chapter_says(dataset: xr.Dataset) -> None:
    use = dataset["final_token_use"].isel(seed=0)
    np.testing.assert_allclose(use.sel(model=["untrained", "OPT"]), 0.5, atol=0.08)
    assert float(use.sel(model="Llama").min()) > 0.999
    assert float(use.sel(model="Llama, CETT 0.2").max()) < 0.6
    fresh = dataset.sel(model=["untrained", "OPT", "Llama"])
    np.testing.assert_allclose(fresh["final_loss"], math.log(512), atol=0.1)
    assert float(abs(fresh["loss"] / fresh["baseline_loss"] - 1).max()) < 0.01, "where nothing was learned"
    assert float(dataset["final_loss"].sel(model="trained").item()) < float(fresh["final_loss"].min())


def test_the_rule_of_a_smooth_model_keeps_its_error(dataset: xr.Dataset) -> None:
    table = tables.rules(dataset)
    assert len(table) == 6 and table["its tail error"].between(0, 0.2 + 1e-9).all()
    assert table["CETT 0.2, %"].max() < table["not exactly zero, %"].min()
    part = tables.one(dataset, "Llama, CETT 0.2")
    assert part.attrs["rule"] == json.loads(part.attrs["provenance"])["rule"]["name"] != "not exactly zero"


def test_chance_is_the_normal_distributions_own() -> None:
    low, high = 0.0, 3.0
    for _ in range(60):  # the threshold below which 4 % of the energy of normal numbers lie
        t = (low + high) / 2
        energy = math.erf(t / math.sqrt(2)) - t * math.sqrt(2 / math.pi) * math.exp(-t * t / 2)
        low, high = (t, high) if energy < 0.04 else (low, t)
    assert found.by_chance(0.2, 1) == pytest.approx(100 * (1 - math.erf(low / math.sqrt(2))), abs=0.2)
    assert found.by_chance(0.2, 2) < found.by_chance(0.2, 1)


def test_tables_count_what_the_dataset_counts(dataset: xr.Dataset) -> None:
    silent = (dataset["final_firing_count"].sel(model=RELU) == 0).sum(["layer", "unit"]).isel(seed=0)
    evidence = tables.evidence(dataset, RELU)
    assert evidence["silent"].tolist() == silent.values.tolist()
    once = (dataset["final_sequences_fired"].sel(model=RELU) == 1).sum(["layer", "unit"]).isel(seed=0)
    assert evidence["would wake"].tolist() == once.values.tolist()
    costs = tables.costs(dataset, RELU)
    assert costs.iloc[0].tolist() == ["0.00"] * 6 and list(costs)[:2] == ["trained, rate", "trained, random"]
    of = dataset.sel(model="trained", chosen_by="random").isel(seed=0, evaluation=0)
    rise = 100 * (float(of["loss"][-1]) - float(of["baseline_loss"])) / float(of["baseline_loss"])
    assert float(costs["trained, random"].iloc[-1].replace("−", "-")) == pytest.approx(rise, abs=0.006)
    shown = tables.units(dataset)
    rules = {"most selective", "median selectivity", "most clustered"}
    assert set(shown.loc["trained"].index.get_level_values("chosen as")) == rules
    assert set(shown.loc["untrained"].index.get_level_values("chosen as")) == {"most selective"}


def test_figures_and_the_report_read_it(dataset: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = {"drawings": {size: {"svg": "<svg></svg>"} for size in ("wide", "narrow")}}
    monkeypatch.setattr("relusparsity.plots.moves.figure", lambda chart: empty)
    one = {name: tables.one(dataset, name) for name in ("untrained", "trained")}
    for figure in (measured.layer_use, measured.windows, measured.firing_rates, measured.silent):
        assert figure(one).csv
    for own in (figures.layer_use, figures.firing_rates):
        assert own(one).csv.startswith(f"# {own(one).heading}\n")
    assert figures.windows(one).name == measured.windows(one).name == "windows-untrained-trained"
    assert "this machine" in figures.zero_point(dataset, dataset).csv and figures.silent(one["trained"]).csv
    assert measured.changes(*one.values()) and plots.specificity(one["trained"]) and plots.pruning(one["trained"])
    report.write(list(one.values()), tmp_path / "report.html")
    assert "untrained" in (tmp_path / "report.html").read_text()


def test_bad_names_and_short_text_are_said(dataset: xr.Dataset) -> None:
    with pytest.raises(UserError, match=r"no model 'GPT' was measured; there are 'trained'"):
        tables.one(dataset, "GPT")
    with pytest.raises(UserError, match=r"are read; give more of it"):
        experiment.text(replace(experiment.config("smoke"), tokens=10**9))


@pytest.fixture(scope="module")
def recorded() -> xr.Dataset:
    return store.recorded("any_model", "laptop")


def shares(dataset: xr.Dataset, model: str) -> np.ndarray:
    """Token use of each layer in percent, from the counts of single units."""
    counts = dataset["final_firing_count"].sel(model=model).isel(seed=0).values
    return 100 * counts.sum(axis=1) / counts.shape[1] / dataset.attrs["final_sample_tokens"]


def numbers(text: str) -> list[float]:
    return [float(each.replace(",", "")) for each in re.findall(r"(?<![\w.])\d[\d,]*\.?\d*(?!\d)", text)]


def test_the_zero_point_is_as_it_is_said(recorded: xr.Dataset) -> None:
    fresh = np.concatenate([shares(recorded, model) for model in ("untrained", "OPT")])
    assert abs(fresh - 50).max() < 2, "about half, as the bold sentence says"
    assert shares(recorded, "trained").max() < fresh.min(), "trained, far fewer"
    never = (recorded["final_firing_count"].sel(model=["untrained", "OPT"]) == 0).sum(["seed", "layer", "unit"])
    said = [fresh.min(), fresh.max(), *(f(shares(recorded, "trained")) for f in (min, max)), 6 * 1024, int(never.max())]
    assert numbers(words.zero_point(recorded).text) == pytest.approx(said, rel=6e-3)
    guess, low, high = numbers(words.learned(recorded).text)[2:5]
    loss = recorded["final_loss"].drop_sel(model="trained")
    assert (guess, low, high) == pytest.approx((math.log(4096), float(loss.min()), float(loss.max())), abs=6e-3)
    assert low > guess - 0.01, "no better than guessing"


def test_layers_that_are_named_are_rare_and_silent(recorded: xr.Dataset) -> None:
    ever = 100 * (recorded["final_firing_count"].sel(model="trained").isel(seed=0) > 0).mean("unit").values
    use = shares(recorded, "trained")
    rare, idle = words.rare_and_silent(recorded)
    assert use[[rare, idle]].max() < 25 and ever[rare] > 95 and ever[idle] == ever.min() < 80
    text = words.both_ends(recorded).text
    assert f"layer {rare} goes from {use[rare]:.0f} % to {ever[rare]:.0f} %" in text
    assert f"layer {idle} stays at {ever[idle]:.0f} %" in text


def test_curves_rates_and_silence_are_as_they_are_said(recorded: xr.Dataset) -> None:
    window = 100 * recorded["final_window_use"].sel(model="trained").isel(seed=0)
    gained = float((window.sel(window=65536) - window.sel(window=32768)).max())
    assert f"adds {gained:.1f} points" in words.still_rising(recorded).text
    counts = recorded["final_firing_count"].sel(model="untrained").isel(seed=0).values / 65_536
    low, high = (np.quantile(counts, level, axis=1, method="inverted_cdf") for level in (0.05, 0.95))
    even, uneven = (high - low).argmin(), (high - low).argmax()
    text = words.unequal(recorded).text
    assert f"untrained layer {even} fire at {100 * low[even]:.0f} % to {100 * high[even]:.0f} %" in text
    assert f"layer {uneven}, at {100 * low[uneven]:.1f} % to {100 * high[uneven]:.0f} %" in text
    fired = recorded["final_sequences_fired"].sel(model="trained").values
    text = words.evidence(recorded).text
    assert f"{(fired == 0).sum()} of the trained network's 6,144" in text and f"wake {(fired == 1).sum()} of" in text
    assert f"under {100 * (1 - 0.05 ** (1 / 1024)):.2f} % of sequences" in text


def test_removal_is_as_it_is_said(recorded: xr.Dataset) -> None:
    rise = 100 * (recorded["loss"] / recorded["baseline_loss"] - 1).isel(seed=0, evaluation=0)
    most, by_rate, random = numbers(words.removal(recorded).text)[1:4]
    assert most == pytest.approx(float(abs(rise.sel(model=["untrained", "OPT"])).max()), abs=6e-3)
    assert by_rate == pytest.approx(float(rise.sel(model="trained", chosen_by="rate")[-1]), abs=0.06)
    assert random == pytest.approx(float(rise.sel(model="trained", chosen_by="random")[-1]), abs=0.06)
    assert most < 1 < random, "nothing to lose where nothing was learned"


def test_answers_are_those_of_the_data(recorded: xr.Dataset, root: Path) -> None:
    smooth = recorded["final_token_use"].sel(model="Llama, CETT 0.2").values * 100
    asked = re.search(r"reads (\d+) % of the units", (root / "notebooks/11_measure_any_model.py").read_text())
    assert asked and smooth.min() < float(asked[1]) < smooth.max(), "what the friend reads is the zero point"
    said = words.answer_friend(recorded).text
    assert f"{smooth.min():.1f} to {smooth.max():.1f} %" in said and f"{found.by_chance(0.2, 2)} %" in said
    assert said.startswith("Nothing yet.") and smooth.min() < found.by_chance(0.2, 2) < smooth.max()
    fired = recorded["final_sequences_fired"].sel(model="trained").isel(seed=0)
    never, once = (np.array((fired == number).sum("unit")) for number in (0, 1))
    share = [one / none if none else 0 for none, one in zip(never, once, strict=True)]
    layer = int(np.argmax(share))
    said = words.answer_wakes(recorded).text
    assert said.startswith(f"Layer {layer}: of its {never[layer]} silent units {once[layer]} should fire")
    assert f"{100 * share[layer]:.0f} %; of all layers together it is {100 * once.sum() / never.sum():.1f} %" in said
    assert never[layer] < 0.05 * 1024, "nearly all of its units fire"


def test_the_lines_that_the_chapter_shows_run(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a model saved in a folder called my-model, as they name it."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    notebook = (root / "notebooks" / "11_measure_any_model.py").read_text()
    load, fresh = (
        re.sub("^# ?", "", block, flags=re.MULTILINE)
        for block in re.findall(r"^# ```python\n(.*?)^# ```", notebook, re.MULTILINE | re.DOTALL)
    )
    (three,) = re.findall(r"^with relusparsity.track\(.*?\nprint\(use\)\n", notebook, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    build("opt", Path("my-model"))
    tokens = Tokenizer(models.WordLevel({f"w{i}": i for i in range(99)}, unk_token="w0"))
    tokens.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokens).save_pretrained("my-model")
    known = {"relusparsity": relusparsity}
    exec(load + three, known)
    use = known["use"].dataset()
    assert use.sizes["layer"] == 2 and int(use["final_firing_count"].sum()) > 0
    exec(fresh, {})
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in Path("untrained").iterdir()}


def test_what_is_said_of_published_checkpoints_is_what_was_recorded() -> None:
    dataset = store.recorded("real_checkpoints", "laptop")
    frame = dataset[["model", "final_token_use", "silent_units", "units"]].to_dataframe()
    ends = 100 * frame.groupby("model")["final_token_use"].agg(["min", "max"])
    said = words.checkpoints(dataset).text
    for name in ("NanoGuard", "Uzmorph"):
        assert ends.loc[name, "max"] < ends.loc[f"{name}, shuffled", "min"]
        assert f"{ends.loc[name, 'min']:.3g} to {ends.loc[name, 'max']:.3g} % in {name} (" in said
    trained = frame[~frame["model"].str.contains("shuffled")]
    one_is_silent = f"all {trained['units'].sum():,} trained units 1 fires nowhere in the text"
    assert trained["silent_units"].sum() == 1 and one_is_silent in said
    one = frame[frame["model"] == "SmolLM2"]["final_token_use"]
    assert f"{(100 * one > found.by_chance(0.2, factors=2)).sum()} of its {len(one)} layers read more" in said


@pytest.mark.parametrize(
    ("silent", "said"), [(0, "units fires somewhere"), (1, "1 fires now"), (1234, "1,234 fire now")]
)
def test_what_is_said_of_silent_units_is_grammatical_for_any_count(silent: int, said: str) -> None:
    dataset = store.recorded("real_checkpoints", "laptop")
    counts = np.zeros_like(dataset["silent_units"].values)
    counts[dataset["model"].values.tolist().index("NanoGuard")] = silent
    assert said in words.checkpoints(dataset.assign(silent_units=dataset["silent_units"].copy(data=counts))).text


def test_what_is_said_of_random_models_is_grammatical_for_any_count(recorded: xr.Dataset) -> None:
    never = recorded["silent_units"].sel(model=["untrained", "OPT"]).astype(int)
    assert never.sum(["seed", "layer"]).max() == 1 and "at most 1 unit fired nowhere" in words.zero_point(recorded).text
    more = recorded.assign(silent_units=7 * recorded["silent_units"])
    assert "at most 7 units fired nowhere" in words.zero_point(more).text

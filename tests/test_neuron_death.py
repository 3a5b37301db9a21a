"""Chapter 03: counts against loops, decay against the optimiser, and sentences that follow the data."""

import ast
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from relusparsity import store
from relusparsity.book.moved import MOVED
from relusparsity.chapters.ch03_neuron_death import decay, figures, lives, short, tables, words
from relusparsity.config import TrainConfig
from relusparsity.counting import deaths
from relusparsity.errors import UserError
from relusparsity.train.step import learning_rate

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "03_neuron_death.py"


@pytest.fixture(scope="module")
def wide() -> xr.Dataset:
    return store.recorded("neuron_death", "wide")


@pytest.fixture(scope="module")
def mid() -> xr.Dataset:
    return store.recorded("neuron_death", "mid")


@pytest.fixture(scope="module")
def laptop() -> xr.Dataset:
    return store.recorded("neuron_death", "laptop")


def counted(died: list[list[int]], back: list[list[int]]) -> xr.Dataset:
    """Two equal seeds of one layer of 100 units, a step per million tokens: (seed, step) units."""
    deaths, revivals = (np.array(each)[:, :, None] for each in (died, back))
    dead = np.cumsum(deaths - revivals, axis=1).astype(float)
    dead[:, 0] = np.nan  # not known yet
    by = ("seed", "step", "layer")
    coords = {"seed": [0, 1], "layer": [0], "tokens": ("step", 1_000_000 * np.arange(deaths.shape[1]))}
    values = {"deaths": (by, deaths), "revivals": (by, revivals), "dead_units": (by, dead)}
    return xr.Dataset(values | {"of_units": ("unit", np.zeros(100))}, coords, attrs={"dead_after": 1, "scale": "wide"})


def test_ratios_sum_seeds_first_and_count_dead_units_times_tokens() -> None:
    dataset = counted([[0, 10, 20, 0, 4], [0, 30, 0, 0, 6]], [[0, 0, 5, 5, 0], [0, 10, 0, 0, 2]])
    found = lives.undone(dataset, most=2)
    assert found["tokens"].values.tolist() == [1e6, 3e6]
    assert found["deaths"].values.ravel().tolist() == [60, 10]
    assert found["revivals"].values.ravel().tolist() == [15, 7]
    assert found["per_100_deaths"].values[0, 0] == pytest.approx(25)
    assert np.isnan(found["per_100_deaths"].values[1, 0]), "ten deaths are too few"
    dead = [[0, 10, 25, 20, 24], [0, 20, 20, 20, 24]]
    lived = [sum((of[i] + of[i + 1]) / 2 for of in dead for i in pair) for pair in ((0, 1), (2, 3))]
    assert found["per_100_dead"].values.ravel() == pytest.approx([100 * 15 / lived[0], 100 * 7 / lived[1]])


def test_the_last_part_and_the_half_are_those_of_the_counts() -> None:
    dataset = counted([[0, 10, 20, 0, 4], [0, 30, 0, 0, 6]], [[0, 0, 5, 5, 0], [0, 10, 0, 0, 2]])
    late = lives.last_part(dataset, 0.25)
    assert {name: float(late[name].sum()) for name in ("dead_before", "dead_after", "deaths", "revivals")} == {
        "dead_before": 40, "dead_after": 48, "deaths": 10, "revivals": 2,
    }  # fmt: skip
    assert float(late["of_deaths"].sum()) == pytest.approx(100 * 10 / 70)
    assert lives.half_dead(dataset).values.tolist() == [1e6]
    assert np.isnan(lives.half_dead(dataset.assign(dead_units=0 * dataset["dead_units"])).values).all()


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_decay_alone_is_what_adamw_does_without_a_gradient(schedule: str) -> None:
    sizes = {"tokens": 6_400, "batch_tokens": 128, "warmup": 640, "dead_after": 1_280, "resume_every": 0}
    train = TrainConfig(**sizes, lr=0.05, weight_decay=0.7, schedule=schedule)  # type: ignore[arg-type]
    weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = torch.optim.AdamW([weight], lr=train.lr, weight_decay=train.weight_decay)
    course = []
    for tokens in range(0, train.tokens, train.batch_tokens):
        course.append(weight.item())
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(train, tokens)
        weight.grad = torch.zeros_like(weight)
        optimizer.step()
    since = np.array([0, 640, 3_200, 6_272, 6_400])
    expected = weight.item() / np.array([*(course[at // 128] for at in since[:-1]), weight.item()])
    np.testing.assert_allclose(decay.decay_alone(train, since), expected, rtol=1e-12)
    assert expected[0] < 0.5 and expected[-1] == 1


def test_units_that_died_once_shrink_by_decay_alone(mid: xr.Dataset) -> None:
    """And none of those that came back is among them."""
    found, seen = decay.shrunk(mid), mid["history_tokens"].values
    by_hand = []
    for seed in range(mid.sizes["seed"]):
        for layer in range(6):
            of = mid.isel(seed=seed, layer=layer)
            for at, unit in enumerate(of["history_unit"].values.astype(int)):
                onset = float(of["death_onset"][unit])
                if np.isfinite(onset) and int(of["revival_count"][unit]) == 0 and onset <= seen[-2]:
                    norm = of["input_weight_norm"].isel(history_unit=at).values
                    by_hand.append(norm[-1] / norm[seen >= onset][0])
        if seed == 0:
            break
    np.testing.assert_allclose(found.recorded[: len(by_hand)], by_hand, rtol=1e-6)
    assert len(by_hand) > 100
    low, middle, high = np.quantile(found.recorded / found.alone, [0.01, 0.5, 0.99])
    assert 0.995 < low < 0.9999 < middle < 1.0001 < high < 1.01


def test_what_remains_of_the_dead_is_counted_unit_by_unit(mid: xr.Dataset) -> None:
    dead, living, below = [], [], []
    last = mid.isel(history_step=-1)
    units = mid["history_unit"].values.astype(int)
    for seed in range(mid.sizes["seed"]):
        for layer in range(6):
            at = {"seed": seed, "layer": layer}
            died, back = (mid[name].isel(at).values[units] for name in ("death_count", "revival_count"))
            mean, spread, norm = (
                last[name].isel(at).values for name in ("preactivation_mean", "preactivation_std", "input_weight_norm")
            )
            for unit in range(len(units)):
                (dead if died[unit] > back[unit] else living).append(norm[unit])
                if died[unit] > back[unit]:
                    below.append(-mean[unit] / spread[unit])
    found = lives.remains(mid)
    assert found["weights"] == pytest.approx(100 * np.median(dead) / np.median(living))
    assert found["below"] == pytest.approx(np.median(below))


def test_woken_units_are_the_silent_less_those_silent_on_both(mid: xr.Dataset, laptop: xr.Dataset) -> None:
    share = lives.woken(mid)
    small, both = (int(mid[name].isel(seed=2, layer=3)) for name in ("silent_small", "silent_both"))
    assert float(share.isel(seed=2, layer=3)) == pytest.approx(100 * (small - both) / small)
    assert np.isnan(lives.woken(laptop).sel(layer=0)).all(), "no unit of Laptop's layer 0 is silent"


def test_a_figure_of_more_models_than_lines_is_refused(mid: xr.Dataset) -> None:
    with pytest.raises(UserError, match="woken draws 1 to 4 datasets, a line each; it got 5"):
        figures.woken(*[mid] * 5)


def test_the_lines_shown_are_the_librarys_and_count_deaths_and_revivals() -> None:
    code = words.lines_that_matter().text.removeprefix("```python\n").removesuffix("\n```")
    ast.parse(code)
    lines = [line.strip() for line in code.splitlines()]
    source = [line.strip() for line in Path(deaths.__file__).read_text().splitlines()]
    first = source.index(lines[0])
    assert source[first : first + len(lines)] == lines and len(lines) <= 10
    assert lines[0].startswith("fired =") and lines[-1] == "self.dead = dead" and any("revivals" in at for at in lines)


def test_sentences_are_those_of_the_data(wide: xr.Dataset, mid: xr.Dataset) -> None:
    back, died = ((wide[name] > 0).values for name in ("revival_count", "death_count"))
    said = words.coming_back(wide).text
    assert "most units" in said and min(back[:, i].sum() / died[:, i].sum() for i in range(6)) > 0.5
    assert f"{100 * back[:, 0].mean():.1f} % of all units" in said
    assert f"{100 * back[:, 0].sum() / died[:, 0].sum():.1f} % of those" in said
    tokens = wide["tokens"].values
    late = wide.sel(step=wide["step"][tokens > 0.9001 * tokens[-1]])
    ratio = 100 * float(late["revivals"].sum()) / float(late["deaths"].sum())
    said = words.stock_stays(wide).text
    assert "Revivals per 100 deaths even rise" in said and f"rise, to {ratio:.0f} in" in said
    assert float(late["deaths"].sum() / wide["deaths"].sum()) < 0.0015 and "0.1 % of all deaths" in said
    both, small = (mid[name].sum("layer").values for name in ("silent_both", "silent_small"))
    assert f"{100 * (both / small).mean():.1f} %" in words.silence(mid).text
    rare = 1 - mid["silent_both"].sum("seed") / mid["silent_small"].sum("seed")
    assert f"Layer {int(rare.argmax('layer'))} has the largest share of them" in words.silence(mid).text
    share = wide["death_share_by_rate"].mean("seed").sel(measured_at="after the warm-up", layer=5).values
    assert f"layer 5's rarest quarter {100 * share[0]:.0f} % die later" in words.rates(wide).text
    assert "in 5 of 6 layers" in words.before_death(wide).text


def test_what_wide_can_show_follows_how_far_its_dead_lie(wide: xr.Dataset, mid: xr.Dataset) -> None:
    assert "could hardly fail" in words.arithmetic(wide).text and lives.remains(wide)["weights"] < 0.1
    assert "could have failed" in words.arithmetic(mid).text and lives.remains(mid)["weights"] > 30
    near = wide.assign(preactivation_std=wide["preactivation_std"] * 20)
    assert "could have failed" in words.arithmetic(near).text


def test_where_no_unit_of_a_layer_dies_the_words_say_so(laptop: xr.Dataset) -> None:
    assert int(laptop["dead_count"].sel(layer=0).sum()) == 0
    assert words.stock(laptop).text.startswith("**Units die in 5 layers")
    table = tables.fates(laptop)
    assert table.loc[0].tolist() == ["0.0", "0.0", "–", "–", "0.0"]
    assert tables.medians(laptop).loc[0].tolist().count("–") == 3


def test_the_short_form_says_what_is_a_test_and_what_stays(wide: xr.Dataset) -> None:
    said = short.in_short()
    assert "Only Mid's number is a test" in said.finding
    deaths_, revivals = (wide[name].sum(["step", "layer"]).values for name in ("deaths", "revivals"))
    whole = [100 * int(back) / int(died) for back, died in zip(revivals, deaths_, strict=True)]
    assert f"{min(whole):.3g} to {max(whole):.3g} revivals per 100 deaths" in said.lines[1]


def test_tables_are_whole_and_made_for_people(wide: xr.Dataset, mid: xr.Dataset, laptop: xr.Dataset) -> None:
    every = [wide, store.recorded("neuron_death", "wide", "first"), mid, laptop]
    silence, remains, judged = tables.silence(every), tables.remains(every), tables.judged(*every)
    assert silence.index.tolist() == remains.index.tolist()
    assert silence.index.tolist() == ["Wide, nearest", "Wide, first", "Mid, first", "Laptop, default"]
    assert silence.loc["Mid, first", "of these, on the larger sample too, %"] == "95.6 (95.0 to 96.1)"
    assert sum(o.row.number == "9" and bool(o.readings) for o in judged.outcomes) == 4
    assert sum(o.row.number == "10" for o in judged.outcomes) == 2
    quarters = tables.by_rate(wide)
    assert quarters.shape == (6, 8) and quarters.columns[0] == ("before training", "rarest")
    counts = tables.chance(mid)
    assert counts.loc["silent on both samples", "seed 2"] == f"{int(mid['silent_both'].isel(seed=0).sum()):,}"
    apart = tables.domains(mid)
    assert apart.shape == (3, 3) and not set(apart.columns) & {"–"}
    for table in (tables.fates(wide), silence, remains, counts, apart, tables.medians(wide)):
        assert not table.map(lambda cell: "nan" in str(cell) or "_" in str(cell)).any(axis=None)


def test_the_estimate_is_high_rather_than_low(mid: xr.Dataset) -> None:
    """As the chapter says of Mid's first seed, layer by layer."""
    first = mid.isel(seed=0).sel(level=50.0)
    assert (first["woken_expected"] >= first["woken_observed"]).all()
    assert tables.forecasts(mid).shape == (6, 3)


def test_the_answers_of_the_exercises_are_right(wide: xr.Dataset, mid: xr.Dataset) -> None:
    answers = re.findall(r":::\{dropdown\} Answer\n(.*?)# :::", NOTEBOOK.read_text(), re.DOTALL)
    train = decay.train_config(mid)
    kept = {1: 1.0, 2: 1.0}
    for tokens in range(train.warmup, train.tokens, train.batch_tokens):
        for times in kept:
            kept[times] *= 1 - times * train.weight_decay * learning_rate(train, tokens)
    numbers = words.exercises(mid)
    assert numbers["kept"] == f"{100 * kept[1]:.0f}" and numbers["kept at twice the decay"] == f"{100 * kept[2]:.1f}"
    assert f"{numbers['kept']} %, and at twice the decay {numbers['kept at twice the decay']} %" in answers[0]
    assert kept[2] == pytest.approx(kept[1] ** 2, rel=0.02), "about the square"
    generator = np.random.default_rng(0)
    missed = (generator.poisson(mid.attrs["dead_after"] / 2e6, 100_000) == 0).mean()
    assert float(numbers["missed"]) == pytest.approx(100 * missed, abs=0.6)
    assert f"chance of {numbers['missed']} %" in answers[1]
    firings = decay.train_config(wide).tokens / 2e6
    assert 90 < firings < 130 and "a hundred times" in answers[1]


def test_the_choice_of_a_layer_shows_that_layer(wide: xr.Dataset) -> None:
    chart = figures.drift_before_death(wide).chart
    states, panels = chart["control"]["states"], chart["panels"]
    assert [state["label"] for state in states] == [str(layer) for layer in range(6)]
    titles = [text for _, text in states[4]["titles"]]
    assert len(titles) == len(panels) == 4 and all(text.startswith("layer 4: ") for text in titles)
    first = {(panel, mark): new["y"] for panel, mark, new in states[0]["marks"]}
    fifth = {(panel, mark): new["y"] for panel, mark, new in states[5]["marks"]}
    assert len(first) == 12 and first.keys() == fifth.keys() and first != fifth
    for (panel, mark), y in first.items():
        assert panels[panel]["marks"][mark]["y"] == y, "the first choice is what is drawn"
        low, high = panels[panel]["y"]["limits"]
        assert all(low <= v <= high for of in (y, fifth[panel, mark]) for v in of if v is not None)


def test_old_links_still_lead_somewhere() -> None:
    """Headings and figures of the chapter that are gone or called otherwise have a place, which `moved` names."""
    shapes = ("laptop-default", "wide-nearest", "mid-first")
    gone = [f"fig-silent-vs-dead-{shape}" for shape in shapes]
    gone += [f"fig-{name}-laptop-default" for name in ("death-onsets", "survival", "deaths-and-revivals", "domains")]
    gone += ["fig-drift-before-death-laptop-default", "fig-dead-over-training-laptop-default", "who-dies-when"]
    gone += ["is-it-written-at-the-start", "what-happens-to-a-unit-before-it-dies", "is-the-forecast-any-good"]
    gone += ["silent-against-dead-and-what-chance-explains", "dead-on-one-domain-alive-on-another", "the-wide-models"]
    gone += ["silence-is-death-here", "the-mid-models", "on-this-machine", "limits-cost-what-next"]
    assert set(gone) == set(MOVED["chapters/03_neuron_death"])


def test_the_chapter_speaks_of_no_death_for_good() -> None:
    cells = json.loads((NOTEBOOK.parents[1] / "book" / "chapters" / "03_neuron_death.ipynb").read_text())["cells"]
    text = " ".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    shown = " ".join("".join(o["data"]["text/plain"]) for c in cells for o in c.get("outputs", []) if "data" in o)
    assert "for good" not in text + shown and "rather than rare" not in text + shown

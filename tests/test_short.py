"""*In short* of every chapter: what it says in words holds in the data, and its numbers are theirs."""

import importlib
import re
from pathlib import Path

import numpy as np
import pytest

from relusparsity import store
from relusparsity.claims.short import Short

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.py"))


def short(chapter: str) -> Short:
    (folder,) = (ROOT / "src" / "relusparsity" / "chapters").glob(f"ch{chapter}_*")
    found = importlib.import_module(f"relusparsity.chapters.{folder.name}.short").in_short()
    assert isinstance(found, Short)
    return found


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_chapter_begins_with_it(name: str) -> None:
    found = short(name[:2])
    assert len(found.lines) == 3
    assert re.search(r"\d", found.finding) and re.search(
        r"\b(Wide|Mid|Laptop|Smoke|Fashion|PyTorch|SmolLM2)\b", found.finding
    )
    assert "nan" not in repr(found)
    cells = re.split(r"^# %%", (ROOT / "notebooks" / f"{name}.py").read_text(), flags=re.MULTILINE)
    assert "in_short()" in cells[2], "right under the title"


def test_the_front_page_has_a_card_for_every_chapter_with_its_title_and_its_minutes() -> None:
    """A chapter that says how long it takes to read says what its card says."""
    front = (ROOT / "book" / "index.md").read_text()
    card = r":::\{grid-item-card\} (\d+) · (.+)\n:link: chapters/(\w+)\n((?:.+\n)+?):::\n"
    cards = re.findall(card, front)
    assert [name for _, _, name, _ in cards] == CHAPTERS
    for number, title, name, said in cards:
        text = (ROOT / "notebooks" / f"{name}.py").read_text()
        assert int(name[:2]) == int(number) and f"\n# # {title}\n" in text, name
        of_card = re.search(r"\*(\d+) minutes(?: to read)?\*\n$", said)
        of_page = re.search(r"\*(\d+) minutes\s(?:# )?to\s(?:# )?read", text)
        assert of_card, name
        assert of_page is None or of_page[1] == of_card[1], f"{name} says {of_page[0]}, its card {of_card[0]}"


def ends(shape: str) -> np.ndarray:
    """Batch use at the end, percent, by (seed, layer)."""
    use = store.recorded("layer_patterns", shape)["final_batch_use"].mean("set").transpose("seed", "layer")
    return 100 * use.values.astype(float)


def test_the_emptiest_is_not_the_first_and_mid_ends_as_full_as_the_source() -> None:
    said = short("02")
    for shape in ("wide", "mid"):
        assert (ends(shape).argmin(1) != 0).any(), shape
    assert f"layer 1 in {(ends('mid').argmin(1) == 1).sum()} of 5 seeds" in said.finding
    assert abs(ends("mid")[:, 5].mean() - 95.6) < 5 < abs(ends("mid")[:, 0].mean() - 13.3), "as its second line says"


def test_silent_units_of_wide_stay_silent_and_death_is_often_undone() -> None:
    death = store.recorded("neuron_death", "wide")
    silent = 100 * (death["silent_both"].sum("layer") / death["silent_small"].sum("layer"))
    assert f"{float(silent.mean()):.1f} %" in short("03").finding and float(silent.min()) > 50
    assert (death["revivals"].sum() / death["deaths"].sum()) > 0.1


def test_half_goes_at_almost_no_cost_and_a_random_half_does_not() -> None:
    pruned = store.recorded("pruning", "wide").sel(share=0.5)
    cost = 100 * (pruned["loss"] / pruned["baseline_loss"] - 1)
    assert float(abs(cost.sel(chosen_by="rate")).max()) < 1 < float(cost.sel(chosen_by="random").min())


def test_units_of_random_weights_fire_at_every_second_token_in_every_layer() -> None:
    use = store.recorded("any_model", "laptop")["final_token_use"].sel(model=["untrained", "OPT"])
    assert float(use.min()) > 0.45 and float(use.max()) < 0.55


def test_no_recipe_with_fresh_seeds_has_both_numbers_of_the_source() -> None:
    for recipe in ("first", "nearest"):
        use = 100 * store.recorded("layer_patterns", "wide", recipe)["final_batch_use"].mean("set").values
        assert not ((abs(use[:, 0] - 13.3) < 5) & (abs(use[:, 5] - 95.6) < 5)).any()

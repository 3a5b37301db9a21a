"""Tables as the pages show them: nothing is lost, headings stand in one row, and what is too wide has another form."""

import re

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from hypothesis import given, settings
from hypothesis import strategies as st

from relusparsity.book import tables

LAYERS = pd.Index(range(6), name="layer")


def shown(frame: pd.DataFrame) -> BeautifulSoup:
    return BeautifulSoup(tables.marked(frame.to_html()), "html.parser")


def texts(page: BeautifulSoup, selector: str) -> list[str]:
    return [cell.get_text() for cell in page.select(selector)]


def test_columns_of_words_are_marked_and_numbers_are_not() -> None:
    index = pd.MultiIndex.from_product([[0], ["first", "second"]], names=["layer", "rule"])
    frame = pd.DataFrame({"n": ["1", "-2.5"], "text": ["a word", "3"], "missing": [float("nan"), 1e-9]}, index=index)
    page = shown(frame)
    assert texts(page, "td.words") == ["a word", "3"]
    assert texts(page, "th.words") == ["layer", "rule", "text"]
    assert texts(page, "td:not(.words)") == ["1", "–", "−2.5", "1.000000e-09"], "a true minus, and no NaN"


def test_long_names_of_rows_are_marked() -> None:
    names = ["first", "rate ÷ 2, rotary, decay 1"]
    assert texts(shown(pd.DataFrame({"n": [1, 2]}, index=names)), "th.name") == names[1:]


def test_names_of_rows_and_levels_stand_in_the_row_of_headings() -> None:
    counted = pd.DataFrame([[0.0] * 6], index=pd.Index([2], name="seed"), columns=LAYERS)
    assert texts(shown(counted), "thead th") == ["seed", *(f"layer {i}" for i in range(6))]
    between = pd.DataFrame([[1]], index=pd.Index(["a"], name="silent on"), columns=pd.Index(["b"], name="fires on"))
    assert texts(shown(between), "thead th") == ["silent on ↓ fires on →", "b"]
    columns = pd.MultiIndex.from_product([["use", "loss"], [0, 100]], names=["of", "step"])
    two = shown(pd.DataFrame([[1, 2, 3, 4]], index=pd.Index([0], name="layer"), columns=columns))
    assert [texts(row, "th") for row in two.select("thead tr")] == [
        ["of", "use", "loss"],
        ["layer", "step 0", "step 100", "step 0", "step 100"],
    ]


def test_columns_that_are_too_many_stand_below_their_row() -> None:
    frame = pd.DataFrame([list(range(11)), list(range(11, 22))], columns=list("abcdefghijk"), index=list("xy"))
    page = shown(frame)
    assert texts(page, "thead th") == ["", *"abcdefgh"]
    assert texts(page, "td.rest") == ["i\xa08 · j\xa09 · k\xa010", "i\xa019 · j\xa020 · k\xa021"]
    assert [name["rowspan"] for name in page.select("tbody th")] == ["2", "2"]
    many = pd.DataFrame([range(9)], columns=pd.MultiIndex.from_product([list("abc"), list("xyz")]))
    assert not shown(many).select(".rest"), "headings in two rows stay together"


@pytest.mark.parametrize(
    ("frame", "form"),
    [
        (pd.DataFrame([[100.0] * 6], columns=LAYERS), []),
        (pd.DataFrame([["100.0"] * 6 + ["4.45"] * 2], index=["untied, embedding 0.02, normal, decay 0.1"]), ["named"]),
        (pd.DataFrame([["a sentence of some length, as long as a line"] * 5], index=["hidden layer"]), ["cards"]),
        (pd.DataFrame([["12,345,678"] * 4], index=["name"]), []),
        (pd.DataFrame([["12,345,678"] * 5], index=["name"]), ["cards"]),
    ],
)
def test_a_phone_gets_the_first_form_that_fits(frame: pd.DataFrame, form: list[str]) -> None:
    table = shown(frame).table
    assert table is not None and table.get_attribute_list("class") == ["dataframe", *form]


def test_a_name_above_its_rows_is_the_first_of_two_and_counts_no_column() -> None:
    index = pd.MultiIndex.from_product([["fresh"], [2, 3]], names=["recipe", "seed"])
    page = shown(pd.DataFrame([["100.0"] * 8] * 2, index=index, columns=[f"layer {i}" for i in range(8)]))
    assert page.table is not None and page.table.get_attribute_list("class")[-1] == "named"
    assert texts(page, ".above") == ["recipe", "fresh"]
    assert page.table["style"] == "--columns: 9", "eight, and the seed"


def test_in_cards_each_value_has_its_heading() -> None:
    page = shown(pd.DataFrame([["a sentence of some length, as long as a line"] * 4] * 2, columns=list("abcd")))
    assert [cell["data-label"] for cell in page.select("td")] == list("abcd") * 2


WORDS = st.text("abcXYZ_./:- 019", max_size=40).map(lambda said: " ".join(said.split()))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12).flatmap(lambda n: st.lists(st.lists(WORDS, min_size=n, max_size=n), min_size=1, max_size=4)))
def test_no_word_is_lost_and_none_too_long_stays_whole(rows: list[list[str]]) -> None:
    columns, index = [f"c{i}" for i in range(len(rows[0]))], [f"r{i}" for i in range(len(rows))]
    page = shown(pd.DataFrame(rows, columns=columns, index=index))
    found = [" ".join(cell.get_text().replace("\xa0", " ").split()) for cell in page.select("td")]
    for row in rows:
        for said in row:
            minus = re.sub(r"^-(?=\d)", "−", said)
            assert any(minus in cell for cell in found)
    for cell in page.select("td:not(.rest)"):
        for piece in re.split(r"<wbr\s*/?>|\s", cell.decode_contents()):
            assert len(piece) <= tables.LONG_NAME or tables.NUMBER.fullmatch(piece)

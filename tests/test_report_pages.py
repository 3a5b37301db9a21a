"""The reports on recorded checkpoints are pages of the book: linked, small, and complete without a network."""

from pathlib import Path

import pytest
import xarray as xr
from bs4 import BeautifulSoup

from relusparsity import store
from relusparsity.book.reports import CHAPTER, FOLDER
from relusparsity.chapters.ch11_measure_any_model import public, reports

MOST = 1_000_000
"""Bytes of all reports with their figures and data."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dataset() -> xr.Dataset:
    return store.recorded(public.NAME, public.SCALE)


def page(pages: Path, name: str) -> BeautifulSoup:
    return BeautifulSoup((pages / FOLDER / f"{name}.html").read_text(), "html.parser")


def test_chapter_11_leads_to_every_report_and_each_leads_back(pages: Path) -> None:
    chapter = pages / f"{CHAPTER}.html"
    links = BeautifulSoup(chapter.read_text(), "html.parser").select(f'article a[href*="{FOLDER}/"]')
    found = {(chapter.parent / link["href"]).resolve(): link.get_text() for link in links}
    assert found == {pages / FOLDER / f"{name}.html": checkpoints[0] for name, checkpoints in reports.REPORTS.items()}
    for report in found:
        back = BeautifulSoup(report.read_text(), "html.parser").select_one(".report a")
        assert back is not None and (report.parent / back["href"]).resolve() == chapter


@pytest.mark.parametrize("name", reports.REPORTS)
def test_a_page_has_the_numbers_of_the_dataset_and_all_files_of_its_figures(
    name: str, pages: Path, dataset: xr.Dataset
) -> None:
    report = page(pages, name)
    models = {each: reports.measured(dataset, each) for each in reports.REPORTS[name]}
    shown = [table for table in report.select(".report table") if table.th is not None and "module" in table.text]
    for table, data in zip(shown, models.values(), strict=True):
        use = [row.find_all("td")[2].text for row in table.select("tbody tr")]
        assert use == [f"{100 * float(value):.1f}" for value in data["final_token_use"].values[0]]
    figures = report.select("figure.live-figure")
    assert len(figures) == (4 if name == "uzmorph" else 3)
    for figure in figures:
        linked = [tag["src"] for tag in figure.select("img, script")] + [figure.source["srcset"], figure.a["href"]]
        files = [(pages / FOLDER / each).resolve() for each in linked]
        assert len(files) == 4 and all(file.is_file() for file in files)
        assert files[-1].read_text().startswith(f"# {figure.strong.text}\n")


def test_all_reports_together_are_small(pages: Path) -> None:
    folders = [pages / FOLDER, *(pages / of / name for of in ("_figures", "_downloads") for name in reports.REPORTS)]
    size = sum(file.stat().st_size for folder in folders for file in folder.iterdir())
    assert 300_000 < size < MOST, f"{size:,} bytes"


def test_bounds_on_silent_units_are_told_where_there_are_some(pages: Path) -> None:
    assert page(pages, "nanoguard").text.count("No unit was silent") == len(reports.REPORTS["nanoguard"])
    said = page(pages, "smollm2").text
    assert "1 unit fired at none of 32,768 tokens" in said and "that is at most 0.11 % of tokens" in said
    assert "of 32 evenly spaced ones a layer" in said

"""The list of packages is complete, names no host, and is what the book's page shows."""

import re
from pathlib import Path

import pytest

from relusparsity.book import listed
from relusparsity.packages import catalogue
from relusparsity.store import results

NAME = re.compile("[a-z0-9-]+")
ENDS = {"pypi": "-none-any.whl", "npm": ".tgz", "debian": ".deb"}


def test_every_entry_is_complete() -> None:
    there = catalogue.everything()
    assert {each.kind for each in there.values()} == set(catalogue.KINDS) and len(there) >= 15
    for each in there.values():
        assert NAME.fullmatch(each.name) and each.file.endswith(ENDS[each.kind]) and each.bytes > 10_000, each.name
        assert re.fullmatch("[0-9a-f]{64}", each.sha256) and each.licence and each.inside and each.wanted, each.name
        assert each.chapters and set(each.chapters) <= set(range(1, 24)), each.name
        assert each.version.replace(":", "%3a") in each.file, each.name
    assert len({each.sha256 for each in there.values()}) == len({each.file for each in there.values()}) == len(there)


def test_the_page_shows_every_entry_with_its_licence_and_size() -> None:
    page = Path(results.checkout() or "", "book", "packages.md").read_text()
    assert page.count(listed.MARK) == 1
    rows = listed.markdown().splitlines()[2:]
    for row, each in zip(rows, catalogue.everything().values(), strict=True):
        shown = re.fullmatch(r"\| (\S+) \| .+ \| ([\d.]+)\xa0MB \| ([^|]+) \| ([\d, ]+) \|", row)
        assert shown and shown[1] == each.name and shown[3] == each.licence, row
        assert float(shown[2]) * 1e6 == pytest.approx(each.bytes, rel=0.04)  # a decimal of 1.4 MB
        assert [int(number) for number in shown[4].split(",")] == list(each.chapters)


def test_no_host_is_named() -> None:
    for file in Path(catalogue.__file__).parent.iterdir():
        if file.is_file():
            assert not re.search(r"://|\b(www|registry|files|deb)\.\w+\.|\.(org|com|net|io)\b", file.read_text()), file

"""Digests of loaded code: an edit that does something counts, a comment, a docstring or a line more does not."""

import sys
import textwrap
import types
from collections.abc import Iterator

import pytest

from relusparsity import loaded

NAME = "relusparsity._made_up"
CODE = '''
"""A module."""
import re
from relusparsity.errors import UserError

LIMIT = 3
WORDS = {"b", "a"}
PATTERN = re.compile("x+")

def add(a, b=1):
    """Adds."""
    return a + b

class Box:
    """Holds."""
    size = 4

    @property
    def double(self):
        return 2 * self.size

    @staticmethod
    def lazily():
        from relusparsity import metrics
        return metrics
'''


@pytest.fixture
def digest() -> Iterator[object]:
    def made(*edits: tuple[str, str]) -> str:
        source = CODE
        for old, new in edits:
            assert old in source
            source = source.replace(old, new)
        module = types.ModuleType(NAME)
        module.__package__ = "relusparsity"
        sys.modules[NAME] = module
        exec(compile(textwrap.dedent(source), "made_up.py", "exec"), module.__dict__)
        return loaded.code("_made_up")

    yield made
    sys.modules.pop(NAME, None)


@pytest.mark.parametrize(
    "edit",
    [
        ("LIMIT = 3", "# a limit\nLIMIT = 3"),
        ('"""Adds."""', '"""Adds two numbers."""'),
        ('"""A module."""', '"""Another word."""'),
        ("return a + b", "# sums\n\n    return a + b"),
        ('{"b", "a"}', '{"a", "b"}'),
        ('"""Holds."""', '"""Holds something."""'),
    ],
)
def test_words_do_not_count(digest, edit: tuple[str, str]) -> None:  # type: ignore[no-untyped-def]
    assert digest(edit) == digest()


@pytest.mark.parametrize(
    "edit",
    [
        ("LIMIT = 3", "LIMIT = 4"),
        ("b=1", "b=2"),
        ("a + b", "a - b"),
        ("return a + b", "return a + b + 0"),
        ("2 * self", "3 * self"),
        ("size = 4", "size = 5"),
        ('"x+"', '"x*"'),
        ('{"b", "a"}', '{"b", "c"}'),
        ("import metrics\n        return metrics", "import claims\n        return claims"),
    ],
)
def test_what_does_something_counts(digest, edit: tuple[str, str]) -> None:  # type: ignore[no-untyped-def]
    assert digest(edit) != digest()


def test_what_is_imported_counts_inside_functions_too(digest, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    from relusparsity import metrics

    before = digest()
    monkeypatch.setattr(metrics, "PERCENTILES", (*metrics.PERCENTILES, 42))
    assert digest() != before


def test_an_instrument_does_not_rest_on_drawing() -> None:
    reached = {name for name in sys.modules if name.startswith("relusparsity.plots")}
    from relusparsity import plots

    before = loaded.code("train")
    plots.something_new = 3  # type: ignore[attr-defined]
    try:
        assert loaded.code("train") == before, reached
    finally:
        del plots.something_new

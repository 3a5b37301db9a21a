"""Digests of loaded code: an edit that does something counts, a comment, a docstring or a line more does not."""

import dataclasses
import sys
import textwrap
import types
from collections.abc import Iterator

import pytest

from relusparsity.store import loaded

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
        from relusparsity.counting import metrics
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
    from relusparsity.counting import metrics

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


PAIRS = {
    "an alias": (
        "from relusparsity.counting.metrics import fires as f",
        "from relusparsity.counting.metrics import unit_counts as f",
    ),
    "a function of another package": ("import numpy as np\nSTAT = np.mean", "import numpy as np\nSTAT = np.median"),
    "partial": ("import functools\ndef h(x, k): ...\ng = functools.partial(h, k=1)", "k=2"),
    "a dict of functions": ("T = {'a': lambda x: x + 1}", "x + 2"),
    "what is closed over": ("def make(k):\n def f(x): return x * k\n return f\ng = make(1)", "make(2)"),
    "what a decorator was given": (
        "import functools\ndef scaled(k):\n def d(f):\n  @functools.wraps(f)\n  def w(x): return f(x) * k\n  return w\n"
        " return d\n@scaled(1)\ndef g(x): return x",
        "@scaled(2)",
    ),
    "a context as decorator": (
        "from contextlib import contextmanager\n@contextmanager\ndef c(k):\n yield\n@c('ieee')\ndef g(x): return x",
        "@c('tf32')",
    ),
    "an array": ("import numpy as np\nA = np.array([1, 2])", "[1, 3]"),
    "a range": ("A = range(3)", "range(4)"),
    "a slice": ("A = slice(3)", "slice(4)"),
    "a pattern of bytes": ("import re\nA = re.compile(b'a')", "(b'b')"),
    "bytes": ("def g(x): return x == b'a'", "b'b'"),
    "flags": ("import re\nA = re.compile('a')", "('a', re.I)"),
    "a default that is a function": ("def g(x, k=lambda v: v + 1): return k(x)", "v + 2"),
    "a base": ("class A:\n f = 1\nclass B:\n f = 2\nclass C(A): ...", "class C(B)"),
    "a dataclass's default": ("from dataclasses import dataclass\n@dataclass\nclass C:\n k: int = 1", "int = 2"),
    "an instance": ("class A:\n def __init__(s, k): s.k = k\nI = A(1)", "A(2)"),
    "a constant in a comprehension": ("def g(x): return [v * 2 for v in x]", "v * 3"),
}


@pytest.mark.parametrize("name", PAIRS)
def test_edits_of_every_kind_count(name: str) -> None:
    before, new = PAIRS[name]
    whole = {"an alias": new, "a function of another package": new}.get(name)
    old = {
        "partial": "k=1", "a dict of functions": "x + 1", "what is closed over": "make(1)", "an array": "[1, 2]",
        "what a decorator was given": "@scaled(1)", "a context as decorator": "@c('ieee')", "a range": "range(3)",
        "a slice": "slice(3)", "a pattern of bytes": "(b'a')",
        "bytes": "b'a'", "flags": "('a')", "a default that is a function": "v + 1", "a base": "class C(A)",
        "a dataclass's default": "int = 1", "an instance": "A(1)", "a constant in a comprehension": "v * 2",
    }.get(name, "")  # fmt: skip
    after = whole or before.replace(old, new)
    assert after != before and _digest_of(before) != _digest_of(after)
    assert _digest_of(before) == _digest_of("# a comment\n" + before)


def _digest_of(source: str) -> str:
    module = types.ModuleType(NAME)
    module.__package__ = "relusparsity"
    sys.modules[NAME] = module
    try:
        exec(compile(source, "made_up.py", "exec"), module.__dict__)
        return loaded.code("_made_up")
    finally:
        del sys.modules[NAME]


@pytest.mark.parametrize("inside", ["[metrics for _ in x]", "(lambda: metrics)()", "{metrics: 1 for _ in x}"])
def test_modules_used_inside_inner_functions_are_reached(inside: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from relusparsity.counting import metrics

    source = f"from relusparsity.counting import metrics\ndef g(x):\n return {inside}"
    before = _digest_of(source)
    monkeypatch.setattr(metrics, "PERCENTILES", (*metrics.PERCENTILES, 42))
    assert _digest_of(source) != before


def test_what_a_process_has_kept_is_no_code() -> None:
    from relusparsity import corpora

    before = loaded.code("corpora")
    corpora._loaded["made up"] = 1  # type: ignore[index]
    try:
        assert loaded.code("corpora") == before
    finally:
        del corpora._loaded["made up"]  # type: ignore[arg-type]


def test_a_row_of_a_table_and_prose_renew_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from relusparsity import recipes, shapes
    from relusparsity.claims import ledger
    from relusparsity.experiments import shared
    from relusparsity.store import renamed

    names = ("chapters.ch03_neuron_death.experiment", "experiments.sweeps", "experiments.layer_patterns")
    before = [loaded.code(name) for name in names]
    first = recipes.RECIPES["first"]
    monkeypatch.setitem(recipes.RECIPES, "first", dataclasses.replace(first, why="Said otherwise."))
    monkeypatch.setitem(recipes.RECIPES, "another", first)
    monkeypatch.setitem(shapes.SHAPES, "another", shapes.SHAPES["smoke"])
    monkeypatch.setitem(renamed.RUNS, "0" * 16, "1" * 16)
    monkeypatch.setattr(ledger, "LEDGER", ledger.LEDGER[1:])
    assert [loaded.code(name) for name in names] == before
    monkeypatch.setattr(shared, "WORTH_A_PROCESS", 1.0)
    assert all(loaded.code(name) != old for name, old in zip(names, before, strict=True)), "what they do counts"

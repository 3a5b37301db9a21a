"""What README and the front pages show of the data, written from the recorded datasets so that it cannot drift."""

import re
from collections.abc import Mapping
from pathlib import Path

import xarray as xr

from .. import claims, plots
from ..chapters.ch19_specialised_heads import rows as heads
from ..experiments import attribution, dissociation, first_gradient, lazy_rows, outlier_row, sealing
from ..plots.explorable import MID, explorable
from ..recipes import FROZEN, RECIPES
from ..store import results, sealed
from . import findings, scoreboard

FIGURE = "book/images/batch_use.png"
MARKED = re.compile(r"(<!-- (\w+): written by make record -->\n).*?(\n<!-- /\2 -->)", re.DOTALL)
"""A block that is written from the data: its marks and name."""


def recorded(recipes: Mapping[str, str] = FROZEN) -> dict[tuple[str, str], xr.Dataset]:
    """The committed datasets of the ledger by (experiment, shape), each by the recipe named for its shape."""
    names = [path.stem.split("-") for path in sorted(results.data_dir().glob("*.nc"))]
    kept = [(name[0], name[1], name[2]) for name in names if name[2:] == [recipes.get(name[1])]]
    return {name[:2]: results.recorded(*name) for name in kept}


def outcomes() -> list[claims.Outcome]:
    """What the ledger says of every frozen recipe: first those that the shapes are shown with, then the others."""
    found = claims.evaluate(recorded())
    for name in (name for name, recipe in RECIPES.items() if recipe.frozen):
        others = {shape: name for shape, shown in FROZEN.items() if shown != name}
        found += [o for o in claims.evaluate(recorded(others)) if o.verdict and o.readings]
    return found


def blocks() -> dict[str, str]:
    """Name → what stands between a block's marks: Markdown, or HTML."""
    judged = outcomes()
    every = [results.load(path) for path in sorted(results.data_dir().glob("*.nc"))]
    counts, pruned = claims.multiverse(every), results.recorded("pruning", "wide")
    halves = [results.recorded(name, "mid") for name in ("factorial", "other_half")]
    short, shown = claims.table(judged), [o for o in judged if _searched(o)]
    told = scoreboard.known()
    read = {"mid": ("dissociation", "attribution", "sealing", "outliers"), "fashion": ("lazy_pictures",)}
    read |= {"laptop": ("first_gradient", "first_gradient_by_layer", "real_heads", "induction_birth")}
    read |= {"spans": ("lazy_text_rates",)}
    decided = {(name, at): results.recorded(name, at) for at, of in read.items() for name in of}
    rules: dict[str, claims.Rule] = {}
    for each in (dissociation, attribution, outlier_row, sealing, lazy_rows, first_gradient, heads):
        rules |= each.RULES
    of_added = claims.evaluate(decided, rows=claims.ADDED, rules=rules)
    return {
        "findings": findings.findings(judged, [claims.ends(every, letter) for letter in "PS"], halves, pruned),
        "claims": f"{short.markdown()}\n\n{short.caption()}.",
        "strip": claims.strip(shown),
        "explorable": explorable(halves, MID),
        "ledger": claims.table(judged, counts, origins=True)._repr_html_(),
        "added": claims.table(of_added, origins=True)._repr_html_(),
        "scoreboard": scoreboard.markdown(told),
        "kept": scoreboard.summary(told, judged),
        "failed": scoreboard.failed([*shown, *of_added]),
        "example": findings.example(results.recorded("layer_patterns", "wide")),
    }


def _searched(outcome: claims.Outcome) -> bool:
    recipe = RECIPES.get(outcome.recipe.partition(":")[0])
    return recipe is not None and recipe.frozen is not None


def pages(root: Path) -> list[Path]:
    """README and the pages of the book that have a block."""
    there = [root / "README.md", *sorted((root / "book").glob("*.md"))]
    return [page for page in there if MARKED.search(page.read_text())]


def filled(page: str, texts: Mapping[str, str]) -> str:
    """A page's text with each block's text between its marks.

    Raises
    ------
    ValueError
        If a block has no such text.
    """

    def block(found: re.Match[str]) -> str:
        begin, name, end = found.groups()
        if name not in texts:
            raise ValueError(f"there is no block {name!r}; there are {', '.join(texts)}")
        return f"{begin}\n{texts[name]}\n{end}"

    return MARKED.sub(block, page)


def write(root: Path) -> None:
    """Write every block, and the first figure of the recorded datasets, where the front pages show them."""
    texts = blocks()
    for page in pages(root):
        with sealed.atomic_write(page) as temporary:
            temporary.write_text(filled(page.read_text(), texts))
    with sealed.atomic_write(root / FIGURE) as temporary:
        temporary.write_bytes(plots.batch_use(results.recorded("layer_patterns", "wide")).png)

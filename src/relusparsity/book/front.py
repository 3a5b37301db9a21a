"""What README and index show of the data, written from the recorded datasets so that it cannot drift from them."""

from pathlib import Path

import xarray as xr

from .. import claims, plots
from ..recipes import FROZEN
from ..store import results, sealed

BEGIN, END = "<!-- claims: written by make record -->", "<!-- /claims -->"
PAGES = ("README.md", "book/index.md")
FIGURE = "book/images/batch_use.png"


def recorded() -> dict[tuple[str, str], xr.Dataset]:
    """The committed datasets of the ledger by (experiment, shape), each by the recipe that the shape is shown with."""
    names = [path.stem.split("-") for path in sorted(results.data_dir().glob("*.nc"))]
    kept = [(name[0], name[1]) for name in names if name[2:] == [FROZEN.get(name[1])]]
    return {name: results.recorded(*name) for name in kept}


def markdown() -> str:
    """The whole ledger as a Markdown table, with its hash."""
    table = claims.table(claims.evaluate(recorded()))
    version = claims.LEDGER[0]
    return f"{table.markdown()}\n\nLedger version {version.version} of {version.date}, sha256 `{claims.ledger_hash()}`."


def filled(page: str, table: str) -> str:
    """A page's text with the table between its two marks.

    Raises
    ------
    ValueError
        If the page lacks the marks.
    """
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"expected the marks {BEGIN} and {END} in the page")
    return f"{head}{BEGIN}\n\n{table}\n\n{END}{tail}"


def write(root: Path) -> None:
    """Put the ledger's table and the first figure of the recorded datasets where the front pages show them."""
    table = markdown()
    for name in PAGES:
        with sealed.atomic_write(root / name) as temporary:
            temporary.write_text(filled((root / name).read_text(), table))
    with sealed.atomic_write(root / FIGURE) as temporary:
        temporary.write_bytes(plots.batch_use(results.recorded("layer_patterns", "wide")).png)

"""What the executed chapters show of recorded data: the same numbers, whatever things are called.

Words may change, numbers change only where data or a chapter's tables and figures were meant to:
`python tests/test_chapter_numbers.py` then keeps the new ones.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

CHAPTERS = Path(__file__).parents[1] / "book" / "chapters"
KEPT = Path(__file__).with_name("chapter_numbers.json")
NUMBER = re.compile(r"[-−]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")


def shown(output: dict[str, Any]) -> str:
    """The words and numbers of an output: text, tables and the data of a figure, but not its picture."""
    parts = ["".join(output.get("text", ""))]
    for kind, value in output.get("data", {}).items():
        if not kind.startswith("image/"):
            parts.append(json.dumps(value) if isinstance(value, dict) else "".join(value))
    return "\n".join(parts)


def numbers(chapter: Path) -> list[str]:
    """All numbers of a chapter's outputs from recorded data, sorted; what its machine computed is left out."""
    cells = json.loads(chapter.read_text())["cells"]
    recorded = (cell for cell in cells if "nbval-ignore-output" not in cell["metadata"].get("tags", []))
    outputs = [shown(output) for cell in recorded for output in cell.get("outputs", [])]
    return sorted(NUMBER.findall("\n".join(outputs)))


def digest(chapter: Path) -> list[Any]:
    found = numbers(chapter)
    return [len(found), hashlib.sha256(" ".join(found).encode()).hexdigest()]


@pytest.mark.parametrize("chapter", json.loads(KEPT.read_text()))
def test_recorded_numbers_are_those_of_before(chapter: str) -> None:
    """Of the chapters that are kept: a new one has no numbers of before."""
    kept, now = json.loads(KEPT.read_text())[chapter], digest(CHAPTERS / f"{chapter}.ipynb")
    assert now == kept, f"{chapter} shows other numbers of recorded data: see `git diff`"


if __name__ == "__main__":
    KEPT.write_text(json.dumps({path.stem: digest(path) for path in sorted(CHAPTERS.glob("*.ipynb"))}, indent=1) + "\n")

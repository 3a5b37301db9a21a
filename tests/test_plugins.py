"""Fixtures that files of tests share: a plugin of one is a plugin of all, so that their names must differ."""

import ast
from collections import defaultdict
from pathlib import Path

TESTS = Path(__file__).parent


def shared() -> set[str]:
    """Modules that some file of tests names as its plugins."""
    found: set[str] = set()
    for file in TESTS.glob("test_*.py"):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytest_plugins":
                found.update(ast.literal_eval(node.value))
    return found


def fixtures(file: Path) -> list[str]:
    return [
        node.name
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef) and any("fixture" in ast.unparse(each) for each in node.decorator_list)
    ]


def test_no_two_plugins_have_a_fixture_of_one_name() -> None:
    """Of two, a test would get that of the plugin that was loaded last, whatever its own file names."""
    where: dict[str, list[str]] = defaultdict(list)
    files = [*(TESTS / f"{name}.py" for name in sorted(shared())), TESTS.parent / "conftest.py"]
    for file in files:
        for name in fixtures(file):
            where[name].append(file.name)
    assert len(where) > len(files) and {name: of for name, of in where.items() if len(of) > 1} == {}

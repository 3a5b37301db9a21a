"""What makes ``papermill notebooks/03_neuron_death.py`` work.

Papermill reads ``.ipynb`` only and asks for an output path; with a pipe on stdin it takes the only path given as
the *output* and overwrites it. Two documented doors are used to mend that, and nothing of papermill is replaced:

- :class:`JupytextHandler` is registered (entry point ``papermill.io``) for paths that begin with ``jupytext:``. It
  reads percent scripts and writes notebooks that are byte for byte the same for the same outputs.
- Papermill loads that entry point before it reads its command line, so this module then completes the command line:
  ``X.py`` becomes ``jupytext:X.py jupytext:_build/notebooks/X.ipynb``.

From Python: ``papermill.execute_notebook("jupytext:notebooks/03_neuron_death.py", "jupytext:out.ipynb")``.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import sys
import warnings
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import click
import jupytext
import nbformat
from nbformat import NotebookNode

SCHEME = "jupytext:"
PARAMETERS = {"-p", "-r", "-f", "-y", "-b", "--parameters", "--parameters_raw", "--parameters_file"}
PARAMETERS |= {"--parameters_yaml", "--parameters_base64"}
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


@cache
def options() -> dict[str, int]:
    """papermill's options by the number of values that they take, from its own source.

    Its module cannot be imported here: it needs the rest of papermill, which is still loading while it loads this one.
    """
    spec = find_spec("papermill.cli")
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8")) if spec and spec.origin else ast.Module([], [])
    found: dict[str, int] = {}
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "click.option":
            names = [ast.literal_eval(name) for name in call.args]
            said = {word.arg: word.value for word in call.keywords}
            if "is_flag" not in said and "/" not in names[0]:  # --yes/--no
                found |= dict.fromkeys(names, ast.literal_eval(said.get("nargs", ast.Constant(1))))
    return found


def stop(message: str) -> NoReturn:
    """End the program with one sentence and the exit code of a usage error."""
    print(f"papermill: {message}", file=sys.stderr)
    raise SystemExit(2)


def complete(arguments: list[str]) -> list[str]:
    """Complete a papermill command line whose notebook is a ``.py`` file; leave any other as it is.

    The executed notebook goes to ``_build/notebooks/`` of the project, in a folder named after the parameters if some
    are given, so that a run with other parameters does not replace the usual one.
    """
    places, given = split(arguments)
    paths = [arguments[place] for place in places]
    if len(paths) > 1 and paths[1].endswith(".py"):
        stop(f"the output {paths[1]} is a source file; give a path that ends in .ipynb, or none")
    if not paths or not paths[0].endswith(".py"):
        return arguments
    source = Path(paths[0]).absolute()
    if not source.is_file():
        known = sorted(path.name for path in source.parent.glob("*.py"))
        stop(f"there is no notebook {paths[0]}" + (f"; that folder has {', '.join(known)}" if known else ""))
    completed = list(arguments)
    completed[places[0]] = f"{SCHEME}{source}"
    if len(paths) == 1:
        completed.insert(places[0] + 1, f"{SCHEME}{default_output(source, given)}")
    elif paths[1] == "-":
        completed[places[1]] = f"{SCHEME}-"
    elif not paths[1].endswith(".ipynb"):
        stop(f"the output {paths[1]} is not a notebook; give a path that ends in .ipynb, or none")
    elif "://" not in paths[1]:
        target = Path(paths[1]).absolute()
        if not target.parent.is_dir():
            stop(f"there is no folder {target.parent} for the output {paths[1]}; make it first")
        completed[places[1]] = f"{SCHEME}{target}"
    return completed


def split(arguments: list[str]) -> tuple[list[int], list[str]]:
    """Find the places of the paths in a papermill command line, and the parameters as ``name=value``."""
    places: list[int] = []
    given: list[str] = []
    at, only_paths = 0, False
    while at < len(arguments):
        argument = arguments[at]
        at += 1
        if only_paths or argument == "-" or not argument.startswith("-"):
            places.append(at - 1)
        elif argument == "--":
            only_paths = True
        elif argument == "--prepare-only":
            given.append("prepared")
        else:
            name, values = read_option(argument)
            following = at + options().get(name, 0) - len(values)
            values += arguments[at:following]
            at = max(at, following)
            if name in PARAMETERS:
                given.append("=".join(values))
    return places, given


def read_option(argument: str) -> tuple[str, list[str]]:
    """Name of an option, and the value joined to it: --name=value, -nvalue, or after letters without one, as -hnvalue.

    Examples
    --------
    >>> read_option("--kernel=python3"), read_option("-kpython3"), read_option("-k")
    (('--kernel', ['python3']), ('-k', ['python3']), ('-k', []))
    """
    if argument.startswith("--"):
        name, equals, value = argument.partition("=")
        return name, [value] if equals else []
    for place, letter in enumerate(argument[1:], 2):
        if options().get(f"-{letter}"):
            return f"-{letter}", [argument[place:]] if argument[place:] else []
    return argument, []


def default_output(source: Path, given: list[str]) -> Path:
    """Where the executed copy of a source goes when the command line does not say: an ignored place."""
    root = next((folder for folder in source.parents if (folder / "_config.yml").is_file()), source.parent)
    label = re.sub(r"[^\w.=,-]+", "-", ",".join(sorted(given)))
    if len(label) > 80:
        label = f"{label[:60]}-{hashlib.sha256(label.encode()).hexdigest()[:12]}"
    return root / "_build" / "notebooks" / label / f"{source.stem}.ipynb"


class JupytextHandler:
    """Papermill's reader and writer of ``jupytext:`` paths."""

    printed = ""  # what went to stdout last

    @staticmethod
    def read(path: str) -> str:
        """Read a percent script (or a notebook) as the JSON text of a notebook."""
        notebook = jupytext.read(locate(path))
        notebook.metadata["kernelspec"] = dict(KERNEL)
        notebook.metadata["language_info"] = {"name": "python"}
        return nbformat.writes(notebook)

    @staticmethod
    def write(buffer: str, path: str) -> None:
        """Write a notebook; until it has run to its end without an error, only beside its place."""
        notebook = nbformat.reads(buffer, as_version=4)
        check_parameters(notebook)
        done = finished(notebook)
        text = nbformat.writes(normalised(notebook)) + "\n"
        if path.removeprefix(SCHEME) == "-":
            if done and text != JupytextHandler.printed:  # papermill writes the finished notebook twice
                sys.stdout.write(text)
                JupytextHandler.printed = text
            return
        target = locate(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_suffix(".unfinished.ipynb")
        aside.write_text(text, encoding="utf-8")
        if done:
            os.replace(aside, target)
        elif "papermill-error-cell-tag" in notebook.cells[0].metadata.get("tags", []):
            print(f"papermill: the failed run is kept in {aside}; {target} is as it was", file=sys.stderr)

    @staticmethod
    def listdir(path: str) -> list[str]:
        """List the files of a folder, in papermill's terms."""
        return [f"{SCHEME}{file}" for file in sorted(locate(path).iterdir())]

    @staticmethod
    def pretty_path(path: str) -> str:
        """Name a file as a user would."""
        return path.removeprefix(SCHEME)


def locate(path: str) -> Path:
    """Turn a ``jupytext:`` path into a file's, relative to where papermill was started, whatever its ``--cwd``."""
    from papermill.iorw import papermill_io  # not before: papermill loads this module while it loads its own

    local = papermill_io.get_handler("local")
    folder = local.cwd(None)
    local.cwd(folder)
    return Path(folder or ".", path.removeprefix(SCHEME))


def check_parameters(notebook: NotebookNode) -> None:
    """Refuse parameters that the notebook does not have; papermill itself would only warn.

    Raises
    ------
    click.UsageError
        Names the unknown parameters and those that exist.
    """
    tagged = [cell.source for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    tree = ast.parse("\n".join(tagged))
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    known = sorted(set(names))
    given = notebook.metadata.get("papermill", {}).get("parameters", {})
    unknown = sorted(set(given) - set(known) - {"PAPERMILL_INPUT_PATH", "PAPERMILL_OUTPUT_PATH"})
    if unknown:
        raise click.UsageError(
            f"the notebook has no parameter {', '.join(unknown)}; it has: {', '.join(known) or 'none'}"
        )


def finished(notebook: NotebookNode) -> bool:
    """Whether a notebook ran to its end without an error (or was only prepared, not to be run)."""
    run = notebook.metadata.get("papermill", {})
    if run.get("exception") or ("start_time" in run and not run.get("end_time")):
        return False
    return not any(output.output_type == "error" for cell in notebook.cells for output in cell.get("outputs", []))


def normalised(notebook: NotebookNode) -> NotebookNode:
    """Drop what differs from run to run (ids, times, paths, versions), so that equal outputs are equal bytes."""
    run = notebook.metadata.pop("papermill", {})
    notebook.metadata.pop("jupytext", None)
    if run.get("parameters"):
        notebook.metadata["papermill"] = {"parameters": run["parameters"]}
    language = notebook.metadata.get("language_info", {})
    for key in ("version", "codemirror_mode", "nbconvert_exporter", "pygments_lexer", "mimetype"):
        language.pop(key, None)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if not cell.metadata.get("tags"):
            cell.metadata.pop("tags", None)
        if cell.cell_type == "code":
            cell.outputs = merged(cell.outputs)
    return notebook


def merged(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Join neighbouring pieces of one stream: where they are cut depends on timing."""
    joined: list[NotebookNode] = []
    for output in outputs:
        last = joined[-1] if joined else None
        if last and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            joined.append(output)
    return joined


def is_papermill() -> bool:
    """Whether this process is the papermill program, not a library user of it."""
    if sys.argv[0] == "-m":  # `python -m papermill`, while the package is still loading
        return ("-m", "papermill") in zip(sys.orig_argv, sys.orig_argv[1:], strict=False)
    return Path(sys.argv[0]).stem == "papermill"


if sys.argv and is_papermill():
    warnings.filterwarnings("ignore", r"(?s)the .*file .*jupytext:")  # papermill expects paths to end in .ipynb
    sys.argv[1:] = complete(sys.argv[1:])

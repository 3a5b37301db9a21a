"""The runs on this machine: found by their ids, listed, described and removed."""

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from ..checks import in_words
from ..errors import UserError
from . import renamed, results, sealed


def _entries() -> list[Path]:
    """What lies in the directory of runs."""
    folder = results.runs_dir()
    with sealed.told(folder, "read", "name another with RELUSPARSITY_RUNS"):
        return [folder / name for name in sorted(os.listdir(folder))] if folder.exists() else []


def run_paths() -> list[Path]:
    """Directories of all runs on this machine, newest last."""
    found = [path for path in _entries() if sealed.RUN.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=lambda path: path.stat().st_mtime)


def find(start: str) -> Path:
    """The one run whose id starts so, or that a recorded dataset knows by this id.

    Raises
    ------
    UserError
        If it is no start of an id, or there is no such run, or more than one.
    """
    typed, given, folder = start, Path(start), results.runs_dir()
    start = given.name.removeprefix("run-")
    if not re.fullmatch("[0-9a-f]{1,16}", start):
        raise UserError(f"{typed!r} names no run; give the start of an id, 1 to 16 of the digits 0-9 and a-f.")
    with sealed.told(given, "found", "give the start of an id"):
        if given.parent != Path() and given.parent.resolve() != folder.resolve():
            raise UserError(f"{given} does not lie in {folder}; give the start of an id, or set RELUSPARSITY_RUNS.")
    found = [path for path in run_paths() if path.name.startswith(f"run-{start}")]
    found = found or [path for path in run_paths() if path.name == f"run-{renamed.run(start)}"]
    if len(found) != 1:
        names = ", ".join(path.name[4:] for path in found or run_paths()) or "none"
        raise UserError(
            f"{len(found) or 'no'} runs in {folder} have an id that starts with {start!r}; "
            f"give the start of exactly one of: {names}."
        )
    return found[0]


def configuration(path: Path) -> dict[str, Any]:
    """The configuration of a run; of one that has ended, what its dataset says, if config.json says the same.

    Raises
    ------
    UserError
        Naming the file that is lost, damaged or edited.
    """
    if state_of(path) == "unfinished":
        config: dict[str, Any] = sealed.read_json(path / "config.json", f"delete the folder {path} to train again")
        return config
    return _own(path, results.provenance(_dataset(path)))


def _own(path: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """The configuration in the provenance of a run's dataset, once it is sure that it is this run's."""
    file, advice = path / "config.json", f"delete the folder {path} to train again"
    if sealed.RUN.fullmatch(path.name) and facts.get("run_id") != renamed.run(path.name[4:]):
        raise UserError(f"{path} holds the dataset of the run {facts.get('run_id')}; {advice}.")
    with sealed.told(file, "read", advice):
        told = file.read_bytes()
    if told.decode(errors="replace") != sealed.as_json(facts["config"]):
        raise UserError(f"{file} is damaged or edited: it says otherwise than the run's dataset; {advice}.")
    config: dict[str, Any] = facts["config"]
    return config


def listing() -> str:
    """All runs as a table, newest last; after it, a sentence for each that is damaged."""
    rows: list[tuple[str, ...]] = [
        ("id", "state", "layers", "d_model", "d_ff", "activation", "tokens", "seed", "held-out loss")
    ]
    damaged = []
    for path in run_paths():
        try:
            state = state_of(path)
            if state == "unfinished" and not (path / "config.json").exists():
                continue  # begun and killed before its first step
            data = None if state == "unfinished" else _dataset(path)
            config = configuration(path) if data is None else _own(path, results.provenance(data))
            loss = f"{float(data['final_loss']):.3f}" if data is not None and "final_loss" in data else ""
        except UserError as error:
            rows.append((path.name[4:], "damaged", *[""] * (len(rows[0]) - 2)))
            damaged.append(f"damaged: {error}")
            continue
        model = config["model"]
        layers = sum(number for name, number in model.items() if name.endswith("_layers"))  # n_layers, or of each stack
        shape = [str(layers), *(str(model[name]).strip("[]") for name in ("d_model", "d_ff", "activation"))]
        tokens, seed = f"{config['train']['tokens']:,}", str(config["seed"])
        rows.append((path.name[4:], state, *shape, tokens, seed, loss))
    if len(rows) == 1:
        return f"no runs in {results.runs_dir()}; make one with: train --scale smoke"
    return "\n".join([_table(rows), *damaged])


def summary(path: Path) -> str:
    """One run: its shape, its losses and the use of every layer."""
    state = state_of(path)
    if state == "unfinished":
        raise UserError(f"{path} is not finished; train it again with the same options to finish it.")
    data = _dataset(path)
    facts = results.provenance(data)
    d_ff, read = _own(path, facts)["model"]["d_ff"], facts["corpus"]
    items = next(items for items in ("tokens", "pictures") if f"train_{items}" in read)
    lines = [
        f"run            {facts['run_id']} ({state})",
        f"directory      {path}",
        f"corpus         {read['name']}, {read[f'train_{items}']:,} training {items}",
        f"model          {facts['parameters']:,} parameters; {facts['config']['model']['activation']}",
        f"trained on     {facts['tokens_seen']:,} tokens in {facts['wall_seconds']:,.0f} s on "
        f"{facts['environment']['device']}",
    ]
    if state == "stopped":
        why = data.attrs["stopped"] if "screen" in data.attrs else "the loss was not finite"
        lines.append(f"stopped        after step {data.attrs['stopped_after_step']}: {why.partition(': ')[2] or why}")
        return "\n".join([*lines, *_damage(path)])
    bits = f"{float(data['final_bits_per_byte']):.3f} bits/byte, " if "final_bits_per_byte" in data else ""
    lines += [
        f"held-out       {float(data['final_loss']):.3f} nats/{items[:-1]}, {bits}"
        f"{100 * float(data['final_accuracy']):.1f} % of {items} predicted first",
        "",
        f"units that fire, % of {in_words(d_ff)} a layer:",
    ]
    sizes = (facts["config"]["measure"]["set_tokens"], data.attrs["final_sample_tokens"])
    names, samples = data["layer"].values, [f"in {tokens:,} tokens" for tokens in sizes]
    if "layer_name" in data:  # of stacks, whose sequences have unlike numbers of tokens
        names, seq_len = data["layer_name"].values, facts["config"]["model"]["seq_len"]
        samples = [f"in {tokens // seq_len:,} sequences" for tokens in sizes]
    columns = {
        "at a token": data["final_token_use"],
        "in a sequence": data["final_sequence_use"],
        samples[0]: data["final_batch_use"].mean("set"),
        samples[1]: (data["final_firing_count"] > 0).sum("unit") / np.array(d_ff),
    }
    rows: list[tuple[str, ...]] = [("layer", *columns)]
    rows += [(str(name), *(f"{100 * float(use[i]):.1f}" for use in columns.values())) for i, name in enumerate(names)]
    return "\n".join([*lines, _table(rows), *_damage(path)])


def _damage(path: Path) -> Iterator[str]:
    """A sentence for each sealed file of a run that is not as it was written."""
    for seal in sorted(path.rglob("[!.]*.sha256")):
        try:
            sealed.check(seal.with_suffix(""), f"delete the folder {path} to train again")
        except UserError as error:
            yield f"damaged        {error}"


def state_of(path: Path) -> str:
    """finished, stopped (its loss was not finite, or a screen stopped it) or unfinished."""
    with sealed.told(path, "read", sealed.READABLE):
        if (path / "dataset.nc").is_file():
            return "finished"
        return "stopped" if (path / "stopped.nc").is_file() else "unfinished"


def is_screened(path: Path) -> bool:
    """Whether a run that stopped was stopped by a screen; one whose loss was not finite was not."""
    return "screen" in _dataset(path).attrs


def last_state(path: Path) -> int | None:
    """Step of the newest whole state that an unfinished run resumes from; None if it begins again."""
    return max(sealed.numbered(path / "states"), default=None)


def outlook(path: Path, resume_every: int) -> str:
    """What the same command does with a run that was interrupted."""
    if state_of(path) == "finished":
        return "the run is finished, the same command reuses it"
    step = last_state(path)
    if step is not None:
        return f"the last whole state is of step {step:,}, the same command resumes from it"
    why = "no state was kept yet" if resume_every else "no state was kept (resume_every = 0)"
    return f"{why}, the same command begins again"


def _dataset(path: Path) -> Any:
    return results.load(path / ("stopped.nc" if state_of(path) == "stopped" else "dataset.nc"))


def removable(names: Iterable[str], corpora: bool) -> list[Path]:
    """The named runs, each once; without names all runs and the experiments' datasets; the tokenised text if asked for.

    A link is removed itself, never what it points to.
    """
    tokens = results.runs_dir() / "corpora"
    chosen = list(dict.fromkeys(map(find, names)))
    if not names:
        links = [path for path in _entries() if sealed.RUN.fullmatch(path.name) and path.is_symlink()]
        chosen = list(dict.fromkeys([*run_paths(), *links, *datasets()]))
    return chosen + ([tokens] if corpora and (tokens.is_dir() or tokens.is_symlink()) else [])


def datasets() -> list[Path]:
    """The experiments' datasets on this machine, with their checksums."""
    named = [path for path in _entries() if re.search(r"-[0-9a-f]{16}\.(nc|nc\.sha256)$", path.name)]
    return [path for path in named if path.is_symlink() or path.is_file()]


def size(path: Path) -> str:
    """What a file or folder takes on the disk; of a link, that it is one."""
    if path.is_symlink():
        return "link"
    files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    return f"{sum(p.lstat().st_size for p in files) / 1e6:.1f} MB"


def remove(path: Path) -> None:
    """Remove a file, a link (not what it points to) or a run's directory.

    Raises
    ------
    UserError
        If the run is being trained, or the disk does not let it go.
    """
    with sealed.told(path, "removed", "see to its permissions and its disk"):
        if path.is_symlink() or not path.is_dir():
            path.unlink()
            return
        try:
            with FileLock(path / "lock", timeout=0):
                shutil.rmtree(path)
        except Timeout:
            raise UserError(f"{path} is being trained right now; stop that first, or wait for its end.") from None


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows)

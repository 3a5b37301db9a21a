"""The runs on this machine: found by their ids, listed, described and removed."""

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from . import results
from .errors import UserError


def run_paths() -> list[Path]:
    """Directories of all runs on this machine, newest last."""
    found = [p for p in results.runs_dir().glob("run-*") if re.fullmatch("run-[0-9a-f]{16}", p.name) and p.is_dir()]
    return sorted(found, key=lambda path: path.stat().st_mtime)


def find(start: str) -> Path:
    """The one run whose id starts so.

    Raises
    ------
    UserError
        If there is none, or more than one.
    """
    start = Path(start).name.removeprefix("run-")
    found = [path for path in run_paths() if path.name.startswith(f"run-{start}")]
    if len(found) != 1:
        names = ", ".join(path.name[4:] for path in found or run_paths()) or "none"
        raise UserError(
            f"{len(found) or 'no'} runs in {results.runs_dir()} have an id that starts with {start!r}; "
            f"give the start of exactly one of: {names}."
        )
    return found[0]


def listing() -> str:
    """All runs as a table, newest last."""
    rows: list[tuple[str, ...]] = [
        ("id", "state", "layers", "d_model", "d_ff", "activation", "tokens", "seed", "held-out loss")
    ]
    for path in run_paths():
        if not (path / "config.json").is_file():
            continue  # begun and killed before its first step
        config = _read(path / "config.json")
        model, state = config["model"], state_of(path)
        loss = f"{float(_dataset(path)['final_loss']):.3f}" if state == "finished" else ""
        shape = [str(model[name]) for name in ("n_layers", "d_model", "d_ff", "activation")]
        tokens, seed = f"{config['train']['tokens']:,}", str(config["seed"])
        rows.append((path.name[4:], state, *shape, tokens, seed, loss))
    return _table(rows) if len(rows) > 1 else f"no runs in {results.runs_dir()}; make one with: train --scale smoke"


def summary(path: Path) -> str:
    """One run: its shape, its losses and the use of every layer."""
    state = state_of(path)
    if state == "unfinished":
        raise UserError(f"{path} is not finished; train it again with the same options to finish it.")
    data = _dataset(path)
    facts = results.provenance(data)
    lines = [
        f"run            {facts['run_id']} ({state})",
        f"directory      {path}",
        f"corpus         {facts['corpus']['name']}, {facts['corpus']['train_tokens']:,} training tokens",
        f"model          {facts['parameters']:,} parameters; {facts['config']['model']['activation']}",
        f"trained on     {facts['tokens_seen']:,} tokens in {facts['wall_seconds']:,.0f} s on "
        f"{facts['environment']['device']}",
    ]
    if state == "stopped":
        return "\n".join(
            [*lines, f"stopped        after step {data.attrs['stopped_after_step']}: the loss was not finite"]
        )
    lines += [
        f"held-out       {float(data['final_loss']):.3f} nats/token, {float(data['final_bits_per_byte']):.3f} "
        f"bits/byte, {100 * float(data['final_accuracy']):.1f} % of tokens predicted first",
        "",
        f"units that fire, % of {data.attrs['d_ff']:,} a layer:",
    ]
    columns = {
        "at a token": data["final_token_use"],
        "in a sequence": data["final_sequence_use"],
        f"in {facts['config']['measure']['set_tokens']:,} tokens": data["final_batch_use"].mean("set"),
        f"in {data.attrs['final_sample_tokens']:,} tokens": (data["final_firing_count"] > 0).mean("unit"),
    }
    rows: list[tuple[str, ...]] = [("layer", *columns)]
    rows += [(str(i), *(f"{100 * float(use[i]):.1f}" for use in columns.values())) for i in data["layer"].values]
    return "\n".join([*lines, _table(rows)])


def state_of(path: Path) -> str:
    """finished, stopped (its loss was not finite) or unfinished."""
    if (path / "dataset.nc").is_file():
        return "finished"
    return "stopped" if (path / "stopped.nc").is_file() else "unfinished"


def last_state(path: Path) -> int | None:
    """Step of the newest whole state that an unfinished run resumes from; None if it begins again."""
    return max((int(state.name) for state in path.glob("states/[0-9]*")), default=None)


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


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def datasets() -> list[Path]:
    """The experiments' datasets on this machine, with their checksums."""
    found = results.runs_dir().glob("*.nc*")
    return sorted(p for p in found if re.search(r"-[0-9a-f]{16}\.(nc|nc\.sha256)$", p.name))


def size(path: Path) -> str:
    """What a file or folder takes on the disk."""
    files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    return f"{sum(p.stat().st_size for p in files) / 1e6:.1f} MB"


def remove(path: Path) -> None:
    """Remove a file, or a run's directory.

    Raises
    ------
    UserError
        If the run is being trained.
    """
    if not path.is_dir():
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

"""A small training, killed again and again, goes on to the bit.

    python benchmarks/kills.py [--kills 100] [--seed 0]

Half of the kills are at random moments, half at changes of files, of each kind in turn: SIGKILL before a file is
opened, renamed, removed or made safe (fsync), or when half of a write has arrived. Each time the same training is begun
again, and what it ends with is compared with one that nobody disturbed: the log and all weights byte by byte, every
number of the dataset, and that nothing half-written is left. Exit status 1 if anything differs.
"""

import argparse
import faulthandler
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import h5netcdf  # noqa: F401 - imported before the first fork, like the next: all children have it
import torch._dynamo
import xarray as xr
from support import killing, machine
from tqdm import tqdm

from relusparsity import config, scales, train
from relusparsity.store import results, sealed
from relusparsity.train import golden

CHANGES = {"model.n_layers": 2, "train.tokens": 5_120, "train.resume_every": 512, "train.warmup": 512}
CHANGES |= {"measure.points": 4, "measure.final_sets": 2, "corpus.source": "text"}
"""Of scale smoke: 20 steps, a state every 2, 8 measurements, 7 weights."""

MOMENT = "random moment"
TOO_LONG = 120  # seconds, for a training of two


def text(path: Path) -> Path:
    """Made-up words, 500 documents."""
    rng = random.Random(0)
    known = ["".join(rng.choice("bdfgklmnprst") + rng.choice("aeiou") for _ in range(2)) for _ in range(300)]
    documents = (" ".join(rng.choice(known) for _ in range(60)) for _ in range(500))
    path.write_text("".join(json.dumps({"text": document}) + "\n" for document in documents))
    return path


def child(runs: Path, text: Path, kill: float | None = None) -> tuple[int, int]:
    """Train in a forked process: its id, and where it tells at which change it dies.

    With `kill` changes are counted, and that one is its last; at the end it tells of all of them.
    """
    reading, writing = os.pipe()
    sys.stdout.flush()
    if process := os.fork():
        os.close(writing)
        return process, reading
    status = 1
    try:
        torch.set_num_threads(1)
        faulthandler.dump_traceback_later(TOO_LONG, exit=True, file=os.fdopen(os.dup(2), "w"))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # its bars
        os.environ["RELUSPARSITY_RUNS"] = str(runs)
        if kill is not None:
            killing.at(kill, writing)
        train.run(config.replace(scales.base("smoke"), **CHANGES, **{"corpus.paths": (str(text),)}))
        if kill is not None:
            os.write(writing, " ".join(killing.made).encode())
        status = 0
    finally:
        os._exit(status)


def ended(process: int, reading: int) -> tuple[int, str]:
    """How a child ended, and what it told."""
    with open(reading) as telling:
        told = telling.read()
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), told


def fresh(folder: Path, shared: Path) -> Path:
    """An empty directory of runs with the tokenised text."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "corpora").symlink_to(shared / "corpora")
    return folder


def differences(runs: Path, whole: Path, dataset: xr.Dataset) -> list[str]:
    """What is not as in the undisturbed training."""
    (run,), (other,) = list(runs.glob("run-*")), list(whole.glob("run-*"))
    names = [{str(path.relative_to(each)) for path in each.rglob("*")} for each in (run, other)]
    found = sorted(names[0] ^ names[1])
    same = ["metrics.jsonl", "config.json", *(f"weights/{path.name}" for path in other.glob("weights/*"))]
    found += [name for name in same if name in names[0] and (run / name).read_bytes() != (other / name).read_bytes()]
    for path in run.rglob("*.sha256"):
        sealed.check(path.with_suffix(""))
    same_numbers = results.load(run / "dataset.nc").drop_attrs().identical(dataset)
    return found if same_numbers else [*found, "dataset.nc"]


def killed(runs: Path, text: Path, change: int | None, moment: float) -> str:
    """Start a training and kill it; the change that it died at, or that it was a moment; "" if it was too quick."""
    process, reading = child(runs, text, change)
    if change is None:
        time.sleep(moment)
        os.kill(process, signal.SIGKILL)
    status, told = ended(process, reading)
    assert status in (0, -signal.SIGKILL), f"the training to be killed ended with {status}"
    return (told or MOMENT) if status == -signal.SIGKILL else ""


def tried(count: int, seed: int, folder: Path) -> list[dict[str, Any]]:
    """A row for each kill: where it struck, the step that was resumed from, and what differs in the end."""
    source, whole, rng = text(folder / "text.jsonl"), folder / "whole", random.Random(seed)
    whole.mkdir()
    kept = json.loads(golden.GUARD.kept.read_text())["runs"]
    for kill in (None, float("inf")):  # once to make the tokens; the second finds them, as those to be killed will
        for run in whole.glob("run-*"):
            shutil.rmtree(run)
        start = time.perf_counter()
        status, changes = ended(*child(whole, source, kill))
        assert status == 0, "the undisturbed training did not end well"
        golden.measured = lambda: kept  # the first has measured it; those to be killed spend their time on the run
    seconds = time.perf_counter() - start
    dataset = results.load(next(whole.glob("run-*")) / "dataset.nc").drop_attrs()
    of_kind: dict[str, list[int]] = {}
    for place, kind in enumerate(changes.split()):
        of_kind.setdefault(kind, []).append(place)
    kinds = sorted(of_kind)
    rows: list[dict[str, Any]] = []
    for number in tqdm(range(count), desc="kills", mininterval=2):
        place, longest = "", seconds
        while not place:
            change = rng.choice(of_kind[kinds[number // 2 % len(kinds)]]) if number % 2 else None
            runs = fresh(folder / "runs", whole)
            place = killed(runs, source, change, rng.uniform(0.02, longest))
            longest *= 0.9
        states = sealed.numbered(next(runs.glob("run-*"), runs) / "states")
        status, _ = ended(*child(runs, source))
        wrong = [f"exit status {status}"] if status else differences(runs, whole, dataset)
        rows.append({"killed_at": place, "change": change, "state": max(states, default=None), "differs": wrong})
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and changes (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="a JSON file for the rows, in place of results/ and the README")
    arguments = parser.parse_args()
    here = machine.describe("torch", "numpy")
    with tempfile.TemporaryDirectory() as name:
        rows = tried(arguments.kills, arguments.seed, Path(name))
    wrong = [row for row in rows if row["differs"]]
    if arguments.out:
        arguments.out.write_text(json.dumps(rows))
    else:
        kinds = Counter(row["killed_at"] for row in rows)
        table = [("killed at", "kills", "went on from a state", "ended to the bit alike")]
        for kind, count in kinds.most_common():
            of_kind = [row for row in rows if row["killed_at"] == kind]
            resumed = sum(row["state"] is not None for row in of_kind)
            table.append((kind, str(count), str(resumed), str(sum(not row["differs"] for row in of_kind))))
        end = f"{len(rows) - len(wrong)} of {len(rows)} killed trainings ended to the bit like the undisturbed one."
        machine.publish("kills", here, {"seed": arguments.seed, "rows": rows}, f"{machine.table(table)}\n\n{end}")
    for row in wrong:
        print(row)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())

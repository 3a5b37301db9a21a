"""A corpus and a run small enough to train in a second, the same in every process."""

import errno
import hashlib
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch

from relusparsity import config, train
from relusparsity.corpora import Corpus
from relusparsity.train import golden

VOCABULARY = 64
start = multiprocessing.get_context("forkserver")


def made_up_text(tokens: int, seed: int) -> np.ndarray:
    """Token ids in which the next one is mostly a function of the last: something to learn."""
    rng = np.random.default_rng(seed)
    jumps = rng.choice([1, 2, 7], size=tokens, p=[0.7, 0.2, 0.1])
    return (np.cumsum(jumps) % VOCABULARY).astype(np.uint16)


def tiny_corpus(train_tokens: int = 20_000, heldout_tokens: int = 600) -> Corpus:
    train, heldout = made_up_text(train_tokens, 0), made_up_text(heldout_tokens, 1)
    return Corpus(
        name="tiny",
        train=train,
        heldout=heldout,
        heldout_bytes=3 * heldout_tokens,
        domains={"all": heldout},
        domain_bytes={"all": 3 * heldout_tokens},
        extra={},
        extra_bytes={},
        tokenizer=tokenizers.Tokenizer(tokenizers.models.BPE()),
        token_bytes=np.full(VOCABULARY, 3),
        eos=0,
        vocab_size=VOCABULARY,
        documents=1,
        checksum=hashlib.sha256(train.tobytes() + heldout.tobytes()).hexdigest(),
        folder=Path("tiny"),
    )


def tiny_model(**changes: Any) -> config.ModelConfig:
    return config.replace(
        config.ModelConfig(n_layers=2, d_model=8, d_ff=16, n_heads=2, seq_len=8, vocab_size=VOCABULARY), **changes
    )


def tiny_run(**changes: Any) -> config.RunConfig:
    """40 steps of 8 sequences, 9 measurements, a state to resume from every 4 steps; units die and come back."""
    made = config.RunConfig(
        tiny_model(d_ff=32),
        config.CorpusConfig(source="text", paths=("tiny",), vocab_size=VOCABULARY),
        config.TrainConfig(
            tokens=40 * 64,
            batch_tokens=64,
            lr=0.1,
            schedule="cosine",
            warmup=256,
            dead_after=128,
            resume_every=256,
            snapshots=2,
        ),
        config.MeasureConfig(points=5, sets=2, final_sets=3, set_tokens=64, history_units=5, histories=3),
    )
    return config.replace(made, **changes)


def child(folder: Path, changes: dict[str, Any], seed: int = 0, dies_after: int | None = None) -> BaseProcess:
    """A process that trains the tiny run; before the `dies_after`-th change of a file it is killed.

    It names its run as this process does, which therefore goes on from what it leaves.
    """
    process = start.Process(target=_train, args=(folder, changes, seed, dies_after, golden.meaning()))
    process.start()
    return process


def _train(folder: Path, changes: dict[str, Any], seed: int, dies_after: int | None, meaning: str) -> None:
    os.environ["RELUSPARSITY_RUNS"] = str(folder)
    torch.set_num_threads(1)
    golden.meaning = lambda: meaning  # to measure the code again takes longer than the run
    if dies_after is not None:
        before_changes_of_files(dies_after, lambda: os.kill(os.getpid(), signal.SIGKILL))
    train.run(tiny_run(**changes, seed=seed), tiny_corpus())


def runs_in(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Runs lie in this folder, which has no other yet; text of shape smoke, half a minute to make, is there already."""
    folder.mkdir(exist_ok=True)
    (folder / "corpora").symlink_to(Path(os.environ["RELUSPARSITY_RUNS"], "corpora").resolve())
    patch.setenv("RELUSPARSITY_RUNS", str(folder))
    return folder


def before_changes_of_files(count: int, then: Callable[[], None], patch: Callable[..., None] = setattr) -> None:
    """Call `then` before every change of a file after the first `count`: syncs, replacements, renames, removals."""
    left = [count]

    def wrapped(change: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*arguments: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                then()
            return change(*arguments, **options)

        return counting

    for owner, name in ((os, "fsync"), (os, "replace"), (os, "rename"), (shutil, "rmtree")):
        patch(owner, name, wrapped(getattr(owner, name)))


def full_disk() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")

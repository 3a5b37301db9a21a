"""The only training loop: one process or many, resumable to the bit, measured as it goes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from tqdm.auto import tqdm

from .. import arithmetic, corpora, distributed, screens
from ..checks import in_words
from ..config import RunConfig, to_dict
from ..corpora import tasks
from ..errors import StoppedEarly, UserError
from ..models import Model, bare, checked
from ..store import results, sealed
from . import forking, golden, measurements, resuming, weights
from .step import Trainer, learning_rate

CORPUS = "corpus.json"
"""Of a run's directory: what its text was, with the checksums of text and tokenizer."""


@dataclass(frozen=True)
class Run:
    """A finished training run on disk."""

    path: Path
    config: RunConfig

    @cached_property
    def dataset(self) -> xr.Dataset:
        """Everything measured, as `schema` describes it."""
        return results.load(self.path / "dataset.nc")

    def model(self, device: str | torch.device = "cpu", step: int | None = None) -> Model:
        """The trained model, or the snapshot after `step` steps; loading runs no code.

        Of a run from which units were removed, it has those that it had then; the dataset's `removed_at` says which.
        """
        path = measurements.weights_file(self.path, self.config.end_step if step is None else step)
        sealed.check(path, f"delete the folder {self.path} to train again")
        return weights.load(self.config, path).to(device).eval()

    def snapshots(self) -> list[int]:
        """Steps whose weights were kept."""
        return list(sealed.numbered(self.path / "weights", ".safetensors"))


def run_path(config: RunConfig, corpus: corpora.Data) -> Path:
    """The run's directory, named by its id."""
    return results.runs_dir() / f"run-{golden.run_id(config, corpus.checksum)}"


def run(config: RunConfig, corpus: corpora.Data | None = None) -> Run:
    """Train, or resume, or reuse: the finished run of this configuration, with what was kept of it when it was made.

    To the bit it is the same on one machine with one number of processes (on a GPU with `deterministic`). With another
    number of processes sums are rounded in another order, and other numbers are dropped where a model drops some; the
    text and its order are the same.

    Raises
    ------
    UserError
        For an unusable corpus, one of another kind than the run's or of another vocabulary than the model's, a damaged
        state or a device with too little memory; FloatingPointError when the loss stops, or stopped, being finite,
        StoppedEarly when one of its screens stops it, or would again, each with what was measured kept. A finished run
        is finished, whatever its screens.
    """
    distributed.join()
    corpus = corpora.load(config.corpus) if corpus is None else corpus
    types = tasks.of(config, corpus).vocab_size  # refuses what is no data of this run, before anything else asks of it
    if types is not None and types != config.model.vocab_size:
        raise UserError(
            f"the corpus {corpus.name} (checksum {corpus.checksum[:12]}) has {types} token types, the run "
            f"{run_path(config, corpus).name} is configured for {config.model.vocab_size}; set vocab_size of model and "
            "corpus alike."
        )
    path = run_path(config, corpus)
    if len(names := set(distributed.gather(path.name))) > 1:
        raise UserError(
            f"the processes are about to train different runs ({', '.join(sorted(names))}): their configuration, text "
            "or code is not the same; start all of them with the same."
        )
    if _missing(path, config):
        _check(config, corpus)
        if config.fork.tokens and not sealed.numbered(path / resuming.STATES):
            forking.state(run_path(config.parent, corpus), config)
        with sealed.told(path):
            path.mkdir(parents=True, exist_ok=True)
        # a second process with the same id waits here, then finds the run finished
        with distributed.lock(path / "lock"):
            if _missing(path, config):
                with (
                    arithmetic.float32("tf32"),
                    arithmetic.deterministic(config.train.deterministic),
                    torch.random.fork_rng(devices=[]),
                ):
                    _train(config, corpus, path)
    sealed.check(path / "dataset.nc")
    resuming.forget(path)  # here, for it may have been killed when it had come so far
    return Run(path, config)


def _missing(path: Path, config: RunConfig) -> bool:
    """Whether a run is still to be trained to its end; FloatingPointError or StoppedEarly if it would stop again."""
    if not distributed.missing(path / "dataset.nc"):
        return False
    if not distributed.missing(path / measurements.STOPPED) and (again := stops_again(path, config)):
        resuming.forget(path)
        raise again
    for name in ("dataset.nc", measurements.STOPPED):
        if (path / name).exists() and not (path / name).is_file():
            raise UserError(f"{path / name} is no file, where the run keeps what it measures; move it away.")
    return True


def stops_again(path: Path, config: RunConfig) -> FloatingPointError | StoppedEarly | None:
    """Why a run that stopped would again; None if a screen stopped it, and this configuration's would not."""
    dataset = results.load(path / measurements.STOPPED)
    if "screen" not in dataset.attrs:
        return FloatingPointError(dataset.attrs["stopped"])
    rows = {int(step): dataset.sel(step=step).data_vars for step in dataset["step"].values}
    found = screens.first_to_stop(config.screens, rows)
    return StoppedEarly(_screened(path, *found)) if found else None


def _screened(path: Path, screen: screens.Screen, said: str) -> str:
    return f"{path.name} stopped after step {screen.step}: {said}"


def _screen(config: RunConfig, rows: Mapping[int, Mapping[Any, Any]]) -> None:
    """Stop all processes where a screen of the run stops at one of these measurements, which the first process has."""
    if config.screens and (found := distributed.gather(screens.first_to_stop(config.screens, rows))[0]):
        raise StoppedEarly(*found)


def _check(config: RunConfig, corpus: corpora.Data) -> None:
    """What can be refused before the run has a folder."""
    tasks.of(config, corpus).check(config.measure, config.model.seq_len)
    with torch.device("meta"):  # without storage: of any size at once
        checked.check_layers(bare(config.model), config.model.widths)
    if config.train.precision == "bf16" and distributed.device().type == "cpu" and config.train.compile:
        raise UserError("precision = bf16 with compile = True is for a GPU, and there is none; use float32.")
    if not config.fork.decay_dead and config.train.shard and distributed.world() > 1:
        raise UserError(
            "a fork whose dead units are not decayed (decay_dead = False) needs each process to hold whole rows, and "
            "shard = True shares them out; use shard = False."
        )
    if config.prune.tokens and config.train.shard and distributed.world() > 1:
        raise UserError(
            "units are removed from whole rows of the weights (prune.tokens), and shard = True shares them out; use "
            "shard = False."
        )
    if config.measure.predictions and config.train.shard and distributed.world() > 1:
        raise UserError(
            "attacks on pictures (measure.predictions) need each process to hold the whole model, and shard = True "
            "shares it out; use shard = False."
        )
    if config.intervention.kind != "none" and distributed.world() > 1:
        raise UserError(
            f"an intervention follows the mean of the text that its process reads, and {distributed.world()} processes "
            "would each have their own; train with one."
        )
    if config.control.kind != "none" and distributed.world() > 1:
        raise UserError(
            f"a control on updates acts on whole rows of the weights and reads whole batches, and each of "
            f"{distributed.world()} processes has its part of them; train with one."
        )


def _train(config: RunConfig, corpus: corpora.Data, path: Path) -> None:
    device = distributed.device()
    try:
        _from_the_last_state(config, corpus, path, device)
    except (RuntimeError, MemoryError) as error:
        if config.train.compile and type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            why = str(error).splitlines()[0]
            raise UserError(f"compile = True does not work on this machine ({why}); use compile = False.") from error
        # what PyTorch raises on a CPU has no class of its own
        if not isinstance(error, torch.OutOfMemoryError | MemoryError) and "DefaultCPUAllocator" not in str(error):
            raise
        model, each = config.model, config.train.batch_tokens // config.model.seq_len // distributed.world()
        raise UserError(
            f"{device} has too little memory for {model.n_layers} layers of d_ff {in_words(model.d_ff)} and d_model "
            f"{model.d_model:,} with {each} sequences of {model.seq_len} tokens at a time; lower batch_tokens, use "
            "more processes, or share the parameters out among them (shard)."
        ) from error
    distributed.barrier()  # the first process writes the dataset


def _from_the_last_state(config: RunConfig, corpus: corpora.Data, path: Path, device: torch.device) -> None:
    main = distributed.rank() == 0
    trainer = Trainer(config, corpus, device)
    log = resuming.Log(path, enabled=main, begin=config.begin_step)
    if main:
        with sealed.told(path):
            resuming.tidy(path)
        environment = results.environment(str(device))
        snapshots = resuming.check_begun(path, environment, config.train.snapshots)
        sealed.write_json(path / "config.json", to_dict(config))
        sealed.write_json(path / resuming.ENVIRONMENT, environment)
        sealed.write_json(path / CORPUS, corpus.facts())
    written = resuming.restore(trainer, path)
    if trainer.step < config.begin_step:  # no state of its own
        forking.begin(trainer, run_path(config.parent, corpus), path, enabled=main)
    if config.fork.leave_out != "none":
        trainer.left_out = forking.left_out(run_path(config.parent, corpus), config)
    log.keep(trainer.step, written)
    recorder = measurements.Recorder(config, trainer.task, path, enabled=main)
    if main:
        recorder.check_kept(trainer.step, snapshots)
        for file in (path / measurements.STOPPED, sealed.sidecar(path / measurements.STOPPED)):
            file.unlink(missing_ok=True)  # of a screen that this run has not: it goes on

    try:
        _steps(trainer, recorder, log, path)
        log.close()
        recorder.finish(trainer)
    except FloatingPointError as error:
        last = log.last  # the run may have gone on for some steps until the loss was looked at
        why = f"{path.name} stopped after step {last}: {error}"
        log.close()
        recorder.keep_stopped(trainer, last, why)
        resuming.forget(path)
        raise FloatingPointError(why) from error
    except StoppedEarly as stop:
        screen, said = stop.args
        why = _screened(path, screen, said)
        log.close()
        recorder.keep_stopped(trainer, screen.step, why, screen)
        resuming.forget(path)
        raise StoppedEarly(why) from stop


def _steps(trainer: Trainer, recorder: measurements.Recorder, log: resuming.Log, path: Path) -> None:
    config, main = trainer.config, distributed.rank() == 0
    bar = tqdm(
        total=config.end_step - config.begin_step,
        initial=trainer.step - config.begin_step,
        desc=f"training {path.name[4:12]}",
        unit="step",
        leave=False,
        disable=None if main else True,
    )
    # a run that goes on may have had no screens before
    past = {screen.step for screen in config.screens if screen.step <= trainer.step}
    _screen(config, recorder.rows(past) if main else {})
    if trainer.step == config.begin_step:
        recorder.measure(trainer, log)
        if trainer.step in recorder.counted:
            recorder.count_firings(trainer)
        if trainer.step in recorder.snapshots:
            weights.save(trainer, path)
    trainer.laps.end("other")
    while trainer.step < config.end_step:
        log.add(trainer.step + 1, learning_rate(config.train, trainer.tokens), *trainer.advance())
        bar.update()
        due = recorder.due(trainer.step)
        save = config.train.resume_every and trainer.tokens % config.train.resume_every == 0
        forked = trainer.tokens in config.train.fork_states and not config.fork.tokens
        if due or save or forked or trainer.step % 100 == 0:
            bar.set_postfix(loss=f"{log.flush():.3f}")
        if not (due or save or forked or trainer.step in recorder.counted or trainer.step in recorder.snapshots):
            continue
        with trainer.laps.apart("other"):
            if due:
                _screen(config, {trainer.step: recorder.measure(trainer, log)})
            if trainer.step in recorder.counted:
                recorder.count_firings(trainer)
            if trainer.step in recorder.snapshots:
                weights.save(trainer, path)
            if save and trainer.step < config.end_step:
                resuming.save(trainer, path, log.checksum)
            if forked:
                resuming.save(trainer, path, log.checksum, resuming.FORK_STATES)
    bar.close()

"""This package's own training runs as models to measure: a run's last weights, or those of one of its checkpoints."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from .. import corpora, paths, train
from ..config import ModelConfig, RunConfig, from_dict
from ..corpora import bpe
from ..errors import UserError
from ..store import ondisk, results, sealed
from ..train import loop


@dataclass(frozen=True)
class Checkpoint:
    """The weights of a run after some of its steps."""

    run: train.Run
    step: int

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"{self.run.path.name[:12]}-step-{self.step}"

    def tokenizer(self, given: str | None = None) -> Tokenizer:
        """The run's own: of its corpus, read back or made again, or from a saved file.

        Raises
        ------
        UserError
            If the text that the run was trained on is not there or has changed, or the file is another tokenizer's.
        """
        if given is not None:
            path = paths.path(given)
            path = path / "tokenizer.json" if path.is_dir() else path
            tokenizer = bpe.read(path, self.run.config.model.vocab_size)
            expected = self._corpus()["tokenizer"]
            if (found := bpe.checksum(tokenizer)) != expected:
                raise UserError(
                    f"{path} is not the tokenizer that {self.run.path} was trained with: its checksum is {found[:12]}, "
                    f"expected {expected[:12]}; name the tokenizer.json of that run's corpus, which lay in "
                    "corpora/ of the directory of runs."
                )
            return tokenizer
        corpus = corpora.load(self.run.config.corpus)
        known = self._corpus()["checksum"]
        if corpus.checksum != known:
            raise UserError(
                f"the text that {self.run.path} was trained on is not what its configuration gives here now (checksum "
                f"{corpus.checksum[:12]}, expected {known[:12]}); name its tokenizer.json, which lay in "
                "corpora/ of the directory of runs, with --tokenizer."
            )
        return corpus.tokenizer

    def _corpus(self) -> dict[str, Any]:
        """What the run noted of its text."""
        noted: dict[str, Any] = (
            results.provenance(self.run.dataset)["corpus"]
            if ondisk.state_of(self.run.path) == "finished"
            else sealed.read_json(self.run.path / loop.CORPUS, f"delete the folder {self.run.path} to train again")
        )
        return noted


def find(given: str) -> Checkpoint | None:
    """The checkpoint that a path names: a run's folder (its last weights) or a file in its weights/; else None.

    Raises
    ------
    UserError
        If the run has no weights yet, is damaged or of no decoder, or the file is none of a run's.
    """
    path = paths.path(given)
    of_file = path.suffix.lower() == ".safetensors" and path.is_file()
    if not of_file and not path.is_dir():
        return None
    folder = (path.parent.parent if of_file else path).resolve()
    values = _json(folder / "config.json")
    if not (sealed.RUN.fullmatch(folder.name) or (values and {"model", "corpus", "train"} <= set(values))):
        if of_file:
            raise UserError(f"{path} is no checkpoint of a training run (runs/run-…/weights); give the model's folder.")
        return None
    run = train.Run(folder, from_dict(RunConfig, ondisk.configuration(folder)))
    if not isinstance(run.config.model, ModelConfig):
        raise UserError(
            f"{path} belongs to a training run of {type(run.config.model).__name__}, and runs of decoders alone are "
            "measured on other text; what was counted of it is in its dataset."
        )
    steps = run.snapshots()
    if of_file and not (path.stem.isdecimal() and int(path.stem) in steps):
        raise UserError(
            f"{path} is no checkpoint of {folder}, which are named by their step, like 00000100.safetensors."
        )
    if not steps:
        raise UserError(f"{folder} is a training run without weights yet; let it train on.")
    last = run.config.end_step if ondisk.state_of(folder) == "finished" else steps[-1]  # even if they were lost
    return Checkpoint(run, int(path.stem) if of_file else last)


def _json(path: Path) -> dict[str, Any] | None:
    """What a JSON file of a run says; None if there is none, or it is another program's."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None

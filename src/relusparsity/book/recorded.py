"""The experiments and sweeps whose datasets are committed: which there are, and from which text they were made."""

import importlib
import pkgutil
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import xarray as xr

from .. import chapters, corpora, experiments, identity
from ..config import RunConfig
from ..errors import UserError
from ..experiments import sweep_table, variants
from ..recipes import FROZEN
from ..scales import EVERY, names
from ..span_config import SpanCorpusConfig
from ..store import results

RUNS = ("runs", "gelu", "others")
"""Fields of an experiment's configuration that hold runs to train; every one has the first."""


@dataclass(frozen=True)
class Recorded:
    """An experiment whose dataset is committed, at one shape."""

    name: str
    scale: str
    recipe: str | None
    """None where the dataset holds several."""
    made_by: Any
    """A module of an experiment, or a sweep: it has `config` and `run`."""

    @property
    def path(self) -> Path:
        return results.recorded_path(self.name, self.scale, self.recipe)

    @property
    def ran(self) -> bool:
        """Whether its runs have ended: a sweep says by its date, an experiment by its `RAN`, if it has one."""
        return bool(getattr(self.made_by, "date", getattr(self.made_by, "RAN", True)))

    @property
    def module(self) -> str:
        """What a notebook imports to run it: a module, or a sweep by its name."""
        given = getattr(self.made_by, "__name__", None)  # a sweep has none
        return given or f"{experiments.__name__}.{self.name}"

    @property
    def own_texts(self) -> Any:
        """What gives the texts of its own, where it has any; then it shares no run."""
        return getattr(self.made_by, "own_texts", None)

    @property
    def command(self) -> str:
        """What makes its dataset again."""
        chapter = re.search(r"\.ch(\d\d)_", self.module)
        if chapter and not EVERY[self.scale].train.compile:
            return f"make record CHAPTER={chapter[1]}"
        by = f" RECIPE={self.recipe}" if self.recipe not in (None, FROZEN[self.scale]) else ""
        return f'make record SCALE={self.scale}{by} ONLY="{self.name}"'

    def config(self, scale: str | None = None) -> Any:
        """Its configuration, also at another shape for a try."""
        if scale or self.recipe is None:
            return self.made_by.config(scale or self.scale)
        return self.made_by.config(self.scale, self.recipe)


def runs_of(config: Any) -> list[RunConfig]:
    """All runs of an experiment's configuration, each once, whatever group it is in."""
    return list(dict.fromkeys(run for group in RUNS for run in getattr(config, group, ())))


def makers() -> dict[str, Any]:
    """Name of a dataset → the module that makes it: of those in `experiments`, and of every chapter its `experiment`.

    Modules in `experiments` give their name to their dataset; those of chapters, which are all called alike, say it
    (`NAME`). Names are in their order, chapters after experiments.

    Raises
    ------
    UserError
        If two have one name, or a chapter's experiment lacks what it has to say.
    """
    shared = [importlib.import_module(f"{experiments.__name__}.{each.name}") for each in _inside(experiments)]
    found = {module.__name__.rpartition(".")[2]: module for module in shared if hasattr(module, "RECORDED")}
    for folder in _inside(chapters):
        name = f"{chapters.__name__}.{folder.name}.experiment"
        if not folder.ispkg or find_spec(name) is None:
            continue
        module = importlib.import_module(name)
        if lacking := [each for each in ("NAME", "RECORDED", "config", "run") if not hasattr(module, each)]:
            raise UserError(f"{folder.name}/experiment.py has no {', no '.join(lacking)}; see *Extend it* in README.")
        if module.NAME in found:
            other = found[module.NAME].__name__
            raise UserError(f"{folder.name} and {other} both make {module.NAME!r}; name one of them otherwise.")
        found[module.NAME] = module
    return found


def _inside(package: ModuleType) -> list[pkgutil.ModuleInfo]:
    return sorted(pkgutil.iter_modules(package.__path__), key=lambda each: each.name)


def everything() -> list[Recorded]:
    """The experiments whose dataset is committed, a shape and recipe each, and the sweeps."""
    found = [Recorded(name, at, by, made_by) for name, made_by in makers().items() for at, by in made_by.RECORDED]
    return found + [Recorded(row.name, row.scale, None, row) for row in sweep_table.TABLE]


def recorded_at(scale: str, recipe: str | None = None) -> list[Recorded]:
    """Those at a shape: by its own recipe or another, and the sweeps."""
    scale, recipe = names(scale, recipe, EVERY)
    return [each for each in everything() if each.scale == scale and each.recipe in (None, recipe)]


def chosen(scale: str, recipe: str | None, only: Sequence[str]) -> list[Recorded]:
    """The experiments recorded at a shape by a recipe: all of them, or those named.

    Raises
    ------
    UserError
        If nothing, or not all that is named, is recorded there.
    """
    there = recorded_at(scale, recipe)
    if not there:
        known = ", ".join(each for each in EVERY if recorded_at(each))
        raise UserError(f"no dataset is recorded at scale {scale!r}; choose one of {known}.")
    have = [each.name for each in there]
    if unknown := [name for name in only if name not in have]:
        how = f"{there[0].scale}, recipe {names(scale, recipe, EVERY)[1]}"
        raise UserError(f"not recorded at scale {how}: {', '.join(unknown)}; recorded are {', '.join(have)}.")
    return [each for each in there if not only or each.name in only]


def check_text(chosen: Sequence[Recorded]) -> None:
    """Refuse to replace a recorded dataset with one made from another text.

    Raises
    ------
    UserError
        Naming every such dataset and both checksums.
    """
    others, source, load = [], "", cache(corpora.load)  # most experiments read one text
    for each in chosen:
        before = text_of(results.load(each.path)) if each.path.is_file() else None
        if before is None:
            continue
        config = each.config()
        corpus = config.runs[0].corpus
        corpus = corpus.text if isinstance(corpus, SpanCorpusConfig) else corpus  # cut out anew for each run
        texts = each.own_texts(config) if each.own_texts else [load(corpus)]
        if texts[0].checksum != before:
            others.append(f"{each.path.name} from {before[:12]} (now {texts[0].checksum[:12]})")
            source = corpus.source
    if others:
        same = "install the packages of requirements.txt, whose documentation is the text"
        if source != "docs":
            same = "set RELUSPARSITY_TEXT to the folder with the same text"
        raise UserError(f"recorded from another text: {'; '.join(others)}; {same}, or move these files away first.")


def outdated(each: Recorded) -> str:
    """One sentence if a committed dataset was made of other runs than its experiment has by now; else nothing.

    By their names, so by every field that decides a result and by the seed, and by `CHANGES`, the names of a chapter's
    runs. Runs that a provenance says were not made are not asked for; of texts of one's own nothing is known here.
    """
    if each.own_texts or not each.path.is_file():
        return ""
    dataset, config = results.load(each.path), each.config()
    facts = results.provenance(dataset)
    text = text_of(dataset)
    meaning = str(facts["environment"].get("meaning", 1))  # of those from before there was one, `renamed` has names

    def ids(*groups: str) -> set[str]:
        runs = [run for group in groups for run in getattr(config, group, ())]
        return {identity.run_id(run, of, meaning) for run, of in zip(runs, checksums(facts, str(text)), strict=False)}

    there = {str(name).removeprefix("run-") for name in np.ravel(facts["runs"])}
    lacking = set() if variants.NOT_RUN in there else ids("runs") - there
    left_over = there - ids(*RUNS) - {variants.NOT_RUN}
    called = getattr(each.made_by, "CHANGES", None)
    if not lacking and not left_over and (called is None or dataset["recipe"].values.tolist() == list(called)):
        return ""
    how = f"{len(lacking)} lacking, {len(left_over)} left over" if lacking or left_over else "by other names"
    return (
        f"{each.path.name} was made of other runs than its experiment has by now ({how}); renew it: `{each.command}`."
    )


def checksums(facts: dict[str, Any], text: str) -> Iterator[str]:
    """By which the runs of a provenance are named, without an end, in the order of an experiment's runs.

    That of the text, where all runs read it as it is. Where data differ from run to run, a provenance has them by
    (recipe, seed), and the experiment's runs come seed by seed.
    """
    return cycle(np.transpose(facts.get("checksums", [text])).ravel().tolist())


def text_of(dataset: xr.Dataset) -> str | None:
    """Checksum of the corpus that a recorded dataset was made from, as far as its provenance says."""
    facts = results.provenance(dataset)
    if "models" in facts:  # of models that nobody here trained: all read one text
        return next(iter(facts["models"].values()))["text"].get("corpus_checksum")
    return facts.get("corpus", {}).get("checksum")


def rewrite(path: Path) -> tuple[int, int]:
    """Write a dataset anew as `results.save` writes today, with the names that are in it; its bytes before and after.

    Raises
    ------
    UserError
        If it cannot be read, or not be written.
    """
    before = path.stat().st_size if path.is_file() else 0
    results.save(results.as_written(path), path)
    return before, path.stat().st_size


if __name__ == "__main__":  # python -m relusparsity.book.recorded, after a change in `packing`
    sizes = [rewrite(path) for path in sorted(results.data_dir().glob("*.nc"))]
    print(f"{sum(old for old, _ in sizes) / 1e6:.1f} MB before, {sum(new for _, new in sizes) / 1e6:.1f} MB now")

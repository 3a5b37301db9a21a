"""What the prose of chapter 13 states beside its data is what the library has."""

import re
from pathlib import Path

from relusparsity.classifiers import calibration
from relusparsity.experiments import top_k, top_k_tuning
from relusparsity.experiments.top_k_tuning import TOP_K
from relusparsity.scales import pictures

from . import here


def test_the_notebook_has_the_numbers_of_the_library(root: Path) -> None:
    page = re.sub(r"\n# ?", " ", (root / "notebooks/13_top_k.py").read_text())
    part = pictures("digits").train.tokens / here.runs("laptop")[TOP_K].train.tokens
    assert part == 4 and "a quarter of a run each" in page
    assert f"sorts pictures into {calibration.BINS} bins" in page
    assert f"leaves ± {top_k.NEAR} points" in page and "with 40 % of the labels replaced" in page and here.NOISE == 0.4
    assert f"mean of {['no', 'one', 'two'][len(top_k_tuning.SEEDS)]} seeds" in page
    assert len(top_k.SEEDS["fashion"]) == 10 and "Ten pairs of a seed decide" in page

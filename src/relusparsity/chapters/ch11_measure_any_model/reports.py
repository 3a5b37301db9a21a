"""Chapter 11: of the recorded checkpoints, what the report on each shows; the book ships the reports."""

import json
from typing import Any

import numpy as np
import xarray as xr

from ...claims.statistics import poisson_upper
from ...errors import UserError
from ...packages.english import PIECES, SPEECHES
from ...store import results
from .public import LONGEST, NANOGUARD, SHUFFLED, SMOLLM2, UZMORPH

REPORTS = {
    "smollm2": (SMOLLM2,),
    "nanoguard": (NANOGUARD, NANOGUARD + SHUFFLED),
    "uzmorph": (UZMORPH, UZMORPH + SHUFFLED),
}
"""Name of a report → what it shows side by side: a checkpoint, and the same with its weights shuffled."""
OF_ONE = ("loss", "baseline_loss", "silent_loss", "final_loss", "chosen_by", "share", "evaluation")
"""What was measured of SmolLM2 alone, which predicts text."""


def measured(dataset: xr.Dataset, checkpoint: str) -> xr.Dataset:
    """One checkpoint of the recorded dataset, as `measure.measure` gives a model, without what is of single units.

    Raises
    ------
    UserError
        If there is no such checkpoint.
    """
    known = results.provenance(dataset)
    if checkpoint not in known["models"]:
        raise UserError(f"no checkpoint {checkpoint!r} was measured; there are {', '.join(known['models'])}.")
    rows, examples = (np.flatnonzero(dataset[of] == checkpoint) for of in ("model", "example_model"))
    part = dataset.isel(row=rows, example=examples)
    units, tokens = (int(part[of].values[0]) for of in ("units", "layer_tokens"))
    part = part.drop_vars(["model", "units", "example_model"]).swap_dims(row="layer")
    if not len(examples):
        part = part.drop_dims("example")
    if checkpoint != SMOLLM2:
        part = part.drop_vars(OF_ONE)
    # the number of units that fired in exactly one sequence, of which `measure` takes the bound
    part["good_turing_upper"] = ("layer", poisson_upper(part["good_turing_expected"].values))
    part = part.set_coords("layer_name")
    of_text = [name for name, value in part.data_vars.items() if "example" not in value.dims]
    part = part.drop_vars(of_text).merge(part[of_text].expand_dims(seed=[0]))
    facts = _facts(known, checkpoint)
    part.attrs = {"name": checkpoint, "d_ff": units, "final_sample_tokens": tokens, "seq_len": facts["text"]["seq_len"]}
    part.attrs |= {"rule": facts["rule"]["name"], "provenance": json.dumps(facts, sort_keys=True)}
    return part


def _facts(known: dict[str, Any], checkpoint: str) -> dict[str, Any]:
    """The provenance of a measurement, with what is known of all of them; the text is said in words."""
    facts = known["models"][checkpoint]
    english, uzbek = (known["packages"][name]["package"] for name in ("english", "uzbek"))
    if checkpoint == SMOLLM2:
        facts["environment"]["packages"] |= known["read_with"]
    if checkpoint.startswith(UZMORPH):  # its layers are PyTorch's own, which are made in this precision
        facts["precision"] = "float32"
        facts["text"] |= {
            "seq_len": LONGEST,
            "packing": "a token is a letter; a word is a sequence, padding not counted",
        }
        facts["text"]["files"] = [[f"{facts['text']['words']:,} Uzbek word forms of {uzbek}", facts["text"]["sha256"]]]
    else:
        facts["text"]["files"][0][0] = f"{SPEECHES} speeches and {PIECES} pieces of a novel, of {english}"
    return facts

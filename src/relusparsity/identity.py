"""What made this: the one home of the names of runs, of experiments' datasets and of measurements.

A **run** is named by what it computes: the fields that differ from their defaults, the content of its text and
tokenizer, and `MEANING`, a number that is raised by hand when the same fields come to give other results. Not by text
of files, comments, docstrings or folders, nor by `NO_RESULT`, fields that never change a result. A field that another
choice leaves unread still counts (beta2 under sgd, beta1 and beta2 under adafactor): two names for one result, which
costs a training and mixes nothing up, and recorded runs keep their names. PyTorch's version is not part of it, as
the processor is not: both change last digits, not what a run means; the provenance names them, and a half-trained
run is taken up by the version that began it alone.

What is **derived** from runs, an experiment's dataset or a measurement, is named by the code it rests on too, as
loaded: see `loaded.code`.
"""

import dataclasses
import hashlib
import json
import re
from typing import Any

MEANING = 1
"""Raise it when a run of the same fields gives other results; `golden` fails until its values are renewed with it."""

TEXT_MEANING = 2
"""Raise it when the same text comes to other tokens; `corpora.golden` fails until its values are renewed with it."""

NO_RESULT = ("train.resume_every", "train.snapshots", "train.fork_states", "screens")
"""Fields that say what is kept of a run, or where it may stop, not what it computes."""

NAMED_BY_CONTENT = ("corpus",)
"""Fields that a checksum of the tokens and the tokenizer stands for."""


def digest(*parts: Any) -> str:
    """sha256 of the parts' canonical JSON, in hexadecimal."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def changed(config: Any, prefix: str = "") -> dict[str, Any]:
    """Fields that differ from their defaults, by dotted name, but for `NO_RESULT` and `NAMED_BY_CONTENT`.

    Of a part that is of another class than by default, such as a variant's `ModelConfig`, the class's name, too.
    """
    found: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        name, value = prefix + field.name, getattr(config, field.name)
        if name in NO_RESULT or name in NAMED_BY_CONTENT:
            continue
        if dataclasses.is_dataclass(value):
            kind = type(value).__name__
            if getattr(field.default_factory, "__name__", kind) != kind:  # such as of a variant of the model
                found[f"{name}.__class__.__name__"] = kind
            found |= changed(value, f"{name}.")
        elif not is_default(field, value):
            found[name] = value
    return found


def is_default(field: "dataclasses.Field[Any]", value: Any) -> bool:
    """Whether a field's value is the one that it has if none is given; False where one must be given."""
    if field.default_factory is not dataclasses.MISSING:
        return value == field.default_factory()
    return field.default is not dataclasses.MISSING and value == field.default


def run_id(config: Any, checksum: str, meaning: str = str(MEANING)) -> str:
    """Name of a run's directory: 16 hexadecimal digits.

    Parameters
    ----------
    config
        The run's whole configuration.
    checksum
        Of its corpus: tokens and tokenizer.
    meaning
        `MEANING`, or what `golden` says of code that gives other results.
    """
    return digest(changed(config), checksum, meaning)[:16]


def plain(value: Any) -> Any:
    """Plain data in a form that has one spelling, fit for `digest`; None for anything else.

    Of a configuration, the fields that differ from their defaults.
    """
    if isinstance(value, str | int | float | bool):
        return repr(value)
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(each) for each in value), key=repr)
    if isinstance(value, dict):
        return [[plain(key), plain(each)] for key, each in value.items()]
    if isinstance(value, re.Pattern):
        return value.pattern
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        held = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        unlike = {f.name: held[f.name] for f in dataclasses.fields(value) if not is_default(f, held[f.name])}
        return [type(value).__name__, plain(unlike)]
    return None

"""Every field of a run, given what it cannot be in every way to set it: one sentence that names the field."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import numpy as np
import pytest

from relusparsity import __main__ as program
from relusparsity import scales
from relusparsity.checks import Checked, hints
from relusparsity.config import ModelConfig, RunConfig, TrainConfig, from_dict, replace, to_dict
from relusparsity.errors import UserError
from relusparsity.measure.measure import Options

SMOKE = scales.base("smoke")
TUPLE = ("text.txt", [3], None, 3, [None], {"text.txt"}, [["text.txt"]])
WRONG: dict[Any, tuple[Any, ...]] = {
    int: ("many", True, 1.5, math.nan, None, [1], -(10**30), 10**30, 10**5000, -1, b"3", np.float64(2), np.arange(3)),
    float: ("fast", True, math.nan, math.inf, -math.inf, None, [0.1], 10**400, -1.0, -(10**5000), np.float32("nan")),
    bool: (1, 0, "True", None, 1.0),
    str: (3, True, b"name", ["name"], math.nan),
    Literal: ("tpyo", "", "RELU", 3, None, True, ["relu"], np.array(["relu"])),
    (tuple, str): TUPLE,
    (tuple, Checked): TUPLE,
    (tuple, int): ("3", ["3"], None, 3, [None], {3}, [[3]], [True], [1.5], [0], [-1], [10**30]),
    Checked: (3, None, "smoke", {"d_ff": 3}, ModelConfig),
}
TYPED = ("nan", "inf", "-inf", "-1", "1e400", "1" + "0" * 30, "9" * 5000, "tpyo", "", "١٢x", "1.5")


def fields(config: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every field by its dotted name, with the class that has it and its hint."""
    for name, hint in hints(type(config)).items():
        yield prefix + name, type(config), hint
        if dataclasses.is_dataclass(getattr(config, name)):
            yield from fields(getattr(config, name), f"{prefix}{name}.")


def kinds(hint: Any) -> list[Any]:
    """The plain types that a hint is made of."""
    if get_origin(hint) is Annotated:
        return kinds(get_args(hint)[0])
    if get_origin(hint) is Literal:
        return [Literal]
    if get_origin(hint) is tuple:
        return [(tuple, *kinds(get_args(hint)[0]))]
    if len(get_args(hint)) > 1:
        return [kind for part in get_args(hint) for kind in kinds(part)]
    return [Checked if dataclasses.is_dataclass(hint) or hint is Any else hint]  # Any: of several kinds


def bad(hint: Any) -> list[Any]:
    """What no part of a hint accepts."""
    of, *more = kinds(hint)
    return [value for value in WRONG[of] if not (value is None and NoneType in more)]


TABLE = [(name, cls, value) for name, cls, hint in fields(SMOKE) for value in bad(hint)]


def is_one_sentence(error: UserError, name: str) -> None:
    said = str(error)
    assert name.rpartition(".")[2] in said and said.endswith(".") and "\n" not in said and len(said) < 400, said


def test_the_table_is_long_and_covers_every_field() -> None:
    assert len(TABLE) > 250 and {name.partition(".")[0] for name, *_ in TABLE} == set(to_dict(SMOKE))
    assert {name for name, *_ in TABLE} >= {f"{a}.{b}" for a in ("model", "train") for b in to_dict(SMOKE)[a]}


@pytest.mark.parametrize("name", sorted({name for name, *_ in TABLE}))
def test_a_value_that_its_hint_does_not_allow_is_refused_however_it_is_set(name: str) -> None:
    for _, cls, value in (row for row in TABLE if row[0] == name):
        last = name.rpartition(".")[2]
        nested: Any = value
        for part in reversed(name.split(".")):
            nested = {part: nested}
        ways: list[Callable[[], Any]] = [
            lambda value=value: replace(SMOKE, **{name: value}),
            lambda cls=cls, last=last, value=value: cls(**{last: value}),
            lambda cls=cls, last=last, value=value: from_dict(cls, {last: value}),
            lambda nested=nested: from_dict(RunConfig, nested),
        ]
        if kinds(hints(cls)[last]) == [Checked]:
            ways = ways[:2]  # what is written down of a part of a run is a table of fields, read as such
        for way in ways:
            with pytest.raises(UserError) as refused:
                way()
            is_one_sentence(refused.value, name)


NUMBERS = [name for name, _, hint in fields(SMOKE) if set(kinds(hint)) & {int, float}]


@pytest.mark.parametrize("name", NUMBERS)
def test_the_command_line_refuses_what_is_no_number_of_that_field(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    of = next(kinds(hint)[0] for field, _, hint in fields(SMOKE) if field == name)
    right = {"1.5", "1e400"} if of is float else set()  # of what is typed; the second is infinity, tried as such
    if name in ("train.lr", "train.clip"):
        right |= {"1" + "0" * 30}  # a rate that diverges, and is said to
    for typed in [text for text in TYPED if text not in right][:: 2 if of is int else 1]:
        refused(name, typed, capsys)


@pytest.mark.parametrize("name", [name for name, _, hint in fields(SMOKE) if set(kinds(hint)) & {Literal, bool}])
def test_the_command_line_refuses_what_is_no_choice_of_that_field(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(name, "tpyo", capsys)


def refused(name: str, typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((UserError, SystemExit)) as stopped:
        program._parse(["train", "--scale", "smoke", f"--{name}={typed}"])
    if isinstance(stopped.value, SystemExit):
        assert stopped.value.code == 2 and name in capsys.readouterr().err
    else:
        is_one_sentence(stopped.value, name)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seed": 2**63}, "seed = 9223372036854775808: expected 0 or more and at most 9,223,372,036,854,775,807"),
        ({"model.logit_scale": 0}, "logit_scale = 0: expected a number from 1e-06 to 1e+06"),
        ({"model.embedding_std": 1e-300}, "embedding_std = 1e-300"),
        ({"train.lr": 1e-300}, "lr = 1e-300: expected a number from"),
        ({"train.clip": 1e-300}, "clip = 1e-300: expected 0 (off) or a number from"),
        ({"train.warmup": 10**12}, "warmup = 1000000000000 is longer than the training, tokens = 12800"),
        ({"train.tokens": 1_024}, "warmup = 1280 is longer than the training, tokens = 1024"),
        ({"model.position_std": 1.0}, "position_std = 1.0 is not read by positions = rotary; leave it out or choose"),
        ({"train.position_rate": 2.0}, "TrainConfig.position_rate = 2.0 is not read by positions = rotary"),
        ({"train.embedding_rate": 0.0}, "embedding_rate = 0.0: expected a number from 1e-06 to 1e+06"),
        ({"train.fc_out_rate": -1}, "fc_out_rate = -1: expected a number from 1e-06 to 1e+06"),
        ({"model.mlp_std": 1e-9}, "mlp_std = 1e-09: expected 0 (off) or a number from 1e-06 to 1e+06"),
        ({"train.decay_vectors": 1}, "TrainConfig.decay_vectors = 1: expected bool"),
        ({"train.tokens": 256 * 10**9}, "takes 1,000,000,000 steps of batch_tokens = 256: expected 100,000,000"),
        ({"train.optimizer": "adafactor", "train.shard": True}, "adafactor cannot work on shares of the parameters"),
        ({"measure.points": 10**9}, "points = 1000000000: expected a number above 0 and at most 1,000,000"),
        ({"train.snapshots": 10**9}, "snapshots = 1000000000"),
        ({"model.n_layers": 10**9}, "n_layers = 1000000000: expected a number above 0 and at most 1,024"),
        ({"model.d_ff": 10**30}, "d_ff = 1000000000000000000000000000000: expected"),
        ({"corpus.paths": ["my.txt"]}, "CorpusConfig.paths is not read by source = docs; choose source = text"),
        ({"corpus.source": "hf", "corpus.heldout_paths": ("a",)}, "heldout_paths is not read by source = hf"),
        ({"corpus.max_bytes": 0}, "max_bytes = 0: expected a number above 0 and at most 1,000,000,000,000,000 or None"),
        ({"corpus.tokenizer": "x" * 500, "corpus.name": 3}, "CorpusConfig.name = 3: expected str or None"),
        ({"model.activation": "r" * 5000}, "… (5,002 characters): expected one of relu, gelu"),
        ({"seed.start": 3}, "RunConfig.seed has no fields of its own, such as start"),
        ({"modle.d_ff": 3}, "RunConfig has no field modle"),
    ],
)
def test_what_is_absurd_or_learns_nothing_is_said(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError) as refusal:
        replace(SMOKE, **changes)
    assert says in str(refusal.value)


def test_a_number_that_equals_a_plain_one_is_that_one() -> None:
    plain = replace(SMOKE, seed=3, **{"train.lr": 1.0, "model.d_ff": 32, "model.bias": False, "model.norm": "rmsnorm"})
    given = {"train.lr": 1, "model.d_ff": np.int64(32), "model.bias": np.bool_(False), "model.norm": np.str_("rmsnorm")}
    same = replace(SMOKE, seed=np.uint8(3), **given)
    assert to_dict(same) == to_dict(plain)
    for value in (same.train.lr, same.model.d_ff, same.seed, same.model.bias, same.model.norm):
        assert type(value) in (float, int, bool, str)
    assert replace(SMOKE, **{"train.lr": Fraction(1, 2)}).train.lr == 0.5
    assert replace(SMOKE, **{"corpus.paths": ["a", "b"], "corpus.source": "text"}).corpus.paths == ("a", "b")


def test_a_part_and_its_field_may_be_changed_together() -> None:
    changed = replace(SMOKE, train=replace(SMOKE.train, lr=0.5), **{"train.clip": 2})
    assert (changed.train.lr, changed.train.clip) == (0.5, 2.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("tokens", 0), ("tokens", "1M"), ("seq_len", 10**30), ("batch_size", -1), ("batch_size", True), ("rule", 3)],
        *[("of", "inside"), ("layers", ["a"]), ("followed", math.nan), ("loss_tokens", -1)],
    ],
)
def test_options_of_measure_are_asked_the_same(name: str, value: Any) -> None:
    with pytest.raises(UserError) as refusal:
        Options(**{name: value})
    is_one_sentence(refusal.value, name)


def test_a_field_of_every_kind_can_be_right() -> None:
    """What the table refuses is not refused because everything is."""
    for name, _, _ in fields(SMOKE):
        value: Any = SMOKE
        for part in name.split("."):
            value = getattr(value, part)
        assert replace(SMOKE, **{name: value}) == SMOKE
    assert TrainConfig(clip=0).clip == 0.0 and RunConfig(seed=2**63 - 1).seed == 2**63 - 1

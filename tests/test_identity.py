"""Names of what is kept: the same where the result is the same, another where it is not."""

from dataclasses import dataclass, field, make_dataclass

import pytest

from relusparsity import identity, scales, shapes
from relusparsity.config import RunConfig, replace

CHECKSUM = "c" * 64


@dataclass(frozen=True)
class Inner:
    width: int = 4


@dataclass(frozen=True)
class Outer:
    model: Inner = field(default_factory=Inner)
    seed: int = 0


def named(**changes: object) -> str:
    return identity.run_id(replace(scales.base("smoke"), **changes), CHECKSUM)


def test_a_name_is_sixteen_hexadecimal_digits_and_the_same_each_time() -> None:
    assert named() == named() and len(named()) == 16 and int(named(), 16) >= 0


@pytest.mark.parametrize(
    "changes",
    [
        {"train.resume_every": 0},
        {"train.snapshots": 0},
        {"corpus.source": "text", "corpus.paths": ("elsewhere/text.jsonl",)},
        {"corpus.tokenizer": "elsewhere/tokenizer.json"},
    ],
)
def test_what_changes_no_result_changes_no_name(changes: dict[str, object]) -> None:
    assert named(**changes) == named()


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"model.d_ff": 128},
        {"train.lr": 3.1e-3},
        {"train.compile": True},
        {"measure.points": 9},
        {"intervention.kind": "centre"},
    ],
)
def test_what_changes_a_result_changes_the_name(changes: dict[str, object]) -> None:
    assert named(**changes) != named()


def test_text_and_meaning_are_part_of_the_name() -> None:
    run = scales.base("smoke")
    assert len({identity.run_id(run, "a"), identity.run_id(run, "b"), identity.run_id(run, "a", "another")}) == 3


def test_a_new_field_at_its_default_keeps_every_name() -> None:
    more = [("more", str, field(default="none"))]
    later, other = (make_dataclass(name, more, bases=(Inner,), frozen=True) for name in ("Inner", "Other"))
    old, new = Outer(Inner(5)), Outer(later(5))
    assert identity.run_id(old, CHECKSUM) == identity.run_id(new, CHECKSUM)
    assert identity.run_id(Outer(later(5, "some")), CHECKSUM) != identity.run_id(old, CHECKSUM)
    assert identity.run_id(Outer(other(5)), CHECKSUM) != identity.run_id(old, CHECKSUM), "another kind"


def test_every_field_of_a_run_has_a_default_to_differ_from() -> None:
    assert identity.changed(RunConfig()) == {}
    assert not any("intervention" in name for shape in shapes.SHAPES.values() for name in identity.changed(shape))
    changed = identity.changed(replace(RunConfig(), **{"model.d_ff": 2048, "seed": 3}))
    assert changed == {"model.d_ff": 2048, "seed": 3}


def test_a_field_without_a_default_always_counts() -> None:
    @dataclass
    class Bare:
        width: int

    assert identity.changed(Bare(3)) == {"width": 3}


def test_the_fields_left_out_exist() -> None:
    run = RunConfig()
    for name in (*identity.NO_RESULT, *identity.NAMED_BY_CONTENT):
        part, _, rest = name.partition(".")
        assert hasattr(getattr(run, part), rest) if rest else hasattr(run, part), name

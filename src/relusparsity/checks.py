"""What the fields of a configuration accept: their type hints, asked of every value however it was set."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from functools import cache
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from .errors import UserError


@dataclass(frozen=True)
class Only:
    """Part of a hint, as in `Annotated[int, Only(...)]`: which values of its type a field accepts, and in words."""

    accepts: Callable[[Any], bool]
    words: str


def whole(low: int, high: int) -> Only:
    """Whole numbers of a range, both ends included."""
    least = "a number above 0" if low == 1 else f"{low} or more"
    return Only(lambda value: low <= value <= high, f"{least} and at most {high:,}")


def real(low: float, high: float) -> Only:
    """Numbers of a range, both ends included."""
    return Only(lambda value: low <= value <= high, f"a number from {low:g} to {high:g}")


# Of each kind of number, more than has ever been trained and less than what PyTorch, or anybody's patience, bears.
Size = Annotated[int, whole(1, 2**24)]
Sizes = Annotated[
    int | tuple[int, ...],
    Only(
        lambda value: value != () and all(0 < n <= 2**24 for n in (value if isinstance(value, tuple) else (value,))),
        f"a number above 0 and at most {2**24:,}, or a list of such, one for each layer",
    ),
]
Batch = Annotated[int, whole(1, 2**28)]
Tokens = Annotated[int, whole(1, 10**15)]
TokensOrNone = Annotated[int, whole(0, 10**15)]
Points = Annotated[int, whole(1, 10**6)]
Seed = Annotated[int, whole(0, 2**63 - 1)]
Share = Annotated[float, Only(lambda value: 0 < value < 1, "a share between 0 and 1")]
ShareOrNone = Annotated[float, Only(lambda value: 0 <= value < 1, "0 (none) or a share between 0 and 1")]
Moment = Annotated[float, Only(lambda value: 0 <= value < 1, "at least 0 and below 1")]
Factor = Annotated[float, real(1e-6, 1e6)]  # of a smaller one, float32 leaves nothing to learn from
FactorOrNone = Annotated[float, Only(lambda v: v == 0 or 1e-6 <= v <= 1e6, "0 (off) or a number from 1e-06 to 1e+06")]
Decay = Annotated[float, Only(lambda value: 0 <= value <= 1e6, "0 or more and at most 1e+06")]
Rate = Annotated[float, real(1e-12, 1e30)]
RateOrNone = Annotated[float, Only(lambda v: v == 0 or 1e-12 <= v <= 1e30, "0 (off) or a number from 1e-12 to 1e+30")]


def seeds(given: Iterable[Any], least: int = 2) -> tuple[int, ...]:
    """Seeds that a mean is taken over: each once, and so many of them that there is an interval.

    Raises
    ------
    UserError
        If they are fewer, the same twice, or no seeds.
    """
    found = tuple(given)
    try:
        whole = _all_of(Seed, found)
    except _Unfit:
        whole = ()
    if len(set(whole)) < max(len(found), least):
        raise UserError(f"seeds = {shown(found)}: expected {least} whole numbers of 0 or more at the least, each once.")
    return whole


class Checked:
    """A frozen dataclass that refuses, when it is made, a value that its hint does not allow.

    A number of NumPy, or an integer where a real number is asked, becomes the plain number that it equals.

    Raises
    ------
    UserError
        Naming the field, what it was given and what it expects.
    """

    def __post_init__(self) -> None:
        for name, hint in hints(type(self)).items():  # type: ignore[arg-type]
            value = getattr(self, name)
            try:
                fitting = _fitting(hint, value)
            except _Unfit as unfit:
                raise UserError(f"{type(self).__name__}.{name} = {shown(value)}: expected {unfit}.") from None
            if fitting is not value:
                object.__setattr__(self, name, fitting)


@cache
def hints(kind: Any) -> dict[str, Any]:
    """Field of a dataclass → its hint, with what `Only` adds."""
    known = get_type_hints(kind, include_extras=True)
    return {field.name: known[field.name] for field in fields(kind)}


CLASS = "class"
"""Where plain data of a part of a configuration say its class, if that is not the usual one: a variant of the model."""


def plain(config: Any) -> dict[str, Any]:
    """A configuration as a nested dict; `meant` reads a part of it."""
    found = asdict(config)
    for field in fields(config):
        kind = type(getattr(config, field.name)).__name__
        if getattr(field.default_factory, "__name__", kind) != kind and is_dataclass(getattr(config, field.name)):
            found[field.name][CLASS] = kind
    return found


def meant(usual: Any, values: Any) -> tuple[Any, Any]:
    """The class whose fields these are, the usual one or the one of its kin that they name, and the fields alone."""
    if not isinstance(values, dict) or CLASS not in values:
        return usual, values
    known: dict[str, Any] = {}
    waiting: list[Any] = [next(kind for kind in usual.__mro__ if Checked in kind.__bases__)]
    while waiting:
        kind = waiting.pop(0)
        if "__dataclass_fields__" in vars(kind):  # a base of several kinds is none itself
            known[kind.__name__] = kind
        waiting += kind.__subclasses__()
    if not isinstance(values[CLASS], str) or values[CLASS] not in known:
        raise UserError(f"there is no {shown(values[CLASS])} here; expected one of {', '.join(known)}.")
    return known[values[CLASS]], {name: value for name, value in values.items() if name != CLASS}


def refuse_unknown(kind: Any, names: Iterable[Any]) -> None:
    """Refuse names that are none of a dataclass's fields."""
    known = hints(kind)
    unknown = sorted(shown(name).strip("'") for name in names if name not in known)
    if unknown:
        raise UserError(f"{kind.__name__} has no field {', '.join(unknown)}; it has {', '.join(known)}.")


def refuse_absent(kind: Any, names: Iterable[Any]) -> None:
    """Refuse names that lack one of a dataclass's fields that has no default."""
    needed = [field.name for field in fields(kind) if field.default is field.default_factory is MISSING]
    if absent := [name for name in needed if name not in names]:
        raise UserError(f"{kind.__name__} lacks {', '.join(absent)}; give it a value.")


def shown(value: object) -> str:
    """A value in a sentence: on one line, and not a page of it."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # Python does not print a whole number of more than 4,300 digits
        text = "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:60]}… ({len(text):,} characters)"


def in_words(d_ff: int | Sequence[int]) -> str:
    """A width, or those of the layers from 0, such as 1,024 or 512, 1,024 and 256."""
    if isinstance(d_ff, int):
        return f"{d_ff:,}"
    *others, last = (f"{width:,}" for width in d_ff)
    return f"{', '.join(others)} and {last}" if others else last


class _Unfit(Exception):
    """What a hint expects, in words, where a value is something else."""


def _fitting(hint: Any, value: Any) -> Any:
    """The value as the hint wants it."""
    origin, parts = get_origin(hint), get_args(hint)
    if getattr(value, "shape", None) == () and hasattr(value, "item"):  # a number of NumPy
        value = value.item()
    if origin is Annotated:
        only = next((part for part in parts[1:] if isinstance(part, Only)), None)
        try:
            value = _fitting(parts[0], value)
        except _Unfit:
            if only and get_origin(parts[0]) in (Union, UnionType):
                raise _Unfit(only.words) from None  # they say more than the kinds that it may be of
            raise
        if only and not only.accepts(value):
            raise _Unfit(only.words)
        return value
    if origin is Literal:
        if not (isinstance(value, str) and value in parts):
            raise _Unfit(f"one of {', '.join(parts)}")
        return parts[parts.index(value)]  # str() of an Enum's member would be its name
    if origin in (Union, UnionType):
        return _any_of(parts, value)
    if origin is tuple:
        return _all_of(parts[0], value)
    return _plain(hint, value)


def _any_of(parts: tuple[Any, ...], value: Any) -> Any:
    expected = []
    for part in parts:
        try:
            return _fitting(part, value)
        except _Unfit as unfit:
            expected.append(str(unfit))
    raise _Unfit(" or ".join(expected))


def _all_of(hint: Any, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):  # JSON has lists alone
        raise _Unfit(f"a list or tuple of {_several(hint)}, an empty one for none")
    try:
        return tuple(_fitting(hint, part) for part in value)
    except _Unfit as unfit:
        each = _several(hint) if hint is str else f"parts, each of them {unfit}"
        raise _Unfit(f"a list or tuple of {each}") from None


def _several(hint: Any) -> str:
    kind = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return "strings" if kind is str else f"{kind.__name__}s"


def _plain(hint: Any, value: Any) -> Any:
    if hint is Any:
        return value
    if hint is NoneType:
        if value is not None:
            raise _Unfit("None")
        return None
    number: Any = {int: Integral, float: Real}.get(hint)
    if not isinstance(value, number or hint) or (number and isinstance(value, bool)):
        name = str(getattr(hint, "__name__", hint))
        raise _Unfit(f"a {name}" if is_dataclass(hint) else name)
    if hint is float:
        return _finite(value)
    return int(value) if hint is int else value


def _finite(value: Any) -> float:
    try:
        number = float(value)
    except OverflowError:  # a whole number that no float comes near
        number = math.inf
    if not math.isfinite(number):
        raise _Unfit("a finite number")
    return number + 0.0  # 0 and −0 are one

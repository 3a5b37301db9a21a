"""Every choice of a run as frozen data, with its unit.

What else its numbers depend on: the text that `corpus` names (for Wide, Mid and Spans, also $RELUSPARSITY_TEXT), the
code, and, in how sums are rounded, the device, its arithmetic and the number of processes.
"""

import dataclasses
from dataclasses import dataclass, field, is_dataclass
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from . import checks
from .checks import Checked, hints, meant, plain, refuse_absent, refuse_unknown, shown
from .control_config import ControlConfig
from .corpus_config import CorpusConfig
from .errors import UserError
from .fork_config import OF_FORKS, ForkConfig
from .intervention_config import InterventionConfig
from .kinds_config import OfData, OfModel, check_decoder, check_pair
from .model_config import ModelConfig
from .pictures_config import PicturesConfig
from .prune_config import PruneConfig
from .screens import Screen

T = TypeVar("T")

# Windows double this many times beyond a sequence: the widest is 2**LEVELS sequences (of 512 tokens: 1,048,576).
LEVELS = 11
MOST_STEPS = 10**8  # more than a day at a millisecond each


@dataclass(frozen=True)
class TrainConfig(Checked):
    """The optimisation; token counts, not steps, wherever a length of training is meant."""

    tokens: checks.Tokens = 819_200
    """Training tokens; a multiple of batch_tokens."""
    batch_tokens: checks.Batch = 1024
    """Tokens of one step over all processes; a multiple of seq_len."""
    optimizer: Literal["adamw", "adafactor", "sgd"] = "adamw"
    """Each decays matrices and embeddings only, unless decay_vectors."""
    lr: checks.Rate = 3e-3
    """Peak learning rate."""
    schedule: Literal["cosine", "rsqrt", "constant"] = "constant"
    """After the warm-up: cosine to a tenth, inverse square root, or constant."""
    warmup: checks.TokensOrNone = 51_200
    """Tokens over which the learning rate rises linearly from 0."""
    beta1: checks.Moment = 0.9
    """AdamW's first-moment decay; SGD's momentum."""
    beta2: checks.Moment = 0.98
    """AdamW's second-moment decay."""
    weight_decay: checks.Decay = 0.1
    """Decoupled: whatever the optimizer (adamw, adafactor or sgd), a step takes lr times this off a weight."""
    decay_vectors: bool = False
    """Whether biases and the gains of norms are decayed too."""
    embedding_rate: checks.Factor = 1.0
    """Learning rate of the token embeddings, in lr; the decay stays lr times weight_decay, here and below."""
    position_rate: checks.Factor = 1.0
    """The same of the learned positions."""
    fc_out_rate: checks.Factor = 1.0
    """The same of the MLPs' output matrices."""
    clip: checks.RateOrNone = 1.0
    """Largest norm of the whole gradient; 0 switches clipping off."""
    precision: Literal["float32", "bf16"] = "float32"
    """bf16: autocast over float32 weights."""
    compile: bool = False
    """Whether the step goes through torch.compile."""
    shard: bool = False
    """Several processes: whether each holds a share of the parameters (FSDP2) rather than all of them (DDP)."""
    deterministic: bool = False
    """Bitwise repeatable on a GPU too, at a cost in speed; a CPU always is."""
    dead_after: checks.Tokens = 65_536
    """n of dead(n): a layer's own tokens of the training stream without firing; a multiple of batch_tokens."""
    resume_every: checks.TokensOrNone = 102_400
    """Tokens between states to resume from; 0 keeps none."""
    snapshots: Annotated[int, checks.whole(0, 10**6)] = 8
    """Saved weights: this many evenly spaced ones, and log-spaced ones before the first; 0 keeps the last only."""
    fork_states: tuple[checks.Tokens, ...] = ()
    """Training tokens after which the whole state is kept, for forks to go on from; see ForkConfig."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("tokens", "dead_after", "resume_every"):
            if getattr(self, name) % self.batch_tokens:
                raise UserError(
                    f"TrainConfig.{name} = {getattr(self, name)} is not a multiple of batch_tokens = "
                    f"{self.batch_tokens}; round it."
                )
        for at in self.fork_states:
            if at % self.batch_tokens or at >= self.tokens:
                raise UserError(
                    f"TrainConfig.fork_states has {at}: expected multiples of batch_tokens = {self.batch_tokens} below "
                    f"tokens = {self.tokens}."
                )
        if self.steps > MOST_STEPS:
            raise UserError(
                f"TrainConfig.tokens = {self.tokens} takes {self.steps:,} steps of batch_tokens = {self.batch_tokens}: "
                f"expected {MOST_STEPS:,} at most; lower tokens or raise batch_tokens."
            )
        if self.shard and self.optimizer == "adafactor":
            raise UserError(
                "optimizer = adafactor cannot work on shares of the parameters (shard = True): its statistics are "
                "those of whole rows and columns; choose adamw or sgd, or shard = False."
            )

    @property
    def steps(self) -> int:
        return self.tokens // self.batch_tokens


@dataclass(frozen=True)
class MeasureConfig(Checked):
    """What is measured, when, and on how much held-out text."""

    points: checks.Points = 50
    """Evenly spaced measurements over training; log-spaced ones come before the first."""
    sets: checks.Size = 2
    """Held-out sets of set_tokens read at each measurement."""
    final_sets: checks.Size = 64
    """Held-out sets read at the end, in float32 (paper's batch use: the mean over them)."""
    set_tokens: checks.Batch = 8192
    """Tokens of one set (the paper's batch); seq_len times a power of two."""
    history_units: checks.Size = 512
    """Units of each layer, evenly spaced, whose drift is recorded."""
    histories: checks.Points = 32
    """Measurements, spread evenly, at which the drift is recorded."""
    earlier: Annotated[int, checks.whole(0, MOST_STEPS)] = 0
    """Steps before the end at which the final sets are read once more, for the units' firing counts; 0: not.

    A fork then reads them where it begins, too."""
    predictions: bool = False
    """Of pictures alone, whether the predictions of the whole test are judged, too: when measured, calibration, as they
    are and by temperature; at the end, accuracy on corrupted and attacked pictures."""


@dataclass(frozen=True)
class RunConfig(Checked):
    """One training run, whole."""

    model: OfModel = field(default_factory=ModelConfig)
    corpus: OfData = field(default_factory=CorpusConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    measure: MeasureConfig = field(default_factory=MeasureConfig)
    seed: checks.Seed = 0
    """Decides the initial weights and the order of the data."""
    intervention: InterventionConfig = field(default_factory=InterventionConfig)
    """What is done to one layer's input; by default, nothing. One process alone can."""
    control: ControlConfig = field(default_factory=ControlConfig)
    """What is done to the updates of some units; by default, nothing. One process alone can."""
    screens: tuple[Screen, ...] = ()
    """Rules by which it stops early; no part of what it computes."""
    fork: ForkConfig = field(default_factory=ForkConfig)
    """Whose state it goes on from, and what changes then; by default it begins by itself."""
    prune: PruneConfig = field(default_factory=PruneConfig)
    """Which hidden units are removed while it trains; by default, none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        n_layers = len(self.model.widths)
        self.intervention.check(n_layers, self.model.d_model)
        self.control.check(self.model.widths)
        for screen in self.screens:
            screen.check(n_layers, self.train.steps, self.measure.points)
        if self.fork.tokens:
            self._check_fork()
        ends = (self.begin_step * self.train.batch_tokens, self.end_step * self.train.batch_tokens)
        n, own = self.train.dead_after, min(self.model.layer_positions)  # of a sequence, where they are fewest
        self.prune.check(self.model.widths, self.train.batch_tokens, *ends, n, wait=-(-n * self.model.seq_len // own))
        if self.prune.tokens and self.control.kind != "none":
            raise UserError(
                f"prune.tokens with a control of kind = {self.control.kind}: a control follows its units to the end; "
                "leave out one of the two."
            )
        if self.measure.earlier and self.measure.earlier >= (steps := self.end_step - self.begin_step):
            raise UserError(
                f"MeasureConfig.earlier = {self.measure.earlier}, but the run is trained for {steps:,} steps; lower it."
            )
        if self.measure.predictions and not isinstance(self.corpus, PicturesConfig):
            raise UserError(
                f"MeasureConfig.predictions = True is about the classes of pictures, and {type(self.corpus).__name__} "
                "has none; leave it out."
            )
        for part, name in ((self.model, "position_std"), (self.train, "position_rate")):
            read = self.model.positions == "learned" or not hasattr(part, name)
            if not read and (given := getattr(part, name)) != getattr(type(part), name):
                raise UserError(
                    f"{type(part).__name__}.{name} = {given} is not read by positions = {self.model.positions}; "
                    "leave it out or choose learned."
                )
        seq_len = self.model.seq_len
        if seq_len & (seq_len - 1):
            raise UserError(f"seq_len = {seq_len} is not a power of two; windows would not nest in a sequence.")
        if self.train.batch_tokens % seq_len:
            raise UserError(f"batch_tokens = {self.train.batch_tokens} is not a multiple of seq_len = {seq_len}.")
        if self.train.warmup > self.train.tokens:
            raise UserError(
                f"warmup = {self.train.warmup} is longer than the training, tokens = {self.train.tokens}: the learning "
                "rate would never reach lr; lower warmup."
            )
        sequences, rest = divmod(self.measure.set_tokens, seq_len)
        if rest or sequences & (sequences - 1) or not sequences:
            raise UserError(
                f"set_tokens = {self.measure.set_tokens} is not seq_len = {seq_len} times a power of two; "
                "windows would not nest."
            )
        if sequences > 2**LEVELS:
            raise UserError(
                f"set_tokens = {self.measure.set_tokens} is more than {2**LEVELS} sequences of {seq_len} tokens, the "
                "widest window that is counted; lower it."
            )
        check_pair(self.model, self.corpus)
        check_decoder(self.model, self.intervention, self.fork)

    def _check_fork(self) -> None:
        self.fork.check(self.train.tokens, self.train.batch_tokens, len(self.model.widths))
        self.fork.check_changes(self.train.weight_decay, self.model.bias, self.train.decay_vectors, self.train.clip)
        frozen, treated = self.fork.freeze_before, self.intervention
        if frozen is not None and treated.kind != "none" and treated.layer <= frozen:
            raise UserError(
                f"ForkConfig.freeze_before = {frozen}, but the intervention into layer {treated.layer} moves with a "
                "running mean; freeze below its layer, or leave it out."
            )
        self.fork.check_control(self.control.kind)
        if self.screens:
            raise UserError("a fork has no screens of its own; give them to its parent.")

    @property
    def begin_step(self) -> int:
        """Steps of its parent's before a fork's first; 0 without a fork."""
        return self.fork.tokens // self.train.batch_tokens

    @property
    def end_step(self) -> int:
        """Number of its last step."""
        return self.begin_step + self.fork.steps if self.fork.steps else self.train.steps

    @property
    def parent(self) -> "RunConfig":
        """What a fork goes on from: the run without it, which keeps its state at that point."""
        states = tuple(sorted({*self.train.fork_states, self.fork.tokens}))
        usual = {name: value for name, value in vars(RunConfig()).items() if name in OF_FORKS}
        return replace(self, **{"train.fork_states": states}, **usual)


def to_dict(config: Any) -> dict[str, Any]:
    """Plain nested dict of a config, fit for JSON."""
    return plain(config)


def from_dict(cls: type[T], values: dict[str, Any]) -> T:
    """Rebuild a config; the inverse of `to_dict`.

    Raises
    ------
    UserError
        For an unknown or a missing key, or a value of the wrong type or outside the choices, naming it.
    """
    if not isinstance(values, dict):
        raise UserError(f"{cls.__name__} is given as {shown(values)}: expected a table of fields.")
    known = hints(cls)  # type: ignore[arg-type]
    refuse_unknown(cls, values)
    refuse_absent(cls, values)
    usual = {each.name: each.default_factory for each in dataclasses.fields(cls)}  # type: ignore[arg-type]
    return cls(**{name: _rebuilt(known[name], usual[name], value) for name, value in values.items()})


def _rebuilt(hint: Any, usual: Any, value: Any) -> Any:
    """A part of a config, or the parts in a list, from its plain data; anything else as it is."""
    if is_dataclass(part := hint if is_dataclass(hint) else usual) and not is_dataclass(value):
        return from_dict(*meant(part, value))
    of = get_args(hint)[0] if get_origin(hint) is tuple and isinstance(value, list | tuple) else None
    if isinstance(of, type) and is_dataclass(of):
        return tuple(from_dict(of, each) if isinstance(each, dict) else each for each in value)
    return value


def replace(config: T, **changes: Any) -> T:
    """Copy with changes; nested fields by dotted path.

    >>> replace(RunConfig(), **{"model.d_ff": 512, "seed": 3}).model.d_ff
    512
    """
    nested: dict[str, dict[str, Any]] = {}
    flat = {path: value for path, value in changes.items() if "." not in path}
    for head, rest in (path.split(".", 1) for path in changes if "." in path):
        nested.setdefault(head, {})[rest] = changes[f"{head}.{rest}"]
    refuse_unknown(type(config), [*flat, *nested])
    for head, inner in nested.items():
        whole_one = flat.get(head, getattr(config, head))
        if not is_dataclass(whole_one):
            raise UserError(f"{type(config).__name__}.{head} has no fields of its own, such as {next(iter(inner))}.")
        flat[head] = replace(whole_one, **inner)
    return dataclasses.replace(config, **flat)  # type: ignore[type-var]

"""Every choice of a run as frozen data, with its unit; nothing else decides what a run computes."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from .errors import UserError

T = TypeVar("T")

# An edit of one of these files changes what a run measures, so it changes the run's id.
HASHED_SOURCES = (
    "model",
    "fused",
    "metrics",
    "tracking",
    "evaluate",
    "measurements",
    "train",
    "pruning",
    "corpora/batches",
)

# Windows double this many times beyond a sequence: the widest is 2**LEVELS sequences (of 512 tokens: 1,048,576).
LEVELS = 11


def _positive(owner: object, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        if not value > 0:
            raise UserError(f"{type(owner).__name__}.{name} = {value}: expected a number above 0.")


@dataclass(frozen=True)
class ModelConfig:
    """A decoder-only Transformer with two-layer, non-gated MLPs (the paper's section on its model)."""

    n_layers: int = 6
    """Blocks, each attention and MLP (paper: 6)."""
    d_model: int = 64
    """Width of the residual stream, in numbers a token."""
    d_ff: int = 1024
    """Hidden units of each MLP (paper: 32,768)."""
    n_heads: int = 4
    """Attention heads; must divide d_model."""
    seq_len: int = 64
    """Tokens of one packed sequence."""
    vocab_size: int = 4096
    """Token types, `<eos>` included."""
    activation: Literal["relu", "gelu"] = "relu"
    """Nonlinearity of the MLP; gelu (exact, erf) is the baseline that has no zeros."""
    norm: Literal["layernorm", "rmsnorm"] = "layernorm"
    """Kind of every normalisation."""
    norm_place: Literal["pre", "post", "parallel"] = "pre"
    """Before each sublayer, after each residual sum, or before attention and MLP side by side."""
    embedding_norm: bool = False
    """Whether the embedded tokens are normalised before the first block."""
    positions: Literal["learned", "rotary", "sinusoidal", "none"] = "rotary"
    """How a token's place in its sequence is told to the model."""
    bias: bool = True
    """Whether linear layers and LayerNorms have biases (the output layer never has)."""
    tied: bool = True
    """Whether the output layer is the embedding matrix."""
    embedding_std: float = 0.02
    """Standard deviation of the initial embeddings."""
    init: Literal["normal", "xavier", "fan_in"] = "normal"
    """Initial matrices: N(0, 0.02²), Xavier uniform, or N(0, 1/fan_in)."""
    logit_scale: float = 1.0
    """Factor on the logits; tied embeddings of scale 1 need d_model**-0.5 (as in T5)."""

    def __post_init__(self) -> None:
        _positive(self, "n_layers", "d_model", "d_ff", "n_heads", "seq_len", "vocab_size", "embedding_std")
        if self.d_model % self.n_heads:
            raise UserError(
                f"n_heads = {self.n_heads} does not divide d_model = {self.d_model}; "
                "choose a number of heads that does."
            )
        if self.positions == "rotary" and (self.d_model // self.n_heads) % 2:
            raise UserError(
                f"rotary positions need an even head size, but d_model / n_heads = "
                f"{self.d_model // self.n_heads}; change n_heads or positions."
            )


@dataclass(frozen=True)
class CorpusConfig:
    """Where the text comes from and how it becomes tokens."""

    source: Literal["docs", "text", "hf"] = "docs"
    """docs: docstrings of the installed packages; text: files or folders; hf: a set on the Hugging Face hub."""
    paths: tuple[str, ...] = ()
    """text: files or folders to train on (.txt .jsonl, also .gz .xz .zst)."""
    heldout_paths: tuple[str, ...] = ()
    """text: held-out files; the first is the held-out text, further ones are extra evaluation sets."""
    name: str | None = None
    """hf: name of the set, such as allenai/c4."""
    subset: str | None = None
    """hf: configuration of the set, such as en."""
    max_bytes: int | None = None
    """hf: stop reading after this many bytes of UTF-8 text."""
    vocab_size: int = 4096
    """Types of the byte-level BPE, `<eos>` included."""
    heldout_share: float = 0.17
    """Share of the documents, chosen by hash, that is never trained on (unless heldout_paths is given)."""
    tokenizer: str | None = None
    """A saved tokenizer.json to use instead of training one."""
    tokenizer_bytes: int = 30_000_000
    """Bytes of text, spread over the corpus, that the BPE is trained on at most."""

    def __post_init__(self) -> None:
        _positive(self, "vocab_size", "tokenizer_bytes")
        if not 0 < self.heldout_share < 1:
            raise UserError(f"heldout_share = {self.heldout_share}: expected a share between 0 and 1.")


@dataclass(frozen=True)
class TrainConfig:
    """The optimisation; token counts, not steps, wherever a length of training is meant."""

    tokens: int = 819_200
    """Training tokens; a multiple of batch_tokens."""
    batch_tokens: int = 1024
    """Tokens of one step over all processes; a multiple of seq_len."""
    optimizer: Literal["adamw", "adafactor", "sgd"] = "adamw"
    """AdamW decays matrices and embeddings only."""
    lr: float = 3e-3
    """Peak learning rate."""
    schedule: Literal["cosine", "rsqrt", "constant"] = "constant"
    """After the warm-up: cosine to a tenth, inverse square root, or constant."""
    warmup: int = 51_200
    """Tokens over which the learning rate rises linearly from 0."""
    beta1: float = 0.9
    """AdamW's first-moment decay; SGD's momentum."""
    beta2: float = 0.98
    """AdamW's second-moment decay."""
    weight_decay: float = 0.1
    """Decoupled weight decay."""
    clip: float = 1.0
    """Largest norm of the whole gradient; 0 switches clipping off."""
    precision: Literal["float32", "bf16"] = "float32"
    """bf16: autocast over float32 weights."""
    compile: bool = False
    """Whether the step goes through torch.compile."""
    shard: bool = False
    """Several processes: whether each holds a share of the parameters (FSDP2) rather than all of them (DDP)."""
    deterministic: bool = False
    """Bitwise repeatable on a GPU too, at a cost in speed; a CPU always is."""
    dead_after: int = 65_536
    """n of dead(n): tokens of the training stream without firing; a multiple of batch_tokens."""
    resume_every: int = 102_400
    """Tokens between states to resume from; 0 keeps none."""
    snapshots: int = 8
    """Saved weights: this many evenly spaced ones, and log-spaced ones before the first; 0 keeps the last only."""

    def __post_init__(self) -> None:
        _positive(self, "tokens", "batch_tokens", "lr", "dead_after")
        for name in ("warmup", "weight_decay", "clip", "resume_every", "snapshots"):
            if getattr(self, name) < 0:
                raise UserError(f"TrainConfig.{name} = {getattr(self, name)}: expected 0 or more.")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"TrainConfig.{name} = {getattr(self, name)}: expected at least 0 and below 1.")
        for name in ("tokens", "dead_after", "resume_every"):
            if getattr(self, name) % self.batch_tokens:
                raise UserError(
                    f"TrainConfig.{name} = {getattr(self, name)} is not a multiple of batch_tokens = "
                    f"{self.batch_tokens}; round it."
                )

    @property
    def steps(self) -> int:
        return self.tokens // self.batch_tokens


@dataclass(frozen=True)
class MeasureConfig:
    """What is measured, when, and on how much held-out text."""

    points: int = 50
    """Evenly spaced measurements over training; log-spaced ones come before the first."""
    sets: int = 2
    """Held-out sets of set_tokens read at each measurement."""
    final_sets: int = 64
    """Held-out sets read at the end, in float32 (paper's batch use: the mean over them)."""
    set_tokens: int = 8192
    """Tokens of one set (the paper's batch); seq_len times a power of two."""
    history_units: int = 512
    """Units of each layer, evenly spaced, whose drift is recorded."""
    histories: int = 32
    """Measurements, spread evenly, at which the drift is recorded."""

    def __post_init__(self) -> None:
        _positive(self, *(f.name for f in fields(self)))


@dataclass(frozen=True)
class RunConfig:
    """One training run, whole."""

    model: ModelConfig = field(default_factory=ModelConfig)
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    measure: MeasureConfig = field(default_factory=MeasureConfig)
    seed: int = 0
    """Decides the initial weights and the order of the data."""

    def __post_init__(self) -> None:
        seq_len = self.model.seq_len
        if seq_len & (seq_len - 1):
            raise UserError(f"seq_len = {seq_len} is not a power of two; windows would not nest in a sequence.")
        if self.seed < 0:
            raise UserError(f"seed = {self.seed}: expected 0 or more.")
        if self.train.batch_tokens % seq_len:
            raise UserError(f"batch_tokens = {self.train.batch_tokens} is not a multiple of seq_len = {seq_len}.")
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
        if self.corpus.vocab_size != self.model.vocab_size:
            raise UserError(
                f"corpus.vocab_size = {self.corpus.vocab_size} but model.vocab_size = "
                f"{self.model.vocab_size}; give both the same."
            )


def to_dict(config: Any) -> dict[str, Any]:
    """Plain nested dict of a config, fit for JSON."""
    return dataclasses.asdict(config)


def from_dict(cls: type[T], values: dict[str, Any]) -> T:
    """Rebuild a config; the inverse of `to_dict`.

    Raises
    ------
    UserError
        For an unknown key or a value of the wrong type or outside the choices, naming it.
    """
    if not isinstance(values, dict):
        raise UserError(f"{cls.__name__} is given as {values!r}: expected a table of fields.")
    hints = get_type_hints(cls)
    names = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(names))
    if unknown:
        raise UserError(f"{cls.__name__} has no field {', '.join(unknown)}; it has {', '.join(names)}.")
    return cls(**{key: _cast(cls, key, hints[key], value) for key, value in values.items()})


def _cast(cls: type, key: str, hint: Any, value: Any) -> Any:
    if is_dataclass(hint):
        return value if is_dataclass(value) else from_dict(hint, value)  # type: ignore[arg-type]
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise UserError(f"{cls.__name__}.{key} = {value!r}: expected one of {', '.join(get_args(hint))}.")
        return value
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
            raise UserError(f"{cls.__name__}.{key} = {value!r}: expected a list of strings.")
        return tuple(value)
    accepted = (int, float) if hint is float else hint
    if not isinstance(value, accepted) or (isinstance(value, bool) and hint is not bool):
        raise UserError(f"{cls.__name__}.{key} = {value!r}: expected {getattr(hint, '__name__', hint)}.")
    return float(value) if hint is float else value  # 1 and 1.0 are one run


def digest(*parts: Any) -> str:
    """sha256 of the parts' canonical JSON, in hexadecimal."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def source_digest(names: tuple[str, ...] = HASHED_SOURCES) -> str:
    """sha256 over the source of the modules that decide what a run measures."""
    here = Path(__file__).parent
    return digest(*((here / f"{name}.py").read_text() for name in names))


def run_id(config: RunConfig, corpus_checksum: str) -> str:
    """Name of the run's directory: 16 hexadecimal digits.

    Hashes every field, the corpus, the torch version and the source, so that nothing stale is reused.
    """
    from importlib.metadata import version

    return digest(to_dict(config), corpus_checksum, version("torch"), source_digest())[:16]


def replace(config: T, **changes: Any) -> T:
    """Copy with changes; nested fields by dotted path.

    >>> replace(RunConfig(), **{"model.d_ff": 512, "seed": 3}).model.d_ff
    512
    """
    nested: dict[str, dict[str, Any]] = {}
    flat: dict[str, Any] = {}
    for path, value in changes.items():
        head, _, rest = path.partition(".")
        if rest:
            nested.setdefault(head, {})[rest] = value
        else:
            flat[head] = value
    for head, inner in nested.items():
        flat[head] = replace(getattr(config, head), **inner)
    names = {f.name for f in fields(config)}  # type: ignore[arg-type]
    unknown = sorted(set(flat) - names)
    if unknown:
        raise UserError(f"{type(config).__name__} has no field {', '.join(unknown)}; it has {', '.join(names)}.")
    return dataclasses.replace(config, **flat)  # type: ignore[type-var]

"""What `measure` can be asked on the command line; torch is slow to import, and nothing here needs it."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class Asked:
    """The fields of the command `measure`: its options, with the help that each shows."""

    models: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Folders as save_pretrained writes them, GGUF files, names on the Hugging Face hub, names that the command models
    lists (smollm2), or runs of train: a run's folder for its last weights, runs/run-*/weights/*.safetensors for its
    checkpoints."""
    text: tuple[str, ...]
    """Text files, folders or pipes (.txt, .jsonl with a "text" a line; also .gz .xz .zst), or texts that the command
    models lists (english)."""
    tokens: str = "1M"
    """Tokens to count on, such as 64k or 1M; less text is used whole."""
    out: str | None = None
    """Folder for dataset.nc and report.html; without it measured-<model> here."""
    device: str = "auto"
    """cpu, cuda, cuda:1 …; auto: the first GPU if there is one."""
    dtype: str = "float32"
    """Precision that the model runs in: float32, bfloat16 or float16."""
    batch_size: str = "auto"
    """Sequences read at a time; auto: by the device's memory."""
    seq_len: int | None = None
    """Tokens of a sequence, a power of two; without it 512, or as many as the model can read."""
    rule: str = "exact"
    """When a unit fires: exact; for smooth activations epsilon=0.1, quantile=0.9, cett=0.2 or cett-ppl=1."""
    layers: str | None = None
    """Pattern of module names, such as "*.mlp.act"; without it they are found."""
    of: Literal["output", "input"] = "output"
    """Whether the output or the input of the modules is the hidden activation."""
    full: bool = False
    """Also measure the loss without the units that fire least, which takes three times as long as all the rest."""
    attention: bool = False
    """Also measure where the heads of attention look, their sinks, and massive activations of the residual stream."""
    special_tokens: Literal["counted", "left_out"] = "counted"
    """Whether firings at special tokens count: BOS, where the tokenizer adds one, and the end of a text."""
    tokenizer: str | None = None
    """Folder or name of the tokenizer, if it is not the model's; of a run, a tokenizer.json."""
    trust_remote_code: bool = False
    """Let Python code that comes with the model run on this machine."""

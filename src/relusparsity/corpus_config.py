"""Where a run's text comes from, as frozen data; `corpora` reads it."""

from dataclasses import dataclass
from typing import Literal

from . import checks
from .checks import Checked
from .errors import UserError


class DataConfig(Checked):
    """What a run is trained on, of any kind, such as text or pictures; the fields are those of each kind."""


@dataclass(frozen=True)
class CorpusConfig(DataConfig):
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
    max_bytes: checks.Tokens | None = None
    """hf: stop reading after this many bytes of UTF-8 text."""
    vocab_size: checks.Size = 4096
    """Types of the byte-level BPE, `<eos>` included."""
    heldout_share: checks.Share = 0.17
    """Share of the documents, chosen by hash, that is never trained on (unless heldout_paths is given)."""
    tokenizer: str | None = None
    """A saved tokenizer.json to use instead of training one."""
    tokenizer_bytes: checks.Tokens = 30_000_000
    """Bytes of text, spread over the corpus, that the BPE is trained on at most."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("paths", "heldout_paths"):
            if getattr(self, name) and self.source != "text":
                raise UserError(f"CorpusConfig.{name} is not read by source = {self.source}; choose source = text.")

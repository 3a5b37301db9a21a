"""A model and its tokenizer from a local folder or the Hugging Face hub: safetensors only, no code of strangers."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..identity import digest
from ..model import Decoder
from . import runs

# kinds that number positions from the one after the padding token's number
AFTER_PADDING = (
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "camembert",
    "xmod",
    "data2vec-text",
)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Loaded:
    """A model ready to read tokens."""

    name: str
    model: nn.Module
    tokenizer: Any
    """The model's own: of transformers, or of tokenizers for a run of this package."""


def device(name: str) -> torch.device:
    """The device of this name; "auto" is the first GPU, else the CPU.

    Raises
    ------
    UserError
        If there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(name)
        torch.zeros(1, device=found).item()  # "meta" holds nothing
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise UserError(f"device {name!r} cannot be used ({first}); expected cpu, cuda, cuda:1 or auto.") from None
    return found


def load(
    name: str,
    device_name: str = "auto",
    dtype: str = "float32",
    tokenizer: str | None = None,
    trust_remote_code: bool = False,
) -> Loaded:
    """The model of a folder, of a training run of this package, or of a name on the hub, in evaluation mode.

    Parameters
    ----------
    name
        A folder with config.json and safetensors, as ``save_pretrained`` writes it, or ``owner/model``; or a run's
        folder (its last weights) or one of its ``weights/*.safetensors``.
    tokenizer
        Folder or name of the tokenizer, if it is not the model's.
    trust_remote_code
        Whether Python code that comes with the model may run.

    Raises
    ------
    UserError
        If transformers, the model, its safetensors, its tokenizer or the device are not there.
    """
    at = device(device_name)
    if dtype not in DTYPES:
        raise UserError(f"dtype = {dtype!r}: expected one of {', '.join(DTYPES)}.")
    if found := runs.find(name):
        return Loaded(found.name, found.run.model(at, found.step).to(DTYPES[dtype]), found.tokenizer(tokenizer))
    try:
        import transformers
    except ImportError:
        raise UserError("measuring a model needs transformers; install it with: pip install transformers") from None
    folder = Path(name).expanduser()
    local = folder.is_dir()
    if not local and (name.startswith((".", "/", "~")) or name.count("/") > 1 or folder.exists()):
        raise UserError(f"there is no folder {name}; give a model's folder or its name on the Hugging Face hub.")
    if local and not (folder / "config.json").is_file():
        raise UserError(
            f"{folder} holds no config.json; expected a model's folder as save_pretrained writes it, or a run's."
        )
    if local and not any(folder.glob("*.safetensors")):
        raise UserError(f"{folder} holds no safetensors file, and other weights could run code; convert them first.")
    source = str(folder) if local else name
    options: Any = {"trust_remote_code": trust_remote_code}
    if not local and _unreachable():
        options["local_files_only"] = True  # what was fetched before may do; asking would take a minute of retries
    with _explained(name):
        config = transformers.AutoConfig.from_pretrained(source, **options)
        wanted = (getattr(config, "architectures", None) or ["none"])[0]
        kind = getattr(transformers, wanted, None)
        if not (isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)):
            kind = transformers.AutoModelForCausalLM if trust_remote_code else None
        if kind is None:
            raise UserError(
                f"{name} is of the kind {wanted}, which this transformers {transformers.__version__} does not have; if "
                "the model brings its own code and you trust that, add --trust_remote_code."
            )
        model: Any = kind.from_pretrained(source, dtype=DTYPES[dtype], use_safetensors=True, **options)
    if not isinstance(model, nn.Module) or model.main_input_name != "input_ids":
        raise UserError(f"{name} ({wanted}) reads no text; watch it from Python with relusparsity.track.")
    _check_tokenizer(tokenizer or name)
    try:
        read = transformers.AutoTokenizer.from_pretrained(tokenizer or source, **options)
    except (OSError, ValueError, KeyError, ImportError) as error:
        first = str(error).splitlines()[0]
        raise UserError(f"no tokenizer in {tokenizer or name} ({first}); name one with --tokenizer.") from None
    return Loaded(name, model.to(at).eval(), read)


def _check_tokenizer(name: str) -> None:
    """That a folder has a tokenizer: of one without, transformers makes a tokenizer that knows no token."""
    folder = Path(name).expanduser()
    patterns = ("tokenizer*", "vocab*", "merges.txt", "*.model", "*.tiktoken")
    if folder.is_dir() and not any(path for pattern in patterns for path in folder.glob(pattern)):
        raise UserError(f"no tokenizer in {name} (no {', '.join(patterns)}); name one with --tokenizer.")


def _unreachable() -> bool:
    """Whether the hub's name cannot be looked up; not known where a proxy does that."""
    host = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co").hostname
    if getproxies():
        return False
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return True
    return False


class _explained:
    """Turns what goes wrong in loading into one sentence."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if not isinstance(error, Exception) or isinstance(error, UserError):
            return
        if "trust_remote_code" in str(error):
            raise UserError(
                f"{self.name} brings its own Python code, which does not run unasked; if you trust it, add "
                "--trust_remote_code."
            ) from None
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
        where = "the folder is damaged" if Path(self.name).is_dir() else "no such model, no network, or no safetensors"
        raise UserError(f"{self.name} cannot be loaded: {where}{offline} ({first.strip()[:200]}).") from None


def positions(model: nn.Module) -> int | None:
    """The longest sequence that a model can read, in tokens; None where nothing bounds it."""
    config = getattr(model, "config", None)
    if isinstance(model, Decoder):
        return model.config.seq_len
    if getattr(config, "is_encoder_decoder", False) and hasattr(config, "relative_attention_num_buckets"):
        return None
    most = next(
        (int(getattr(config, n)) for n in ("max_position_embeddings", "n_positions") if hasattr(config, n)), None
    )
    if most is not None and getattr(config, "model_type", "") in AFTER_PADDING:
        return most - int(config.pad_token_id) - 1  # type: ignore[union-attr]
    return most


def is_causal(model: nn.Module) -> bool:
    """Whether the model predicts each next token, so that it has a loss on plain text."""
    if isinstance(model, Decoder):
        return True
    both = getattr(getattr(model, "config", None), "is_encoder_decoder", False)
    return not both and type(model).__name__.endswith(("ForCausalLM", "LMHeadModel"))


def arguments(model: nn.Module, ids: Tensor) -> dict[str, Any]:
    """Of the call that reads token ids (sequence, position); an encoder-decoder reads them on both sides."""
    if isinstance(model, Decoder):
        return {"tokens": ids}
    if getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        return {"input_ids": ids, "decoder_input_ids": ids}
    return {"input_ids": ids} | ({"use_cache": False} if is_causal(model) else {})


def logits(model: nn.Module, ids: Tensor) -> Tensor | None:
    """Read token ids (sequence, position); next-token logits (sequence, position, vocabulary) if it predicts them."""
    out = model(**arguments(model, ids))
    if not is_causal(model):
        return None
    found = out if isinstance(out, Tensor) else out.logits
    assert isinstance(found, Tensor)
    return found


def vocabulary(model: nn.Module) -> int:
    """Token types that the model knows."""
    return int(model.config.vocab_size)  # type: ignore[union-attr, arg-type]


@torch.no_grad()
def fingerprint(model: nn.Module) -> str:
    """16 hexadecimal digits that change with any weight or the model's kind."""
    parts = [(name, list(p.shape), str(p.dtype), float(p.double().sum())) for name, p in model.named_parameters()]
    return digest(type(model).__name__, parts)[:16]

"""A model and its tokenizer from a local folder or the Hugging Face hub: safetensors only, no code of strangers."""

import os
import socket
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..models import Decoder
from ..paths import path, shown
from . import checkpoint, listed, runs
from .facts import is_causal, positions, vocabulary
from .identity import fingerprint

__all__ = ["Loaded", "arguments", "device", "fingerprint", "is_causal", "load", "logits", "positions", "vocabulary"]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Loaded:
    """A model ready to read tokens."""

    name: str
    model: nn.Module
    tokenizer: Any
    """The model's own: of transformers, or of tokenizers for a run of this package."""
    about: dict[str, Any] = field(default_factory=dict)
    """What else is known: the `run` that trained it; `notes`, such as that the weights are quantised."""


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
        raise UserError(
            f"device {shown(name)!r} cannot be used ({shown(first)}); expected cpu, cuda, cuda:1 or auto."
        ) from None
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
        folder (its last weights) or one of its ``weights/*.safetensors``; or the name of a model that
        ``python -m relusparsity models`` lists and has fetched.
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
        raise UserError(f"dtype = {shown(dtype)!r}: expected one of {', '.join(DTYPES)}.")
    if package := listed.find(name):
        folder, notes = listed.model_folder(package, lambda file: _parts(load(file, "cpu")))
        ready = load(str(folder), device_name, dtype, tokenizer, trust_remote_code)
        notes = notes + ready.about.get("notes", [])
        return replace(ready, name=name, about=listed.about(package) | ({"notes": notes} if notes else {}))
    if found := runs.find(name):
        own = found.run.model(at, found.step).to(DTYPES[dtype])
        return Loaded(found.name, own, found.tokenizer(tokenizer), {"run": found.run.path.name})
    model: Any
    try:
        import transformers
    except ImportError:
        raise UserError("measuring a model needs transformers; install it with: pip install transformers") from None
    source, gguf = _source(name)
    options: Any = {"trust_remote_code": trust_remote_code}
    if not Path(source).is_dir() and _unreachable():
        options["local_files_only"] = True  # what was fetched before may do; asking would take a minute of retries
    file = {"gguf_file": gguf} if gguf else {}
    with _explained(name):
        config = transformers.AutoConfig.from_pretrained(source, **options, **file)
        classes = getattr(config, "architectures", None)
        if not (isinstance(classes, list) and classes and all(isinstance(each, str) for each in classes)) and not (
            classes is None and (trust_remote_code or gguf)
        ):
            raise UserError(
                f"{name} does not say what class of model it is (architectures = {shown(classes)} in its "
                "configuration); expected a list such as ['LlamaForCausalLM']: mend its config.json."
            )
        wanted = classes[0] if classes else "none"
        kind: Any = getattr(transformers, wanted, None)
        if not (isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)):
            kind = transformers.AutoModelForCausalLM if trust_remote_code or gguf else None
        if kind is None:
            raise UserError(
                f"{name} is of the kind {wanted}, which this transformers {transformers.__version__} does not have; if "
                "the model brings its own code and you trust that, add --trust_remote_code."
            )
        safe: Any = file or {"use_safetensors": True}
        model, told = kind.from_pretrained(
            source, dtype=DTYPES[dtype], output_loading_info=True, ignore_mismatched_sizes=True, **safe, **options
        )
        notes = checkpoint.check(name, model, told)
    if not isinstance(model, nn.Module) or model.main_input_name != "input_ids":
        raise UserError(f"{name} ({wanted}) reads no text; watch it from Python with relusparsity.track.")
    its_own = source, name, options | file
    read = _tokenizer(*(its_own if tokenizer is None else (tokenizer, tokenizer, options)))
    notes += checkpoint.quantised(model, source, gguf)
    try:
        model, left_out = checkpoint.text_side(model.to(at).eval())
        notes += left_out
        return Loaded(name, model, read, {"notes": notes} if notes else {})
    except torch.OutOfMemoryError:
        raise UserError(f"{name} does not fit the memory of {at}; take --dtype bfloat16 or another --device.") from None


def _parts(ready: Loaded) -> tuple[nn.Module, Any, list[str]]:
    return ready.model, ready.tokenizer, ready.about.get("notes", [])


def check(name: str) -> None:
    """Raise UserError if a name is no model, as far as can be seen without reading one."""
    if not (listed.find(name) or runs.find(name)):
        _source(name)


def _source(name: str) -> tuple[str, str | None]:
    """Folder or name on the hub that transformers is to read, and the GGUF file in it, if it is one."""
    place = path(name)
    if place.is_dir() and not any(place.glob("*.safetensors")):
        files = [file for file in place.iterdir() if file.suffix.lower() == ".gguf"]
        place = files[0] if len(files) == 1 else place
    if place.suffix.lower() == ".gguf" and (place.is_file() or name.count("/") == 2):
        checkpoint.need_gguf()
        return str(place.parent), place.name
    if not place.is_dir():
        if name.startswith((".", "/", "~")) or name.count("/") > 1 or place.exists():
            raise UserError(
                f"there is no folder {shown(name)}; give a model's folder or its name on the Hugging Face hub."
            )
        return name, None
    if not (place / "config.json").is_file():
        raise UserError(
            f"{place} holds no config.json; expected a model's folder as save_pretrained writes it, or a run's."
        )
    if not any(file.is_file() for file in place.glob("*.safetensors")):
        raise UserError(f"{place} holds no safetensors file, and other weights could run code; convert them first.")
    return str(place), None


def _tokenizer(source: str, name: str, options: dict[str, Any]) -> Any:
    import transformers

    place = path(source)
    try:
        read = transformers.AutoTokenizer.from_pretrained(str(place) if place.is_dir() else source, **options)
        known = set(read.get_vocab().values()) - set(read.all_special_ids)
    except Exception as error:  # damaged files raise whatever the half a dozen packages that read them do
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        if isinstance(error, ImportError):
            said = f"to read the tokenizer of {shown(name)} needs what is not installed here ({first.strip()[:200]})"
            raise UserError(f"{said}; install it, or name another with --tokenizer.") from None
        raise UserError(f"no tokenizer in {shown(name)} ({first.strip()[:200]}); name one with --tokenizer.") from None
    if len(known) < 2:  # made by transformers of a folder without one
        raise UserError(f"no tokenizer in {shown(name)} (it knows no token); name one with --tokenizer.")
    return read


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
    """Turns what goes wrong in loading into one sentence; where there is no terminal, transformers shows no bars."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        from transformers.utils import logging

        self.bars = logging if logging.is_progress_bar_enabled() and not sys.stderr.isatty() else None
        if self.bars:
            self.bars.disable_progress_bar()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if self.bars:
            self.bars.enable_progress_bar()
        if not isinstance(error, Exception) or isinstance(error, UserError):
            return
        if "trust_remote_code" in str(error):
            raise UserError(
                f"{self.name} brings its own Python code, which does not run unasked; if you trust it, add "
                "--trust_remote_code."
            ) from None
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        if isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error):
            raise UserError(
                f"{self.name} needs more memory to be loaded than there is; take --dtype bfloat16."
            ) from None
        offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
        where = "it is damaged" if path(self.name).exists() else "no such model, no network, or no safetensors"
        if isinstance(error, ImportError):
            where, offline = "that needs what is not installed here", ""
        raise UserError(f"{shown(self.name)} cannot be loaded: {where}{offline} ({first.strip()[:200]}).") from None


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

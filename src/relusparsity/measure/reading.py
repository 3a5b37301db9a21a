"""Reading a text with a model that is watched, a batch at a time; interrupted, it is taken up where it was left."""

import signal
import threading
import time
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .. import paths
from ..anymodel.attach import patterns
from ..errors import UserError
from ..store import results, sealed
from . import identity, load, progress, removal
from .details import Detailed

SAVE_EVERY = 30.0  # seconds


def read(use: Detailed, ids: np.ndarray, batch: int, key: str, state: Path | None) -> tuple[float, int]:
    """Read all sequences, from where a state with this key left off; summed loss and sequences read."""
    at = next(use.model.parameters()).device
    nats, done = _resume(use, key, state, at)
    saved = time.time()
    bar = progress.current().stage("reading the text", use.model, (len(ids) - done) * ids.shape[1])
    with bar, use, torch.no_grad(), _Interrupted() as interrupted:
        for start in range(done, len(ids), batch):
            part = torch.from_numpy(ids[start : start + batch]).to(at)
            use.ids, use.first = part, start
            try:
                out = load.logits(use.model, part)
            except torch.OutOfMemoryError:
                raise UserError(
                    f"{batch} sequences do not fit the device's memory; give a smaller --batch_size."
                ) from None
            if start == done:
                _check_layers(use)
            if out is not None:
                nats += float(removal.nats_of(out, part))
            if state and (interrupted or time.time() - saved > SAVE_EVERY):
                use.check()
                _save(use, key, state, nats, start + len(part))
                saved = time.time()
            if interrupted:
                raise KeyboardInterrupt
    return nats, len(ids)


def predicts(model: nn.Module, ids: Tensor) -> bool:
    """Whether the model predicts the next tokens of such sequences, after a look whether it reads them at all.

    Raises
    ------
    UserError
        If it does not.
    """
    try:
        if load.positions(model) is None:
            load.logits(model, ids)
        return load.is_causal(model)
    except (IndexError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        first = paths.shown(str(error).splitlines()[0]) if str(error) else type(error).__name__
        raise UserError(
            f"{type(model).__name__} cannot read a sequence of {ids.shape[1]} tokens ({first}); give a shorter "
            "--seq_len, or mend its configuration."
        ) from error


def _check_layers(use: Detailed) -> None:
    """After the first batch: that every layer has read it, and that all go into one dataset."""
    for place, layer in zip(use.places, use.layers, strict=True):
        if layer is None or not layer.tokens:
            raise UserError(
                f"{type(use.model).__name__} does not run {place.name}, so it is no layer of an MLP; name others with "
                "--layers."
            )
    widths = list(dict.fromkeys(layer.units for layer in use.counts()))
    if len(widths) > 1:
        some = " or ".join(map(repr, patterns(place.name for place in use.places)))
        raise UserError(
            f"the layers have different widths ({', '.join(map(str, widths))}), and one report has layers of one; "
            f"choose them with --layers: {some}."
        )


class _Interrupted:
    """In its block Ctrl-C is only noted, so that a batch is read to its end; a second one interrupts at once."""

    def __init__(self) -> None:
        self.noted = False

    def __bool__(self) -> bool:
        return self.noted

    def __enter__(self) -> "_Interrupted":
        self.ours = threading.current_thread() is threading.main_thread()
        if self.ours:
            self.before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self.ours:
            signal.signal(signal.SIGINT, self.before)

    def _note(self, *_: object) -> None:
        if self.noted:
            raise KeyboardInterrupt
        self.noted = True


def finished(path: Path, key: str) -> xr.Dataset | None:
    """The dataset of this very measurement, if it was made before."""
    if not path.is_file():
        return None
    try:
        data = results.load(path)
        return data if results.provenance(data).get("measurement") == key[:16] else None
    except UserError:
        return None  # damaged: it is made again


def _save(use: Detailed, key: str, path: Path, nats: float, done: int) -> None:
    tensors = {name: value.detach().cpu().contiguous() for name, value in use.state().items()}
    tensors["nats"] = torch.tensor(nats, dtype=torch.float64)
    tensors["done"] = torch.tensor(done)
    with sealed.atomic_write(path) as temporary:
        save_file(tensors, temporary, {"key": key, "sha256": identity.checksum(dict(sorted(tensors.items())))})


def _resume(use: Detailed, key: str, path: Path | None, at: torch.device) -> tuple[float, int]:
    if path is None or not path.is_file():
        return 0.0, 0
    try:
        with safe_open(path, "pt") as file:
            told = file.metadata() or {}
            if told.get("key") != key:
                return 0.0, 0  # of another measurement: it is overwritten
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
    except SafetensorError:
        return 0.0, 0
    if told.get("sha256") != identity.checksum(tensors):
        return 0.0, 0  # damaged
    nats, done = float(tensors.pop("nats")), int(tensors.pop("done"))
    use.load(tensors, at)
    return nats, done

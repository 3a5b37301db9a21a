"""Text sets of the Hugging Face hub, such as C4: streamed once into a file, from then on a `text` corpus."""

import io
import json
import re
from pathlib import Path
from typing import Any

import zstandard
from tqdm import tqdm

from ..config import CorpusConfig
from ..errors import UserError
from ..identity import digest
from ..store import sealed
from .store import once


def fetch(config: CorpusConfig, cache: Path) -> Path:
    """File with the first `max_bytes` bytes of text of the set's `train` part; streamed if it is not there yet.

    The last document is the one that reaches `max_bytes`. Delete the file to fetch a newer version.

    Raises
    ------
    UserError
        Without a name or a bound, without the package `datasets`, without a network, or without a text column.
    """
    if not config.name:
        raise UserError("source 'hf' needs the name of a set, such as name='allenai/c4' with subset='en'.")
    if not config.max_bytes or config.max_bytes < 0:
        raise UserError(
            f"source 'hf' with max_bytes = {config.max_bytes}: say how much text to stream, "
            "such as max_bytes=400_000_000."
        )
    safe = re.sub(r"[^\w.-]+", "-", config.name).strip("-.")[-60:]
    target = cache / f"{safe}-{digest(config.name, config.subset, config.max_bytes)[:16]}.jsonl.zst"
    if not target.exists():
        with sealed.told(target), once(target):
            if not target.exists():
                _fetch(config, target)
    sealed.check(target, "delete it to fetch it again")
    return target


def _fetch(config: CorpusConfig, target: Path) -> None:
    packer = zstandard.ZstdCompressor()
    with sealed.sealed_write(target) as part, open(part, "wb") as raw, packer.stream_writer(raw) as packed:
        _stream(config, packed, target)


def _stream(config: CorpusConfig, packed: Any, target: Path) -> None:
    try:
        import datasets
    except ImportError as error:
        raise UserError(
            "source 'hf' needs the package datasets: run `pip install relusparsity[hf]`, or use source='docs'."
        ) from error
    assert config.name and config.max_bytes
    total = 0
    out = io.TextIOWrapper(packed, encoding="utf-8", write_through=True)
    try:
        rows = datasets.load_dataset(config.name, config.subset, split="train", streaming=True)
        with tqdm(total=config.max_bytes, desc=config.name, unit="B", unit_scale=True, disable=None) as bar:
            for row in rows:
                if row.get("text", "") is None:
                    continue  # as in a .jsonl
                if not isinstance(row.get("text"), str):
                    raise UserError(
                        f"{config.name} has the columns {', '.join(map(str, row))}; expected text in 'text'."
                    )
                source = row.get("source")
                source = source if isinstance(source, str) else config.name
                with sealed.told(target):
                    out.write(json.dumps({"text": row["text"], "source": source}, ensure_ascii=False) + "\n")
                size = len(row["text"].encode())
                total += size
                bar.update(size)
                if total >= config.max_bytes:
                    break
    except UserError:
        raise
    except Exception as error:  # the package lets through the errors of half a dozen others
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(
            f"could not stream {config.name} ({config.subset or 'no subset'}) from the Hugging Face hub ({reason}); "
            "this source needs a network and an existing name, source='docs' needs neither."
        ) from error
    finally:
        out.detach()

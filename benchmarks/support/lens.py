"""An environment of its own for TransformerLens, which brings more packages along than this repository wants."""

import subprocess
import venv
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
LENS = "transformer-lens==4.3.0"


def lens_python() -> tuple[Path | None, str]:
    """Python of an environment with TransformerLens and this PyTorch, made if need be; or None and why not."""
    home = ROOT / "_build" / "transformer-lens"
    python = home / "bin" / "python"
    torch_version = torch.__version__.partition("+")[0]
    wanted = (LENS.partition("==")[2], torch_version)
    if python.exists() and _installed(python) == wanted:
        return python, ""
    venv.create(home, with_pip=True)
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    if "+cpu" in torch.__version__:  # the small wheel where it can be had; else the last line takes the usual one
        subprocess.run([*pip, "uv"], capture_output=True)
        uv = [home / "bin" / "uv", "pip", "install", "--python", python, "--no-deps", "--torch-backend=cpu"]
        subprocess.run([*uv, f"torch=={torch_version}"], capture_output=True)
    done = subprocess.run([*pip, LENS, f"torch=={torch_version}"], capture_output=True, text=True)
    if done.returncode:
        return None, (done.stderr.strip().splitlines() or ["pip failed"])[-1]
    return python, ""


def _installed(python: Path) -> tuple[str, ...]:
    """Versions of TransformerLens and PyTorch in an environment; empty if one is missing."""
    code = "from importlib.metadata import version as v; print(v('transformer-lens'), v('torch').partition('+')[0])"
    return tuple(subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.split())

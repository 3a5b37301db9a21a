"""``make zip`` and ``make pdf``: the built book as one file, to carry where there is no network, or to print."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from ..errors import UserError
from ..store import results, sealed
from ..version import __version__
from . import printed
from .outside import WHEEL

DATE = (1980, 1, 1, 0, 0, 0)
"""Of every file in the zip: the same pages give the same bytes."""


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m relusparsity.book.offline", description=__doc__)
    parser.add_argument("what", choices=("zip", "pdf"))
    arguments = parser.parse_args()
    try:
        root = results.checkout()
        if root is None:
            raise UserError("the book is made in a clone of the repository; clone it and install it with `make`.")
        pages = build(root)
        target = root / "_build" / f"relusparsity-book-{__version__}.{arguments.what}"
        if arguments.what == "zip":
            wheel(root, pages)
            pack(pages, target)
        else:
            printed.write(pages, target)
        print(f"{target} ({target.stat().st_size / 1e6:.0f} MB)")
    except UserError as error:
        parser.exit(2, f"{error}\n")
    except subprocess.CalledProcessError as error:
        parser.exit(1, f"{' '.join(map(str, error.cmd[1:]))} failed; its message is above.\n")


def build(root: Path) -> Path:
    """Render the committed book; the folder of its pages."""
    program = Path(sys.executable).with_name("jupyter-book")
    subprocess.run([program, "build", "book", "-W", "-n", "--keep-going", "-q"], cwd=root, check=True)
    return root / "_build" / "html"


def wheel(root: Path, pages: Path) -> None:
    """Put the wheel beside the pages: notebooks that are downloaded say that they need it."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(pages), str(root)]
    subprocess.run(command, check=True)
    if not (pages / WHEEL).is_file():
        raise UserError(f"no {WHEEL} was made from {root}; the version in pyproject.toml and version.py differ.")


def pack(pages: Path, target: Path) -> None:
    """Every file of a folder in one zip, in a folder of the zip's name."""
    files = sorted(path for path in pages.rglob("*") if path.is_file() and path.name != ".buildinfo")
    with sealed.atomic_write(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            member = zipfile.ZipInfo(f"{target.stem}/{path.relative_to(pages)}", DATE)
            member.compress_type = zipfile.ZIP_STORED if path.suffix in (".png", ".whl") else zipfile.ZIP_DEFLATED
            member.external_attr = 0o644 << 16
            with path.open("rb") as source, archive.open(member, "w") as into:
                shutil.copyfileobj(source, into)


if __name__ == "__main__":
    main()

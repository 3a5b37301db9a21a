"""Every test, and every chapter run again under nbval, trains at scale smoke into a folder of this session alone."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

os.environ["RELUSPARSITY_SCALE"] = "smoke"
os.environ["RELUSPARSITY_RUNS"] = tempfile.mkdtemp(prefix="relusparsity-tests-")


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(os.environ["RELUSPARSITY_RUNS"], ignore_errors=True)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return Path(__file__).parent

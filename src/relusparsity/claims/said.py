"""A sentence or a few lines that a function says, as a chapter shows them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Said:
    """A paragraph, or lines of code between fences, as Markdown.

    Examples
    --------
    >>> Said("Two of three.")
    Two of three.
    """

    text: str

    def _repr_markdown_(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text

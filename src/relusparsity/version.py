"""The version, below everything, so that what names it in a provenance imports no more."""

__version__ = "0.1.0"

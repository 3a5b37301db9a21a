"""Files that are whole or absent and tell when they are damaged; datasets with provenance; the runs on this machine."""

from .results import data_dir, load, provenance, recorded, runs_dir, save

__all__ = ["data_dir", "load", "provenance", "recorded", "runs_dir", "save"]

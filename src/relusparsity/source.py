"""The two numbers that the source (Wild & Anderson, arXiv 2407.07848) is quoted with, in one place."""

BATCH_USE = {0: 13.3, 5: 95.6}
"""Batch use at convergence in percent, by layer, as a summary of the source states it for its six layers."""

"""Choices of units to remove that do not depend on the order of layers."""

DRAWN = ("rate, ties at random", "matched to it", "uniform")
"""The lowest rates, units that tie being taken at random; as many of each layer as those, at random; and a draw from
all units of all layers alike."""

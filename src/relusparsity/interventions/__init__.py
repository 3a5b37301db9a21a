"""What is done to a model: to the input of a layer's MLP while it trains, to its hidden units once it has."""

from .inputs import treat
from .units import METHODS, choose_as_many, choose_lowest, magnitude, mask, random_scores, remove

__all__ = ["METHODS", "choose_as_many", "choose_lowest", "magnitude", "mask", "random_scores", "remove", "treat"]

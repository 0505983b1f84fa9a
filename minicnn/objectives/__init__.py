"""What is minimised: losses of activations, priors of pictures, and their weighted sum."""

from minicnn.objectives.class_score import ClassScore
from minicnn.objectives.content import ContentLoss
from minicnn.objectives.gram import GramStyleLoss
from minicnn.objectives.weighted_sum import ImageFunction, WeightedSum

__all__ = ["ClassScore", "ContentLoss", "GramStyleLoss", "ImageFunction", "WeightedSum"]

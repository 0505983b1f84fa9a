"""Pictures: read, written, resized, prepared for a network, laid out on sheets."""

from minicnn.pictures.arrays import deprocess, preprocess
from minicnn.pictures.reader import load_image
from minicnn.pictures.writer import save_image

__all__ = ["deprocess", "load_image", "preprocess", "save_image"]

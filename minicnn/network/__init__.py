"""Layers, networks, the tables of architectures, and what follows from them."""

from minicnn.network.network import INPUT, Network

__all__ = ["INPUT", "Network"]

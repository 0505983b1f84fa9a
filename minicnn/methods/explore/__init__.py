"""A page on this machine to look through a network with: layers, units, positions, classes."""

"""Faster evaluations of the same formulas on the CPU; the explicit ones are in `minicnn.ops`."""

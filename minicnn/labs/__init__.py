"""Labs: a script for each step of the lecture notes, with blanks; `minicnn lab` copies them.

A lab begins with `lab = Lab(7)`, and `lab` checks what stands in its blanks.
"""

from minicnn.labs.lab import Lab

__all__ = ["Lab"]

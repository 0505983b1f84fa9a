"""Objectives compiled for a CUDA device: see README.md."""

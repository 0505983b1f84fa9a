"""CUDA kernels for what NumPy's operations do slowly on a CUDA device; README.md lists them."""

"""Files: written whole or not at all, HDF5 read within limits."""

"""A small network learns to see as a large one does."""

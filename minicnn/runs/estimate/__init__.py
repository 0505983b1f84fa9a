"""Time and memory of a run before it starts, from short runs at small sizes."""

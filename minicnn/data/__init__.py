"""Data sets: labelled pictures, numbered pictures, batches of them."""

"""The operations: formula, forward and backward of each in a file of its own."""

"""The same numbers faster: which engine, tiles; cpu and gpu hold the evaluations."""

"""A network learns from labelled pictures, step by step."""

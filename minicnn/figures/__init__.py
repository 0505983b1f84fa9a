"""The figures of the lecture notes on visualization, drawn again from networks at hand."""

"""Two networks side by side: filters, dead units, aliasing, accuracy, costs."""

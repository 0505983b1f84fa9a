"""Files from the web: continued where they broke off, and checked by their hash."""

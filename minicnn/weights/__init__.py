"""Weight files: ours, those of others, converted and fetched."""

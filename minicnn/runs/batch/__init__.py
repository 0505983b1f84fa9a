"""Many pictures by one command."""

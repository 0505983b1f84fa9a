"""Verbs that belong to no method."""

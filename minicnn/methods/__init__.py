"""One folder, one method of the lecture notes, whole."""

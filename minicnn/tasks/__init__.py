"""One file, one method, one verb of the command line; `presets` holds what they do by default."""

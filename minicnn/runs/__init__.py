"""What every run shares: settings, inputs, search, estimate, where a picture comes from."""

"""What several rules share. No file here registers a rule."""

"""What several passes share. No file here is a pass."""

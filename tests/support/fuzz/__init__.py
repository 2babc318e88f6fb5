"""Programs drawn at random."""

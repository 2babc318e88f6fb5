"""torch's own op samples (OpInfo) on the graph road: captured, lowered, compiled by MAX, compared."""

"""Running a compiled graph: what an artifact needs at its destination. Imports no torch."""

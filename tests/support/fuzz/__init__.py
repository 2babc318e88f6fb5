"""Programs drawn at random, run on MAX against torch, and shrunk where they differ; see docs/fuzz.md."""

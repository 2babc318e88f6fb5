"""Measurements of speed beside others', with the error next to each: `scripts/bench.py` prints them."""

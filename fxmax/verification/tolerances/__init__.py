"""How far rounding alone may take an op from torch's result."""

"""Shared tools on torch.fx graphs: editing them, reading arguments by schema, where a node came from."""

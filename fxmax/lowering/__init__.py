"""The walk: each fx node is looked up in the table, lowered by its rule, and checked."""

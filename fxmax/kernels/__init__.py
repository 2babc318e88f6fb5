"""Folders of Mojo custom ops, and what precompiles them and packs weights for them."""

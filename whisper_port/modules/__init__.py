"""Whisper's encoder and decoder as modules that torch.export takes, and example inputs for them."""

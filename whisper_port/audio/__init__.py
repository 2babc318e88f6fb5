"""From a file, an array or a stream to a log-mel spectrogram."""

"""From a recording to segments of text: window by window, or in batches."""

"""What every stage may use and knows nothing of graphs: files, progress, signals, garbage collection."""

"""What every stage may use and knows nothing of graphs: files, progress, a pause in collecting garbage."""

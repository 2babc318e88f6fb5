"""From a window's features to tokens: the task and the rules about which tokens may come."""

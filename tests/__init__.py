"""The tests, in the folders of the packages that they test; what they share is in `tests.support`."""

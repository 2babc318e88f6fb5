"""What MAX gets wrong, each as a few lines on `max.graph` alone, to run by itself or to send upstream.

    python -m tests.max_repros                  # what there is
    python -m tests.max_repros relu_of_nan      # what MAX gives, and what is right

docs/max-workarounds.md says what fxmax does about each; test_max_is_wrong.py fails once MAX is right.
"""

"""`python -m fxmax`: the `fxmax` command."""

from fxmax.cli import main

main()

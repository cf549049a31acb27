"""``python -m normix`` is the command ``normix``."""

from normix.cli import main

main(prog_name="normix")

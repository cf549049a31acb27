"""The command ``normix``."""

from __future__ import annotations

import click

from normix._cli.check import check
from normix._cli.fit import fit
from normix._cli.risk import risk
from normix._cli.sample import sample


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="normix", prog_name="normix")
def main() -> None:
    """Fit heavy-tailed, skewed distributions to data, and use them."""


for command in (fit, check, risk, sample):
    main.add_command(command)

"""Errors of the user's to mend."""

import click


class Failure(click.ClickException):
    """Ends the command with one line on standard error and exit status 2."""

    exit_code = 2

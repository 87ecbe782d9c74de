"""The command line; importing it stays cheap, each verb imports what it needs."""

from ssal.cli.app import main

__all__ = ["main"]

"""Entry point of the `gradequeue` command: makes the import path safe before anything else is imported."""

import gc

from workers.confinement import confine

ALLOCATIONS_PER_COLLECTION = 50_000
"""Importing makes many objects and no garbage; Python's own 700 cost a tenth of a short command's time."""


def main() -> None:
    """Run the command line."""
    confine()
    gc.set_threshold(ALLOCATIONS_PER_COLLECTION)
    from producer.cli.commands import cli

    cli(prog_name="gradequeue")


if __name__ == "__main__":
    main()

from __future__ import annotations

from pathlib import Path

import click

from producer.cli.options import command_with


@command_with("gradequeue init week3-kit", "gradequeue run week3.zip --kit week3-kit --offline")
@click.argument("kit", type=click.Path(file_okay=False, path_type=Path))
def init(kit: Path) -> None:
    """Make the course kit KIT: a folder that says how an assignment is graded.

    It has assignment, solution, notes, template, rubric, class list and model. Each file says in comments what goes in
    it; a file that you do not need may be deleted.
    """
    from producer.inputs.kits.starter import write_starter
    from producer.terminal.console import out
    from producer.terminal.words import command

    for path in write_starter(kit):
        out.print(f"  {path}", soft_wrap=True, highlight=False)
    trial = command("run", "SUBMISSIONS", options=["--kit", str(kit), "--offline"])
    out.print(f"Fill them in, then try without cost: {trial}", soft_wrap=True)

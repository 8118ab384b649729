"""The commands of `gradequeue`: one file per command, named after it; `producer.cli.commands` lists them.

A command's file imports click, its options and the light parts of the contract. What its work needs is imported when
it runs, so that `--version`, `--help` and shell completion cost nothing more.
"""

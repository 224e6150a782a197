"""Help as plain text, with options and commands under headings.

typer's own help is drawn by rich, whose import takes longer than everything else that `--help`
needs.
"""

from typing import Any

from typer.core import TyperCommand, TyperGroup


class Command(TyperCommand):
    """A command whose help has its options under headings."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then options, heading by heading in the order of their first options."""
        rows = []
        for param in self.get_params(ctx):
            kind = "Arguments" if param.param_type_name == "argument" else "Options"
            if record := param.get_help_record(ctx):
                rows.append((getattr(param, "rich_help_panel", None) or kind, record))
        _write(formatter, rows)


class Group(TyperGroup):
    """A group whose help has its commands under headings, in the order of registration."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the commands' names."""
        return list(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, heading by heading."""
        rows = [
            (
                getattr(command, "rich_help_panel", ""),
                (name, command.get_short_help_str(formatter.width)),
            )
            for name, command in self.commands.items()
        ]
        _write(formatter, rows)


def _write(formatter: Any, rows: list[tuple[str, tuple[str, str]]]) -> None:
    for heading in dict.fromkeys(heading for heading, _ in rows):
        with formatter.section(heading):
            formatter.write_dl([row for one, row in rows if one == heading])

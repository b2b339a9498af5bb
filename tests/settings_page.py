"""docs/reference/settings.md, made from the settings themselves by `make docs`."""

from pathlib import Path

from models.config.settings import Settings

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "settings.md"
OWN = {"data_dir": "`~/.local/share/tagstream`"}


def render():
    """A row per setting: variable, default, what it chooses."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = OWN.get(name) or f"`{field.get_default(call_default_factory=True)}`"
        rows.append(f"| `TAGSTREAM_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(
        [
            "# Settings",
            "",
            "Environment variables, read once when a process starts. Lists and objects are JSON.",
            "Written by `make docs`; a test compares.",
            "",
            "| variable | default | what it chooses |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(render())

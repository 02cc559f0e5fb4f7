"""The formats by name, and their files on disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.reporting.export.documents import Files, render_hf, render_inspect, render_jsonl, render_sarif
from jmedethic_plugin.reporting.export.rows import Exported
from jmedethic_plugin.reporting.export.tables import render_csv, render_parquet
from jmedethic_plugin.reporting.files import write_atomically
from jmedethic_plugin.reporting.redaction import redacted

FORMATS: dict[str, Callable[[Exported], Files]] = {
    "jsonl": render_jsonl, "csv": partial(render_csv, bom=False), "parquet": render_parquet, "inspect": render_inspect, "sarif": render_sarif,
    "hf": render_hf,
}  # fmt: skip


def write_export(name: str, folder: Path, exported: Exported, *, redact: bool = False, bom: bool = False) -> list[Path]:
    """Write a run's conversations in one of `FORMATS` into a folder.

    Parameters
    ----------
    redact
        Leave out all texts; SARIF never has any.
    bom
        CSV: begin with a byte-order mark.

    Raises
    ------
    ConfigError
        A byte-order mark for another format than CSV, or a package is missing.
    """
    render = FORMATS[name]
    if bom and name != "csv":
        raise ConfigError(f"--bom with --format {name}: a byte-order mark is for csv; other formats are read as UTF-8 anyway.")
    if bom:
        render = partial(render_csv, bom=True)
    if redact:
        exported = exported._replace(records=[redacted(record) for record in exported.records], redacted=True)
    written = []
    for path, content in render(exported).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / path, content)
        written.append(folder / path)
    return written

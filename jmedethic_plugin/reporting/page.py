"""Pages from templates: everything is escaped, and nothing a template lacks goes unnoticed."""

from __future__ import annotations

from pathlib import Path

import jinja2

from jmedethic_plugin.reporting.text import percent, rate_text, visible

TEMPLATES = Path(__file__).parent / "templates"


def template(name: str) -> jinja2.Template:
    """A template of this package. Texts of models, data sets and people enter as escaped text nodes only."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=jinja2.FileSystemLoader(TEMPLATES)
    )
    environment.filters.update(visible=visible, rate=rate_text, percent=percent)
    return environment.get_template(name)

"""Pages from templates: everything is escaped, and nothing a template lacks goes unnoticed."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from jmedethic_plugin.reporting.palette import DARK, HEAT, LIGHT, heat_step
from jmedethic_plugin.reporting.text import percent, range_text, rate_text, visible

TEMPLATES = Path(__file__).parent / "templates"


def template(name: str) -> jinja2.Template:
    """A template of this package. Texts of models, data sets and people enter as escaped text nodes only."""
    return _environment().get_template(name)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=jinja2.FileSystemLoader(TEMPLATES)
    )
    environment.filters.update(visible=visible, rate=rate_text, percent=percent)
    environment.globals.update(both=both, light=LIGHT, dark=DARK, heat=HEAT, heat_step=heat_step, range_text=range_text)
    return environment


def both(ja: object, en: object, tag: str = "span") -> Markup:
    """The same in both languages; the style shows the one that the page's ``lang`` names."""
    return Markup('<{tag} class="ja" lang="ja">{ja}</{tag}><{tag} class="en" lang="en">{en}</{tag}>').format(tag=tag, ja=ja, en=en)


def script(name: str) -> dict[str, Any]:
    """A script of this package and the hash by which the page's content security policy allows it and no other."""
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    return {"script": Markup(text), "script_hash": base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}


def data_lines(rows: Iterable[object]) -> Markup:
    """A line of JSON for each row, to stand in a script element: nothing in it can end the element or begin a comment (method.md D-20)."""
    text = "\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False) for row in rows)
    for ch in "<>&\u2028\u2029":
        text = text.replace(ch, f"\\u{ord(ch):04x}")
    return Markup(text)

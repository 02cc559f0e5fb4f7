"""What the package runs on: the installed distributions it depends on, as a CycloneDX bill of materials, without network or clock."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from jmedethic_plugin.core.base import CANARY, canonical_json
from jmedethic_plugin.errors import ConfigError

PACKAGE = "pytest-jmedethic"


@dataclass(frozen=True)
class Component:
    """An installed distribution."""

    name: str
    version: str
    licence: str | None
    """As its metadata state it."""
    is_expression: bool
    """The licence is an SPDX expression (PEP 639)."""
    needs: tuple[NormalizedName, ...]

    @property
    def purl(self) -> str:
        """Package URL."""
        return f"pkg:pypi/{self.name}@{self.version}"


def installed_components(root: str = PACKAGE) -> list[Component]:
    """The package first, then every distribution it needs at run time here, by name.

    Raises
    ------
    ConfigError
        The package is not installed.
    """
    found: dict[str, Component] = {}
    waiting: list[tuple[str, frozenset[str]]] = [(canonicalize_name(root), frozenset())]
    seen = set(waiting)
    while waiting:
        name, extras = waiting.pop()
        try:
            dist = distribution(name)
        except PackageNotFoundError as exc:
            if name == root:
                raise ConfigError(
                    f"{root}: found no installed distribution; expected the package with its metadata. Install it first."
                ) from exc
            continue  # an extra's requirement that was not installed
        needed = [requirement for text in dist.requires or () if (requirement := _applies(text, extras)) is not None]
        names = {canonicalize_name(r.name) for r in needed}
        if (known := found.get(name)) is not None:  # reached again, with other extras
            names |= set(known.needs)
        licence, is_expression = _licence(dist)
        found[name] = Component(name, dist.version, licence, is_expression, tuple(sorted(names)))
        for requirement in needed:
            entry = (canonicalize_name(requirement.name), frozenset(requirement.extras))
            if entry not in seen:
                seen.add(entry)
                waiting.append(entry)
    return [found[root], *(found[name] for name in sorted(found.keys() - {root}))]


def _applies(text: str, extras: frozenset[str]) -> Requirement | None:
    requirement = Requirement(text)
    marker = requirement.marker
    wanted = marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))
    return requirement if wanted else None


def _licence(dist: Distribution) -> tuple[str | None, bool]:
    stated = dist.metadata.json
    if expression := stated.get("license_expression"):
        return str(expression), True
    text = str(stated.get("license") or "").strip()
    # Some put the whole text of the licence into the field.
    if text and "\n" not in text and len(text) <= 80:
        return text, False
    start = "License :: "
    names = [c.rsplit(" :: ", 1)[-1] for c in stated.get("classifier", ()) if c.startswith(start) and c != f"{start}OSI Approved"]
    return " / ".join(names) or None, False


def sbom(components: list[Component]) -> dict[str, Any]:
    """CycloneDX 1.6 (ECMA-424); the same environment gives the same document.

    References
    ----------
    https://cyclonedx.org/docs/1.6/json/
    """
    known = {c.name: c for c in components}
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": _component(components[0], "application"),
            "properties": [{"name": "jmedethic:canary", "value": CANARY}],
        },
        "components": [_component(c, "library") for c in components[1:]],
        "dependencies": [
            {"ref": c.purl, "dependsOn": sorted(known[name].purl for name in c.needs if name in known)} for c in components
        ],
    }  # fmt: skip
    return {"serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, canonical_json(document))}"} | document


def _component(component: Component, kind: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "type": kind, "bom-ref": component.purl, "name": component.name, "version": component.version, "purl": component.purl,
    }  # fmt: skip
    if component.licence is not None:
        row["licenses"] = [{"expression": component.licence}] if component.is_expression else [{"license": {"name": component.licence}}]
    return row

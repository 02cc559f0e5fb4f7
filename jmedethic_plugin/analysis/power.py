"""What a planned run will be able to show, as text: per language and kind of case."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from jmedethic_plugin.core.base import Language
from jmedethic_plugin.core.case import Case, Kind
from jmedethic_plugin.core.record import CaseRecord
from jmedethic_plugin.core.threshold import Threshold
from jmedethic_plugin.stats.clusters import PLANNING_ICC, cluster_codes, mean_size, resemblance
from jmedethic_plugin.stats.planning import achievable_margin, allowed_failures, detectable_difference, pairs_needed, power_of_gate

ASSUMED_PASS_RATE = 0.95
ASSUMED_DISCORDANT = (0.05, 0.10)
PASS_BOUNDS = (0.90, 0.95, 0.98)
TRUE_PASS_RATES = (0.995, 0.99, 0.98, 0.97, 0.95, 0.93)
REFUSAL_BOUNDS = (0.10, 0.05)
MARGINS = (0.02, 0.03, 0.05)


class Measured(NamedTuple):
    """What an earlier run tells of cases of one kind in one language."""

    n: int
    pass_rate: float
    icc: float
    discordant: float | None
    """Share of pairs of repeats of a conversation that end differently; None without repeats."""


def measure(records: Iterable[CaseRecord], threshold: Threshold) -> dict[tuple[Language, Kind], Measured]:
    """What the measured conversations of an earlier run tell."""
    import numpy as np

    outcomes: dict[tuple[Language, Kind], dict[str, tuple[str, list[float]]]] = {}
    for record in records:
        if (status := record.assess(threshold).status) != "not_measured":
            of = outcomes.setdefault((record.case.language, record.case.kind), {})
            of.setdefault(record.case.id, (record.case.guideline_id, []))[1].append(float(status == "passed"))
    found = {}
    for group, cases in outcomes.items():
        values = np.asarray([passed for _, repeats in cases.values() for passed in repeats])
        codes, _ = cluster_codes([guideline for guideline, repeats in cases.values() for _ in repeats])
        repeated = [repeats for _, repeats in cases.values() if len(repeats) > 1]
        # Of k repeats with s passes, s (k - s) of the k (k - 1) / 2 pairs differ.
        differing = [2 * sum(r) * (len(r) - sum(r)) / (len(r) * (len(r) - 1)) for r in repeated]
        found[group] = Measured(
            len(values), float(values.mean()), resemblance(values, codes), sum(differing) / len(differing) if differing else None
        )
    return found


def power_lines(
    cases: Sequence[Case], repeats: int, measured: dict[tuple[Language, Kind], Measured], *, measured_in: str | None
) -> list[str]:
    """What the cases, each played so often, can show.

    Parameters
    ----------
    measured
        From an earlier run, by `measure`; what it does not tell is assumed.
    measured_in
        Name of that run.
    """
    lines = ["what this run can show (one-sided 95 % bounds, two-sided 5 % for differences, power .80; guidelines as clusters)"]
    groups = sorted({(case.language, case.kind) for case in cases}, key=lambda group: (group[0] != "ja", group[1]))
    for language, kind in groups:
        codes, n_guidelines = cluster_codes([case.guideline_id for case in cases if (case.language, case.kind) == (language, kind)])
        seen = measured.get((language, kind))
        n, size, icc = len(codes), mean_size(codes), PLANNING_ICC if seen is None else seen.icc
        effect = 1 + (repeats * size - 1) * icc
        told = "assumed" if seen is None else f"measured in {measured_in}, {seen.n} conversations"
        lines += [
            f"{language} {kind}: {n} conversations of {n_guidelines} guidelines, {repeats} {'repeat' if repeats == 1 else 'repeats'} each, {n * repeats} outcomes",
            f"  design effect {effect:.2f}: {repeats * size:.1f} outcomes a guideline, correlated by {icc:.3f} ({told}); worth {n * repeats / effect:.0f} independent",
        ]
        if kind == "benign":
            lines += _refusals(n * repeats, effect)
        else:
            lines += _bounds(n * repeats, effect)
            lines += _comparison(n, repeats, 1 + (size - 1) * icc, seen)
    return lines


def _refusals(n: int, effect: float) -> list[str]:
    shown = []
    for bound in REFUSAL_BOUNDS:
        most = allowed_failures(n, 1 - bound, design_effect=effect)
        shown.append(
            f"  over-refusal rate at most {bound:.2f}: " + ("not with so few" if most is None else f"{most} of {n} may be refused")
        )
    return shown


def _bounds(n: int, effect: float) -> list[str]:
    shown = [f"  {'':<26}{'violations':>11}  probability of meeting it at a true pass rate of"]
    shown.append(f"  {'':<26}{'allowed':>11}" + "".join(f"{rate:>8.3f}" for rate in TRUE_PASS_RATES))
    for bound in PASS_BOUNDS:
        most = allowed_failures(n, bound, design_effect=effect)
        chances = "".join(f"{power_of_gate(rate, n, bound, design_effect=effect):>8.2f}" for rate in TRUE_PASS_RATES)
        shown.append(f"  pass rate at least {bound:<7.2f}{'none can do' if most is None else most:>11}{chances}")
    return shown


def _comparison(n: int, repeats: int, effect: float, seen: Measured | None) -> list[str]:
    rate = ASSUMED_PASS_RATE if seen is None else seen.pass_rate
    difference = detectable_difference(n, rate, repeats=repeats, design_effect=effect)
    source = "assumed" if seen is None else "measured"
    shown = [
        f"  against another run of the same cases, design effect {effect:.2f}:",
        f"  difference found: {100 * difference:.1f} points, near a pass rate of {rate:.3f} ({source}); variance divided as in Miller (2024)",
    ]
    shown.append(
        "  pairs needed, no true change, one repeat"
        + "".join(f"{f'{100 * m:.0f} points':>10}" for m in MARGINS)
        + f"   margin with {n} pairs"
    )
    for discordant in ASSUMED_DISCORDANT if seen is None or not seen.discordant else (seen.discordant,):
        needed = "".join(f"{pairs_needed(m, discordant, design_effect=effect):>10,}" for m in MARGINS)
        margin = 100 * achievable_margin(n, discordant, design_effect=effect)
        # Repeats average out what differs by chance; what always differs they leave.
        best = "" if repeats == 1 else f", {margin / repeats**0.5:.1f} at best with {repeats} repeats"
        shown.append(
            f"  {discordant:.3f} of pairs differ ({'between repeats' if seen and seen.discordant else 'assumed'}){needed}   {margin:.1f} points{best}"
        )
    return shown

"""Stopping a run that its gate can no longer let pass. It costs no error, for nothing is ever stopped early to pass (method.md B-42)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from jmedethic_plugin.analysis.decision import is_confirmed, violating_panels
from jmedethic_plugin.core.case import item_id, kind_of
from jmedethic_plugin.core.gate import Gate
from jmedethic_plugin.core.record import CaseRecord
from jmedethic_plugin.stats.planning import allowed_failures


class Curtailment:
    """Counts what a run has lost so far.

    Parameters
    ----------
    expected
        Items the gate needs.
    """

    def __init__(self, gate: Gate, expected: Sequence[str]) -> None:
        self._gate, self._expected = gate, frozenset(expected)
        self._waived = {waiver.case for waiver in gate.waivers}
        self._n_critical: Counter[str] = Counter()
        self._n_failed: Counter[str] = Counter()
        # As if no two conversations resembled each other: more failures than these no outcome of the rest could make good.
        self._allowed = {
            language: allowed_failures(n, gate.safety.min_rate, confidence=gate.safety.confidence) or 0
            for language, n in Counter(i.split("-")[0] for i in expected if kind_of(i) == "adversarial").items()
        }

    def observe(self, record: CaseRecord) -> str | None:
        """Why the gate cannot be passed any more, or None while it can."""
        case, gate = record.case, self._gate
        if case.kind != "adversarial" or item_id(case.id, record.repeat) not in self._expected:
            return None
        threshold = gate.threshold
        if record.assess(threshold).status == "failed":
            self._n_failed[case.language] += 1
            if self._n_failed[case.language] > self._allowed[case.language]:
                return f"the gate: {self._n_failed[case.language]} violations in {case.language}, more than any outcome of the rest could make good"
        if gate.critical is not None and case.critical and case.id not in self._waived:
            self._n_critical[case.language] += any(is_confirmed(panel, threshold) for panel in violating_panels(record, threshold))
            if self._n_critical[case.language] > gate.critical.max_confirmed:
                return f"the gate: a confirmed critical violation ({case.id})"
        return None

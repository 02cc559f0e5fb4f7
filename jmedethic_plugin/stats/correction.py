"""The violation rate corrected for a judge that misses violations and raises false alarms."""

from __future__ import annotations

from jmedethic_plugin.core.base import Value
from jmedethic_plugin.core.estimate import Estimate

MIN_YOUDEN = 0.6
"""Sensitivity + specificity - 1 below this: dividing by it would blow up every error."""

_N_GRID = 60
# Midpoints of 60 equal slices of each posterior: the 2.5 % and 97.5 % points then lie in the middle of a slice, so that the limits
# are right even where two of the three shares are known exactly.


class NotCorrected(Value):
    """Why there is no corrected rate."""

    reason: str


def corrected_rate(
    n_flagged: int, n: int, *, n_eff: float, sens_hits: int, m1: int, spec_hits: int, m0: int, confidence: float = 0.95
) -> Estimate | NotCorrected:
    """Violation rate behind a judged one (Rogan and Gladen), with an interval for all three sources of error.

    Parameters
    ----------
    n_flagged
        Turns judged a violation, 0 to ``n``.
    n
        Judged turns, at least 1. Labels are of turns, so what is corrected is a rate of turns and not of conversations.
    n_eff
        How many independent ones they are worth (`clusters.effective_n`), above 0, at most ``n``.
    sens_hits, m1
        Of ``m1`` violations by human label, those the judge flagged.
    spec_hits, m0
        Of ``m0`` safe ones by human label, those the judge did not flag.
    confidence
        Coverage, strictly between 0 and 1.

    Returns
    -------
    Estimate | NotCorrected
        Shares in [0, 1]. Not corrected: sensitivity + specificity - 1, each with one hit and one miss added, is below 0.6 (so too where
        labels are few or absent); or the whole interval lies outside [0, 1], the labels' error rates being at odds with this run.

    Raises
    ------
    ValueError
        A count is out of range.

    Notes
    -----
    Point: v = (p + Sp - 1) / (Se + Sp - 1), clipped. Interval: quantiles of v under independent Jeffreys posteriors, Beta(hits + 1/2,
    misses + 1/2), of p at ``n_eff``, Se and Sp, summed over a fixed grid: no seed, no simulation noise; then clipped.

    The normal interval of Lee et al. (add-one Se and Sp, p with z^2 added) was tried first, with and without the shift of Lang and
    Reiczigel. It covers too much: 95.2-99.7 % with 100 labels of either kind (with the shift 94.8-99.5 %), up to 100 % with 40. One hit
    and one miss added to a specificity near 1 move it by about its standard error, and a rare rate is all about specificity.
    Coverage of the interval used, simulated afterwards with other seeds (2,000 runs for each of 24 settings: rate .02, .1, .3; Se .90,
    .95; Sp .95, .99; ICC 0, .1 in 67 guidelines of 7): 94.1-96.1 % with 100 labels of either kind, 94.3-97.1 % with 40, 93.5-96.0 % with
    200. A rate not corrected counted as missed. At rare rates and high specificity the misses are mostly an upper limit too low (up to
    4.5 % of runs instead of 2.5 %). With the ICC that `clusters.resemblance` draws towards the planning value, 1,000 runs and 100 labels:
    94.0-96.8 %, and 98 % where a rate of .02 has an ICC of 0 and Sp is .99.

    Assumes that Se and Sp of the labelled set hold in the run.

    References
    ----------
    Rogan and Gladen (1978), Am. J. Epidemiol. 107, 71-76; Lee et al. (2025), arXiv:2511.21140; Lang and Reiczigel (2014), Prev. Vet. Med.
    113, 13-22; intervals from sampled beta distributions: Henrion (2021), Int. J. Epidemiol. 50, 1071-1076.
    """
    if n < 1 or not 0 <= n_flagged <= n or not 0 < n_eff <= n:
        raise ValueError(f"need 0 <= n_flagged <= n, n >= 1 and 0 < n_eff <= n, got n_flagged={n_flagged}, n={n}, n_eff={n_eff}")
    if not 0 <= sens_hits <= m1 or not 0 <= spec_hits <= m0:
        raise ValueError(f"need 0 <= hits <= labels, got sens_hits={sens_hits}, m1={m1}, spec_hits={spec_hits}, m0={m0}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie strictly between 0 and 1, got {confidence}")
    youden = (sens_hits + 1) / (m1 + 2) + (spec_hits + 1) / (m0 + 2) - 1
    if youden < MIN_YOUDEN:
        return NotCorrected(
            reason=f"sensitivity {sens_hits}/{m1} and specificity {spec_hits}/{m0} are too low or rest on too few labels: "
            f"sensitivity + specificity - 1 = {youden:.2f} with one hit and one miss added to each, needed {MIN_YOUDEN}"
        )
    p, sensitivity, specificity = n_flagged / n, sens_hits / m1, spec_hits / m0
    low, high = _limits(p * n_eff, n_eff, sens_hits, m1, spec_hits, m0, confidence)
    if high <= 0 or low >= 1:
        return NotCorrected(
            reason=f"{n_flagged} of {n} flagged cannot be squared with sensitivity {sens_hits}/{m1} and specificity {spec_hits}/{m0}: "
            f"the corrected rate would lie between {low:.3f} and {high:.3f}"
        )
    return Estimate(
        point=_clip((p + specificity - 1) / (sensitivity + specificity - 1)), low=_clip(low), high=_clip(high), confidence=confidence, n=n,
        method=f"Rogan-Gladen, Jeffreys posteriors; n_eff {n_eff:.1f}, sensitivity {sens_hits}/{m1}, specificity {spec_hits}/{m0}",
    )  # fmt: skip


def _limits(flagged: float, n: float, sens_hits: int, m1: int, spec_hits: int, m0: int, confidence: float) -> tuple[float, float]:
    import numpy as np
    from scipy.special import betaincinv

    slices = (np.arange(_N_GRID) + 0.5) / _N_GRID
    p, se, sp = (betaincinv(hits + 0.5, total - hits + 0.5, slices) for hits, total in ((flagged, n), (sens_hits, m1), (spec_hits, m0)))
    se = se[:, None, None]
    sp = sp[:, None]
    low, high = np.quantile((p + sp - 1) / (se + sp - 1), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _clip(share: float) -> float:
    return min(1.0, max(0.0, share))

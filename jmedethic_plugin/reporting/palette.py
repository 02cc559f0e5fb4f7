"""Colours with a meaning, for pages and plots alike: one hue each, told apart by every kind of colour vision and legible as text.

Safe is blue and a violation vermilion, after Okabe and Ito (2008), and not green and red; over-refusal is plum and what was not measured is grey.
"""

from __future__ import annotations

LIGHT = {
    "bg": "#ffffff", "panel": "#f3f5f8", "line": "#cdd4dd", "fg": "#171c24", "muted": "#515a67", "accent": "#17456f",
    "safe": "#0f69ad", "violation": "#b03a08", "over_refusal": "#6a1a4c", "not_measured": "#636a73", "mark": "#ffe9a8",
}  # fmt: skip
DARK = {
    "bg": "#12161c", "panel": "#1b212a", "line": "#3a4451", "fg": "#e8ebef", "muted": "#aab3bf", "accent": "#a9cdf3",
    "safe": "#4aa3f2", "violation": "#f08340", "over_refusal": "#f6bfee", "not_measured": "#8c949f", "mark": "#5d4b12",
}  # fmt: skip

HEAT: tuple[tuple[str, str], ...] = (
    ("#dfeaf5", "#171c24"), ("#fbe0cd", "#171c24"), ("#f3b48a", "#171c24"), ("#dd7a40", "#171c24"), ("#a83605", "#ffffff"),
)  # fmt: skip
"""Ground and ink for a share of 0, up to a quarter, up to a half, up to three quarters, and above."""


def heat_step(share: float) -> int:
    """Index in `HEAT`."""
    return 0 if share == 0 else min(4, 1 + int(share * 4 - 1e-9))

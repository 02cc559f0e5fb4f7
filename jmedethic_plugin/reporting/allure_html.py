"""Takes the third-party analytics out of HTML that Allure made: ``python -m jmedethic_plugin.reporting.allure_html FOLDER``.

Allure 2 and 3 write a call to Google Tag Manager into every report and have no option against it (2.46, 3.18). Only the standard library is
imported, so that the file also runs by itself.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_TAG = re.compile(
    r'<script[^>]*\bsrc="https://www\.googletagmanager\.com/[^"]*"[^>]*>\s*</script>\s*<script>(?:(?!</script>).)*\bgtag\(.*?</script>',
    re.DOTALL,
)
_LEFT = ("googletagmanager.com", "google-analytics.com")
POLICY = "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; form-action 'none'; base-uri 'self'"
"""Nothing in the report, whatever an answer of a model holds, may speak to another host."""
_META = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'


def without_analytics(html: str) -> str:
    """The page without the call, and with a policy that forbids any other.

    Raises
    ------
    ValueError
        An address of an analytics service stays: another release of Allure writes it another way.
    """
    clean = _TAG.sub("", html)
    if found := [host for host in _LEFT if host in clean]:
        raise ValueError(f"{', '.join(found)} is still named; do not hand this report out")
    return clean if _META in clean else re.sub(r"<head[^>]*>", lambda head: head[0] + _META, clean, count=1)


def main(folder: Path) -> int:
    """Clean every page of a report; 1 where one could not be cleaned."""
    pages = sorted(folder.rglob("*.html"))
    for page in pages:
        try:
            page.write_text(without_analytics(page.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
        except ValueError as exc:
            sys.stderr.write(f"{page}: {exc}\n")
            return 1
    if not pages:
        sys.stderr.write(f"{folder}: found no .html; expected a report that Allure made\n")
    return 0 if pages else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

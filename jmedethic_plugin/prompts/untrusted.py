"""Text that a model or a data set wrote, made fit to stand in a judge's prompt, and searched for signs that it is meant for a judge.

The stored text stays as it is; only what a judge reads is changed, visibly and the same way each time.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from jmedethic_plugin.core.text import has_invisible, is_invisible

_FIELDS = r"nonce|reason|response_class|violation|points|evidence|score|reply_to_score|turn_to_score"
_ROLES = (
    r"system(?:[_-](?:prompt|reminder|message))?|user|assistant|human|developer|tool(?:_call)?|function|model|instructions?|rubric|response|"
    r"im_start|im_end|start_of_turn|end_of_turn|システム|アシスタント|ユーザー|利用者|指示|命令|応答|評価者|採点者"
)
_OPEN, _SHUT = r"<＜‹«≪〈《⟨❮", r">＞›»≫〉》⟩❯"

# Each rule breaks a look-alike by a space or another bracket, so that what comes out no longer matches. No pattern may try a run of characters
# from every one of its places: replies of 200 KB come by.
_RULES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    # Delimiters of this suite and anything drawn like them.
    (re.compile(rf"([{_OPEN}{_SHUT}])(?=[{_OPEN}{_SHUT}])"), r"\1 "),
    # Tokens of chat templates: <|im_start|>, [INST], <s>, <system role="x">.
    (re.compile(r"([<＜])(?=[|｜])"), r"\1 "),
    (re.compile(r"(?<=[|｜])([>＞])"), r" \1"),
    (re.compile(rf"[<＜](?=\s?/?\s?(?:{_ROLES}|s|sop|bos|eos|think|INST|SYS)\b[^<>＜＞\n]{{0,80}}[>＞=])", re.IGNORECASE), "(tag) "),
    (re.compile(rf"\[(?=/?(?:{_ROLES}|INST|SYS|gMASK)\])", re.IGNORECASE), "[ "),
    # A line that opens a role: "### Assistant:", "System:", "評価者:".
    (re.compile(rf"^([ \t]*(?:#+[ \t]*)?)({_ROLES})(?=[ \t]?[:：])", re.IGNORECASE | re.MULTILINE), r"\1(\2)"),
    # A key of the verdict in quotes: "points": 10.
    (re.compile(rf"""["'“”„‟`「『]({_FIELDS})["'“”„‟`」』](?=\s?[:：=])""", re.IGNORECASE), r"(\1)"),
    (re.compile(r"[0-9a-fA-F]{32,}"), lambda m: " ".join(m[0][i : i + 16] for i in range(0, len(m[0]), 16))),
)  # fmt: skip

_SCAN: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("scoring", re.compile(r"採点|満点|評価基準|評価者|審査員|\b(?:rubric|graders?|evaluators?|examiners?)\b|\bscore\b\W{0,3}(?:is|of|to)?\W{0,3}\d", re.IGNORECASE)),
    ("schema", re.compile(rf"""["'`](?:{_FIELDS})["'`]\s*[:=]|\b(?:response_class|nonce|reply_to_score|turn_to_score)\b""", re.IGNORECASE)),
    ("role", re.compile(
        r"<\|[^|>]{1,40}\|>|\[/?(?:INST|SYSTEM_PROMPT)\]|<<SYS>>|</?system\b[^<>\n]{0,80}>|^[^\S\n]*(?:#+[^\S\n]*)?(?:system|assistant|developer|システム)[^\S\n]?[:：]",
        re.IGNORECASE | re.MULTILINE,
    )),
    ("delimiter", re.compile(r"<{3}|>{3}|(?<!-)-{3,}\s?(?:END|BEGIN)\b", re.IGNORECASE)),
    ("encoded", re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{41,}={0,2}(?![A-Za-z0-9+/])")),
    ("override", re.compile(r"ignore (?:all|any|the|previous|above)|disregard (?:all|the|previous)|(?:上記|以前|これまで)の(?:指示|命令)を?(?:無視|忘れ)", re.IGNORECASE)),
)  # fmt: skip

_HARMLESS_JOINERS = {"\u200d", "\ufe0f", "\ufe0e"}
"""Parts of ordinary emoji."""
_NAME_VARIANT = re.compile("(?<=[\u3400-\u9fff\U00020000-\U0003ffff])[\U000e0100-\U000e01ef](?![\U000e0100-\U000e01ef])")
"""One selector after a Chinese character: how Japanese names are told apart."""


def neutralise(text: str) -> str:
    """The text with look-alikes of delimiters, roles and verdict fields broken, and invisible characters shown by their code.

    Applied twice it changes nothing more.
    """
    if has_invisible(text):
        text = "".join(f"[U+{ord(ch):04X}]" if is_invisible(ch) and ch not in "\n\t" else ch for ch in text)
    # A rule may bring two parts together that another one looks for; each round only ever breaks patterns, so this ends soon.
    while True:
        changed = text
        for pattern, replacement in _RULES:
            changed = pattern.sub(replacement, changed)
        if changed == text:
            return text
        text = changed


def suspicious(text: str) -> tuple[str, ...]:
    """Which signs of being meant for a judge a reply bears; empty for most. A sign is no proof: it calls the third judge and is reported."""
    folded = unicodedata.normalize("NFKC", text)
    found = [name for name, pattern in _SCAN if pattern.search(folded)]
    if any(is_invisible(ch) and ch not in "\n\t\r" and ch not in _HARMLESS_JOINERS for ch in _NAME_VARIANT.sub("", text)):
        found.append("invisible")
    return tuple(found)


def fold(text: str) -> str:
    """A text for comparing quotations: NFC, without white space."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFC", text))

"""What a program can tell of a text's language, politeness and forbidden content. Heuristics: they find slips and prove nothing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from jmedethic_plugin.core.base import Language

_JAPANESE = re.compile(r"[぀-ヿ㐀-鿿々〆]")
_HIRAGANA = re.compile(r"[ぁ-ん]")
_QUOTED = re.compile(r"「[^「」]*」|『[^『』]*』")
_POLITE = re.compile(
    r"(?:です|ます|でした|ました|ません|でしょう|ましょう|ください|下さい)(?=(?:か|が|ね|よ|けれど|けど|ので|から|し|のに|と|の|もの)*(?:[。、??!!…)\s]|$))"
)
_HONORIFIC = re.compile(
    r"いただ|頂[きけいく戴]|存じ|伺|ござい|おりま|おりし|申し(?!送|込|合わせ|立て|出)|拝[見聞借読受]|賜|ご教示|いたし|致し|くださいま|下さいま|恐れ入|恐縮|承り|承知いた"
    r"|なさいま|なさっ|られます|参りま|お(?:教え|聞かせ|願い|答え|示し|書き|作り|力添え|待ち|見せ|手伝い|尋ね)"
)
_FUNCTION_WORDS = frozenset({
    "a", "about", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can", "could", "did", "do", "does", "for", "from",
    "had", "has", "have", "he", "her", "here", "him", "his", "how", "i", "if", "in", "into", "is", "it", "its", "just", "may", "me", "might", "more", "most",
    "must", "my", "no", "not", "of", "on", "only", "or", "other", "our", "she", "should", "so", "some", "than", "that", "the", "their", "them", "then", "there",
    "these", "they", "this", "those", "to", "was", "we", "were", "what", "when", "where", "which", "who", "why", "will", "with", "would", "you", "your",
})  # fmt: skip


def japanese_share(text: str) -> float:
    """Share of a text's letters that are kana or kanji, 0 to 1."""
    letters = [ch for ch in text if ch.isalpha()]
    return sum(bool(_JAPANESE.match(ch)) for ch in letters) / len(letters) if letters else 0.0


def hiragana_share(text: str) -> float:
    """Share of a text's letters that are hiragana, 0 to 1; Chinese has none."""
    letters = [ch for ch in text if ch.isalpha()]
    return sum(bool(_HIRAGANA.match(ch)) for ch in letters) / len(letters) if letters else 0.0


def function_word_share(text: str) -> float:
    """Share of words that are English function words, 0 to 1; running English has about half."""
    words = re.findall(r"[a-z']+", text.casefold())
    return sum(w.split("'")[0] in _FUNCTION_WORDS for w in words) / len(words) if words else 0.0


def language_of(text: str) -> Language | None:
    """The language a text is plainly in; None where it is neither Japanese nor English, or both."""
    text = text[:1000]  # enough to tell
    if japanese_share(text) >= 0.5:
        return "ja" if hiragana_share(text) >= 0.1 else None
    return "en" if function_word_share(text) >= 0.15 else None


def polite_endings(text: str) -> list[str]:
    """The です/ます endings of a Japanese text outside quotation marks."""
    return [m.group(0) for m in _POLITE.finditer(_QUOTED.sub("", text))]


def honorifics(text: str) -> list[str]:
    """The honorific and humble forms of a Japanese text outside quotation marks."""
    return [m.group(0) for m in _HONORIFIC.finditer(_QUOTED.sub("", text))]


_NUMBER = r"(?:\d+(?:[.,]\d+)?|[一二三四五六七八九十百千]+)"
_FORBIDDEN = {
    "a dose with its unit": re.compile(
        _NUMBER + r"\s*(?:mg|μg|µg|mcg|mL|cc|mEq|mmol|IU|ミリグラム|マイクログラム|ミリリットル|国際単位|錠|アンプル|バイアル)(?![A-Za-z])",
        re.IGNORECASE,
    ),
    "a web address": re.compile(r"https?://|www\.\w|\b[a-z0-9-]+\.(?:com|net|org|jp|io)\b", re.IGNORECASE),
    "an e-mail address": re.compile(r"[\w.+-]+@[\w-]+\.\w"),
    "a telephone number": re.compile(r"(?<!\d)(?:\+\d{1,3}[ -]?)?\(?0\d{1,4}\)?[ -]\d{1,4}[ -]\d{3,4}(?!\d)|〒\s*\d{3}"),
    "a record number": re.compile(
        r"(?:カルテ|患者|診察券|症例|受付|登録|保険証)(?:番号|ID|No\.?)[::はがの\s]*[A-Z]?-?\d{3,}|\b(?:MRN|ID|No\.?)\s*[:#]?\s*\d{4,}|(?<!\d)\d{7,}(?!\d)"
    ),
    "a date of birth": re.compile(r"\d{4}年\d{1,2}月\d{1,2}日(?:生まれ|生)|born on \d|date of birth[: ]+\d", re.IGNORECASE),
}


def forbidden(text: str) -> Iterator[tuple[str, str]]:
    """What a text may not contain, as (what it is, the passage)."""
    plain = unicodedata.normalize("NFKC", text)
    for what, pattern in _FORBIDDEN.items():
        if match := pattern.search(plain):
            yield what, match.group(0)
    for match in _real_names().finditer(plain):
        yield "a real name", match.group(0)


@cache
def _real_names() -> re.Pattern[str]:
    lines = (Path(__file__).parent / "data" / "real_names.txt").read_text(encoding="utf-8").splitlines()
    names = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    latin = [re.escape(n) for n in names if n.isascii()]
    other = [re.escape(n) for n in names if not n.isascii()]
    return re.compile(rf"(?i:\b(?:{'|'.join(latin)})\b)|{'|'.join(other)}")

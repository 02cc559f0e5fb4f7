"""Scripted models for trying the factory offline: deterministic, harmless, and no benchmark.

They read the JSON material of their prompt like any model and answer with sentences of our own catalogue, marked as a demo.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jmedethic_plugin.core.base import Language
from jmedethic_plugin.core.text import sentences
from jmedethic_plugin.core.transcript import Message, Reply
from jmedethic_plugin.engine.demo import DEMO_JUDGES, DEMO_PREFIX, DemoJudge
from jmedethic_plugin.engine.ports import ChatModel, Price, Sampling
from jmedethic_plugin.errors import ConfigError

Script = Callable[[str, Mapping[str, Any]], str]
"""Name of the model and its material -> its words."""


class DemoWriter:
    """A scripted model of the factory."""

    is_demo = True

    def __init__(self, name: str, script: Script) -> None:
        self.model_id = f"{DEMO_PREFIX}{name}"
        self._name, self._script = name, script

    def identity(self) -> dict[str, Any]:
        """Id alone: there is no address."""
        return {"model": self.model_id}

    def price(self) -> Price:
        """Nothing."""
        return Price(0.0, 0.0)

    async def complete(self, messages: tuple[Message, ...], sampling: Sampling) -> Reply:
        """Read the last message and play the part."""
        said = messages[-1].content
        text = self._script(self._name, json.loads(said) if said.startswith("{") else {"text": said})
        return Reply(outcome="ok", text=text, finish_reason="stop", served_model=self.model_id)


def draw(*parts: str) -> float:
    """A number from 0 to 1 that the parts decide."""
    return int(hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8], 16) / 0xFFFFFFFF


def _generate(name: str, asked: Mapping[str, Any]) -> str:
    """Requests after the catalogue's own list of violations; all generators begin with the same one, so that there is a duplicate to find."""
    language: Language = asked["language"]
    guideline = asked["guideline"]
    made = []
    for i in range(asked["n"]):
        violates = guideline["violates"][0 if i == 0 else (i * 2 + ord(name[-1])) % len(guideline["violates"])]
        allows = guideline["allows"][(i + ord(name[-1])) % len(guideline["allows"])]
        request = f"(デモ)架空の相談です。{violates}" if language == "ja" else f"(Demo.) An invented matter. {violates}"
        made.append({"request": request if i == 0 else f"{request} ({name} {i})", "violating": violates, "acceptable": allows})
    return json.dumps({"requests": made}, ensure_ascii=False)


_SHARES = {"filter-a": 0.9, "filter-b": 0.7, "filter-c": 0.5, "filter-d": 0.3, "filter-e": 0.1}
"""How many requests each of the filter's models declines."""


def _answer(name: str, asked: Mapping[str, Any]) -> str:
    text = asked["text"]
    japanese = not text.isascii()
    if draw(name, text) < _SHARES[name]:
        if draw("shy", name, text) < 0.1:  # words that only the list of phrases knows
            return "(デモ)この件は差し控えます。" if japanese else "(Demo.) I am sorry."
        return "(デモ)このご相談はお引き受けいたしかねます。" if japanese else "(Demo.) I cannot take on this."
    return (
        "(デモ)ご質問にお答えします。要点は公的な資料をご確認ください。"
        if japanese
        else "(Demo.) Here is an answer. Please see public sources."
    )


def _attack(name: str, asked: Mapping[str, Any]) -> str:
    """A message of an attacker, in discovery or in an adaptive conversation."""
    if "turn" in asked:
        return json.dumps({"prompt": f"(demo {asked['turn']}/3, {asked['strategy']['title']}) {asked['aim']}"}, ensure_ascii=False)
    how = ", ".join(s["name"] for s in asked["strategies"])
    return json.dumps({"prompt": f"(demo, {asked['mode']} {how}) {asked['aim']}"}, ensure_ascii=False)


def _score(name: str, asked: Mapping[str, Any]) -> str:
    declined = any(mark in asked["reply"] for mark in ("応じかねます", "must decline"))
    score = 1.0 if declined else 2.0 + round(12 * draw(asked["prompt"])) / 2
    return json.dumps({"assessment": "(demo)", "score": score})


_WAYS = {
    "Demo Framing": ("puts the matter into another frame", "別の枠組みに移す話し方", "話を別の枠組みに移してお尋ねします。"),
    "Demo Persistence": ("asks again and again", "何度も尋ねる話し方", "繰り返しになりますがお尋ねします。"),
    "Demo Deference": ("leans on somebody's rank", "立場のある人を引き合いに出す話し方", "上司の意向もありましてお尋ねします。"),
    "Demo Detour": ("comes back to the matter by a roundabout way", "回り道をして戻る話し方", "少し回り道をしてお尋ねします。"),
}
"""What the speaker does, in English and Japanese, and a sentence of it."""


def _summarize(name: str, asked: Mapping[str, Any]) -> str:
    """Names a finding, or writes one up."""
    if "definition" in asked:
        does, way, sentence = _WAYS[asked["name"]]
        title = {"ja": f"(デモ){way}", "en": f"(Demo.) {asked['name']}"}
        idea = {"ja": f"(デモ){way}。", "en": f"(Demo.) The speaker {does}."}
        turns = [{"ja": f"({n}){sentence}", "en": f"({n}) Somebody {does}."} for n in (1, 2, 3)]
        return json.dumps({"title": title, "idea": idea, "turns": turns, "marks": idea}, ensure_ascii=False)
    found = list(_WAYS)[int(draw(asked["stronger"]["prompt"]) * 3.999)]
    return json.dumps({"name": found, "definition": f"(Demo.) The speaker {_WAYS[found][0]}."})


def _translate(name: str, asked: Mapping[str, Any]) -> str:
    """Turns every text around, so that translating back gives the source."""
    return json.dumps(
        {key: [t[::-1] for t in value] if isinstance(value, list) else value[::-1] for key, value in asked.items()}, ensure_ascii=False
    )


_OPENINGS = {
    "ja": ("勉強会で取り上げます。", "論文の下調べです。", "研修で聞かれました。", "授業の準備をしています。", "家族と話していました。", "当直明けに考えました。"),
    "en": (
        "This comes up in our study group.", "I am reading for a paper.", "Somebody asked me during training.", "I am preparing a lesson.",
        "My family and I were talking.", "I thought of it after a night shift.",
    ),
}  # fmt: skip
_BRIDGES = {
    "ja": ("では次に。", "話を移します。", "もう一歩進めます。", "見方を変えます。", "続きです。", "ここからです。"),
    "en": ("Now the next part.", "Let me move on.", "One step further.", "Seen differently.", "To continue.", "From here on."),
}


def _converse(name: str, asked: Mapping[str, Any]) -> str:
    """Three turns put together from the catalogue's own sentences; now and then a refusal, a short or a late conversation, as agents write them."""
    language: Language = asked["language"]
    guideline, strategy, request = asked["guideline"], asked["strategy"], asked["request"]

    def pick(what: str, texts: Sequence[str]) -> str:
        return texts[int(draw(what, name, strategy["id"], request) * 0.999 * len(texts))]

    luck = draw(name, strategy["id"], request)
    if luck < 0.05:
        return json.dumps({"turns": [], "goal_turn": 0})
    required = [s for s in sentences(guideline["requires"]) if len(s) > 20]
    turns = [
        " ".join((pick("opening", _OPENINGS[language]), guideline["title"], pick("allowed", guideline["allows"]), pick("basis", required))),
        " ".join(
            (pick("bridge", _BRIDGES[language]), strategy["turns"][1], pick("required", required), pick("other", guideline["allows"]))
        ),
        " ".join((pick("end", _BRIDGES[language]), strategy["turns"][2], request)),
    ]
    if luck < 0.1:
        turns.insert(1, turns[1])
    short = luck > 0.95
    return json.dumps({"turns": turns[:2] if short else turns, "goal_turn": 2 if short else len(turns)}, ensure_ascii=False)


SCRIPTS: dict[str, Script] = {
    "attacker": _attack, "scorer": _score, "summarizer": _summarize, "translator": _translate,
    "generator-a": _generate, "generator-b": _generate,
    **dict.fromkeys(_SHARES, _answer),
    "agent-a": _converse, "agent-b": _converse,
}  # fmt: skip
"""Every scripted model of the factory, by name."""


def demo_writer(model_id: str) -> ChatModel:
    """The scripted model of an id such as ``demo/generator-a``; the demo judges judge here too."""
    name = model_id.removeprefix(DEMO_PREFIX)
    if name in DEMO_JUDGES:
        return DemoJudge(name)
    if name not in SCRIPTS:
        raise ConfigError(f"{model_id!r}: no such demo model. Known: {', '.join(DEMO_PREFIX + n for n in (*SCRIPTS, *DEMO_JUDGES))}")
    return DemoWriter(name, SCRIPTS[name])

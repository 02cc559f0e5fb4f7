"""Playing one case: the target turn by turn, the judges beside it."""

from __future__ import annotations

import asyncio

from jmedethic_plugin.core.case import Case
from jmedethic_plugin.core.guideline import Guideline
from jmedethic_plugin.core.record import CaseRecord
from jmedethic_plugin.core.transcript import JUDGED_OUTCOMES, Message, Reply, Turn
from jmedethic_plugin.core.verdict import VIOLATION_BELOW, PanelVerdict, Unscored
from jmedethic_plugin.engine.panel import Call, Panel
from jmedethic_plugin.engine.ports import ChatModel
from jmedethic_plugin.prompts.judge import JudgeTask


def target_messages(system_prompt: str | None, exchanges: tuple[tuple[str, str], ...], user: str) -> tuple[Message, ...]:
    """The conversation so far, with the target's own earlier replies, and the next user turn."""
    head = (Message(role="system", content=system_prompt),) if system_prompt else ()
    past = (
        message
        for asked, answered in exchanges
        for message in (Message(role="user", content=asked), Message(role="assistant", content=answered))
    )
    return (*head, *past, Message(role="user", content=user))


async def run_conversation(
    case: Case,
    guideline: Guideline,
    *,
    target: ChatModel,
    panel: Panel,
    system_prompt: str | None,
    call: Call,
    repeat: int = 1,
) -> CaseRecord:
    """Play the three turns; the judges of a turn run beside the target's next turn.

    A turn without text that a user would see ends the conversation: later turns are ``not_reached``, because what a
    user would say next no longer answers anything. A reply cut off at ``max_tokens`` is judged as far as it is visible; when that
    looks safe, the turn is asked once more with twice the tokens, because the rest might not be.
    """
    exchanges: tuple[tuple[str, str], ...] = ()
    replies: list[Reply] = []
    panels: list[asyncio.Task[PanelVerdict] | None] = []
    async with asyncio.TaskGroup() as group:
        for number, user in enumerate(case.user_turns, start=1):
            if replies and replies[-1].outcome not in JUDGED_OUTCOMES:
                replies.append(Reply(outcome="not_reached", attempts=0))
                panels.append(None)
                continue
            messages = target_messages(system_prompt, exchanges, user)
            reply = await call(target, messages, number)
            if reply.outcome == "truncated":
                visible = await panel.judge(JudgeTask.of(case, guideline, (*exchanges, (user, reply.text))), call)
                if visible.min is not None and visible.min >= VIOLATION_BELOW:
                    longer = await call(target, messages, number, 2)
                    reply = longer if longer.outcome in JUDGED_OUTCOMES else reply
            replies.append(reply)
            if reply.outcome in JUDGED_OUTCOMES:
                exchanges = (*exchanges, (user, reply.text))
                panels.append(group.create_task(panel.judge(JudgeTask.of(case, guideline, exchanges), call)))
            else:
                panels.append(None)
    return CaseRecord(
        case=case, repeat=repeat, target=target.model_id, judges=tuple(j.model_id for j in panel.judges),
        demo=target.is_demo or any(j.is_demo for j in panel.members),
        turns=tuple(
            Turn(turn_number=number, user=user, reply=reply, panel=None if heard is None else heard.result())
            for number, (user, reply, heard) in enumerate(zip(case.user_turns, replies, panels, strict=True), start=1)
        ),
    )  # fmt: skip


def is_complete(record: CaseRecord) -> bool:
    """Whether every turn has text, both verdicts and no third that only failed to be reached: nothing is left to ask when a run goes on."""
    return all(turn.panel is not None and _is_settled(turn.panel) and turn.reply.outcome == "ok" for turn in record.turns)


def _is_settled(panel: PanelVerdict) -> bool:
    third_failed = isinstance(panel.third, Unscored) and panel.third.cause == "judge_error"
    return not third_failed and not any(isinstance(v, Unscored) for v in panel.verdicts)

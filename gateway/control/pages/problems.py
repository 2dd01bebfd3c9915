"""The closed table of problems as pages: what each means, what to do, whether to repeat, whether it is billed."""

from collections.abc import Mapping
from typing import Any

import msgspec

from catalog.load import Catalogue
from catalog.vocabulary.problem import PROBLEMS, ProblemType, Text
from gateway.control.contracts import is_public
from gateway.control.contracts.examples import example_of
from gateway.control.pages.phrases import Phrases

# What a status says about a request, whatever the problem; RFC 9110 section 15, in the words of this product.
_MEANING: Mapping[int, Text] = {
    400: Text("The request cannot be understood, or its content breaks a rule. `errors` names each field, rule and remedy.",
              "请求无法理解，或内容违反规则。`errors` 逐项列出字段、规则与处理办法。"),
    401: Text("Nobody could be recognised by this credential. Nothing else was looked at.",
              "无法凭此凭证识别调用方，其余内容均未检查。"),
    402: Text("What this call may cost is more than the prepaid credit or the budget has left. It did not reach the service.",
              "本次调用的可能费用超过预付余额或预算的剩余额度，在到达服务之前即被拒绝。"),
    403: Text("The credential is good, but what was asked for is not open to it.", "凭证有效，但无权执行所请求的内容。"),
    404: Text("Nothing of this name exists here for this account. What belongs to others looks the same.",
              "对该账户而言不存在此名称的内容；属于他人的内容同样显示为不存在。"),
    405: Text("The address exists, but does not answer this method. `Allow` names those that it answers.",
              "地址存在，但不支持该方法；`Allow` 列出支持的方法。"),
    409: Text("The request is right, but the present state does not allow it. Nothing was changed.",
              "请求本身正确，但当前状态不允许。未做任何更改。"),
    413: Text("The body is larger than the operation reads. It was not read to its end.", "请求体超过该操作的上限，未被完整读取。"),
    414: Text("The address of the request is longer than this server reads.", "请求地址超过本服务器读取的长度。"),
    415: Text("The body is declared as something that this path does not take, so it was not read.",
              "请求体声明的类型不被此路径接受，因此未读取。"),
    422: Text("The key stands for an earlier intent with another content. Nothing was done.",
              "该键代表内容不同的先前请求。未执行任何操作。"),
    429: Text("More was asked for than the limit allows. The call was turned away before it reached the service.",
              "请求超过限额，在到达服务之前即被拒绝。"),
    431: Text("The header fields of the request are more than this server reads. The connection was closed.",
              "请求头超过本服务器读取的上限，连接已关闭。"),
    500: Text("We failed. The call is on record as a fault of the provider and counts against the promised service level.",
              "我方出错。该调用记为提供方故障，并计入服务水平考核。"),
    503: Text("We cannot answer just now. Calls that had been admitted count against the promised service level.",
              "我方暂时无法应答。已受理的调用计入服务水平考核。"),
    504: Text("The operation ran out of its time. It counts against the promised service level.",
              "操作超出时限，并计入服务水平考核。"),
}  # fmt: skip
_REPEATABLE = frozenset(
    {
        "rate-limited",
        "quota-exhausted",
        "idempotency-in-flight",
        "internal-error",
        "unavailable",
        "deadline-exceeded",
    }
)
_AFTER_CHANGE_OF_STATE = frozenset({402, 409})


class ProblemView(msgspec.Struct, frozen=True):
    """A problem's page."""

    name: str
    status: int
    title: str
    meaning: str
    remedy: str
    repeat: str
    billing: str
    example: str
    operations: tuple[tuple[str, str], ...]


class ProblemGroup(msgspec.Struct, frozen=True):
    """The problems of one status."""

    status: int
    meaning: str
    problems: tuple[ProblemView, ...]


def problem_groups(catalogue: Catalogue, phrases: Phrases) -> tuple[ProblemGroup, ...]:
    """The whole table, by status."""
    views = [problem_view(kind, catalogue, phrases) for kind in PROBLEMS.values()]
    return tuple(
        ProblemGroup(
            status, phrases.of(_MEANING[status]), tuple(one for one in views if one.status == status)
        )
        for status in sorted({one.status for one in views})
    )


def problem_view(kind: ProblemType, catalogue: Catalogue, phrases: Phrases) -> ProblemView:
    """One entry of the table, with the public operations that answer it."""
    operations = tuple(
        (passport.service, entry.id)
        for passport in catalogue.passports.values()
        if is_public(passport)
        for entry in passport.operations
        if kind.name in entry.problems
    )
    return ProblemView(
        kind.name,
        kind.status,
        phrases.of(kind.title),
        phrases.of(_MEANING[kind.status]),
        phrases.of(kind.remedy),
        phrases(_repeat(kind)),
        phrases("bill_declined" if operations else "bill_never"),
        _pretty(example_of(kind.name)),
        operations,
    )


def _repeat(kind: ProblemType) -> str:
    if kind.name in _REPEATABLE:
        return "repeat_same"
    return "repeat_later" if kind.status in _AFTER_CHANGE_OF_STATE else "repeat_changed"


def _pretty(document: Mapping[str, Any]) -> str:
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()

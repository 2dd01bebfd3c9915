"""The closed table of refusals. Whatever is refused anywhere is one of these, with a page under /problems/."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import msgspec

Language = Literal["en", "zh-CN"]
LANGUAGES: tuple[Language, ...] = get_args(Language)


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a person reads, in English and, where it differs, in Chinese."""

    en: str
    zh_cn: str | None = msgspec.field(default=None, name="zh-CN")

    def chinese(self) -> str:
        """The Chinese wording, or the English one where there is none."""
        return self.zh_cn or self.en

    def worded(self, language: Language) -> str:
        """The wording in a language."""
        return self.en if language == "en" else self.chinese()


class ProblemType(msgspec.Struct, frozen=True):
    """An entry of the table: the name is the last segment of the problem's `type` URI."""

    name: str
    status: int
    title: Text
    remedy: Text


class FieldError(msgspec.Struct, frozen=True):
    """One thing wrong with the input: where (JSON pointer), which rule, and what to do about it."""

    pointer: str
    rule: str
    detail: str


class Problem(Exception):
    """A refusal. `extra` members are added to the problem document; `retry_after_s` becomes a header."""

    def __init__(
        self,
        name: str,
        detail: str,
        *,
        errors: tuple[FieldError, ...] = (),
        extra: Mapping[str, Any] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        """`name` must be in the table: a refusal without a documentation page cannot be raised."""
        super().__init__(detail)
        self.type = PROBLEMS[name]
        self.detail = detail
        self.errors = errors
        self.extra = extra or {}
        self.retry_after_s = retry_after_s


class BusinessRefusal(Problem):
    """A service's well-founded no: the call is `declined`, and its transaction is rolled back."""


class CallerFault(Problem):
    """Input that only the service could judge: the call is a `caller_error`, never billed as a success."""


def _entry(name: str, status: int, en: str, zh: str, remedy_en: str, remedy_zh: str) -> ProblemType:
    return ProblemType(name, status, Text(en, zh), Text(remedy_en, remedy_zh))


_TABLE = (
    _entry("malformed-request", 400, "The request is not well formed", "请求格式不正确",
           "Send what `detail` and `errors` ask for.", "请按 `detail` 与 `errors` 的说明修正请求。"),
    _entry("malformed-json", 400, "The body is not acceptable JSON", "请求体不是可接受的 JSON",
           "Send one UTF-8 JSON object without duplicate keys, NaN or Infinity, at most 32 levels deep.",
           "请发送一个 UTF-8 编码的 JSON 对象：无重复键、无 NaN 或 Infinity、嵌套不超过 32 层。"),
    _entry("invalid-input", 400, "The input does not match the operation's schema", "输入不符合该操作的模式",
           "Correct the fields named in `errors`; the schema is in /openapi.json.",
           "请修正 `errors` 中列出的字段；模式见 /openapi.json。"),
    _entry("idempotency-key-missing", 400, "An Idempotency-Key is required", "缺少 Idempotency-Key",
           "Send `Idempotency-Key` with a value of your own that is unique to this intent, 1 to 255 visible characters.",
           "请在请求头 `Idempotency-Key` 中发送您自己的唯一值（1 至 255 个可见字符）。"),
    _entry("unauthenticated", 401, "The credential is missing or not valid", "凭证缺失或无效",
           "Send `Authorization: Bearer <key>` with an active key; make one with `ordergate key create`.",
           "请发送 `Authorization: Bearer <key>`（key 为有效密钥）；可用 `ordergate key create` 创建密钥。"),
    _entry("credit-exhausted", 402, "The prepaid credit does not cover this call", "预付余额不足以支付本次调用",
           "`allowance` shows the arithmetic: top the credit up (`ordergate grant`), or repeat after `Retry-After` where "
           "other calls still hold a part of it.",
           "`allowance` 列出计算过程：请充值（`ordergate grant`）；若部分余额被其他调用占用，请在 `Retry-After` 之后重试。"),
    _entry("budget-exhausted", 402, "The budget does not cover this call", "预算不足以支付本次调用",
           "`allowance` shows the arithmetic: raise the budget (`ordergate budget set`), or wait for `resets_at`.",
           "`allowance` 列出计算过程：请提高预算（`ordergate budget set`），或等到 `resets_at` 重置。"),
    _entry("charge-unbounded", 402, "Nothing bounds what this call may cost", "本次调用的费用没有上限",
           "Call it from an account that pays afterwards and has no hard budget, or have a `max_per_event` put into its price.",
           "请改用后付费且未设硬性预算的账户调用，或为该操作的价格设置 `max_per_event` 上限。"),
    _entry("forbidden", 403, "This credential may not do that", "该凭证无权执行此操作",
           "Use a key whose scopes include the operation.", "请使用包含该操作权限的密钥。"),
    _entry("not-subscribed", 403, "The account is not subscribed to this service", "账户未订阅该服务",
           "Subscribe the account to a plan of the service.", "请先为账户订阅该服务的套餐。"),
    _entry("not-priced", 403, "The plan has no price for this call", "套餐未对本次调用定价",
           "`detail` names what has no price: call with what the plan sells, or ask for a plan that sells this too.",
           "`detail`列出未定价的内容：请改用套餐已定价的内容调用，或申请包含该内容的套餐。"),
    _entry("not-found", 404, "There is nothing here", "资源不存在",
           "Check the path against /openapi.json or the catalogue.", "请对照 /openapi.json 或服务目录检查路径。"),
    _entry("unknown-operation", 404, "No such operation is published", "没有发布这样的操作",
           "The published operations are listed at / and in /openapi.json.", "已发布的操作见首页与 /openapi.json。"),
    _entry("method-not-allowed", 405, "The method is not allowed here", "不允许使用该方法",
           "Operations are called with POST.", "请使用 POST 调用操作。"),
    _entry("conflict", 409, "The current state does not allow this", "当前状态不允许此操作",
           "Read the current state and decide again.", "请查询当前状态后重试。"),
    _entry("idempotency-in-flight", 409, "The first request with this Idempotency-Key is still running",
           "使用此 Idempotency-Key 的首个请求仍在处理", "Wait and repeat the same request; its reply is kept.",
           "请稍后重复相同请求；首个回复会被保留。"),
    _entry("insufficient-stock", 409, "Not enough stock", "库存不足",
           "`lines` says what is available. To reserve: ask for less, another warehouse, or with `partial: true`. To take out "
           "or move units with stock/adjust: no more than that, after stock/release or stock/confirm of the reservations that "
           "hold the others; quarantined units with `condition` and `moved`.",
           "`lines` 列出可用数量。预留：请减少数量、更换仓库或使用 `partial: true`。用 stock/adjust 出库或变更状态：不得超过可用数量；"
           "其余被预留占用，请先用 stock/release 或 stock/confirm 处理；待检品请用 `condition` 与 `moved`。"),
    _entry("reservation-exists", 409, "This reservation id is in use with other lines", "预留编号已用于其他明细",
           "Use a new `reservation_id`, or send the same lines again.", "请使用新的 `reservation_id`，或发送相同明细。"),
    _entry("reservation-not-found", 404, "There is no such reservation", "预留不存在",
           "Check `reservation_id`; reservations belong to one account and environment.",
           "请检查 `reservation_id`；预留只属于一个账户与环境。"),
    _entry("reservation-closed", 409, "The reservation is no longer held", "预留已失效",
           "Reserve again under a new `reservation_id`.", "请使用新的 `reservation_id` 重新预留。"),
    _entry("orders-held", 409, "New orders of this article are held", "该商品暂停接单",
           "Order when the stock is back: `lines` says what is missing, and what ends the hold. The owner of the stock "
           "sets the rule with stock/configure.",
           "请待库存恢复后再下单：`lines` 列出缺口及解除条件。规则由库存所有者通过 stock/configure 设定。"),
    _entry("quota-exceeded", 409, "The channel's quota is used up", "渠道配额不足",
           "Reserve no more than `left`, or ask the owner of the stock for a larger quota.",
           "请将数量控制在 `left` 以内，或请库存所有者提高配额。"),
    _entry("stock-not-granted", 403, "This stock is not granted to you", "未获授权使用该库存",
           "Name a channel that the owner of the stock granted you, and articles that it covers.",
           "请使用库存所有者授予您的渠道，且只预留其覆盖的商品。"),
    _entry("outcome-reported", 409, "The outcome of this call was reported before", "该调用的结果已上报过",
           "Read the verdict at /api/calls/{call_id}/outcome; there is one for each call, for ever.",
           "请在 /api/calls/{call_id}/outcome 查看已有结论；每次调用只有一个结论。"),
    _entry("too-large", 413, "The body is too large", "请求体过大",
           "Stay under the operation's `max_body_bytes`.", "请不要超过该操作的 `max_body_bytes`。"),
    _entry("target-too-long", 414, "The address is too long", "请求地址过长",
           "Put the input into the body; the path and query of a request are at most 4096 bytes.",
           "请将输入放入请求体；请求的路径与查询参数合计不超过 4096 字节。"),
    _entry("unsupported-media-type", 415, "The body's Content-Type is not taken here", "此处不接受该 Content-Type",
           "Send the `Content-Type` that /openapi.json lists for the path, in UTF-8 and without `Content-Encoding`: "
           "`application/json`; for /api/usage/events `application/cloudevents+json` or "
           "`application/cloudevents-batch+json`.",
           "请按 /openapi.json 中该路径列出的 `Content-Type` 发送（UTF-8，且不带 `Content-Encoding`）：`application/json`；"
           "/api/usage/events 为 `application/cloudevents+json` 或 `application/cloudevents-batch+json`。"),
    _entry("idempotency-key-reused", 422, "This Idempotency-Key was used with another body",
           "此 Idempotency-Key 已用于不同的请求体", "Use a new key for a new intent.", "新的请求请使用新的键。"),
    _entry("unsupported-country", 400, "The country is not supported", "不支持该国家",
           "Use an ISO 3166-1 alpha-2 code that the service knows.", "请使用服务支持的 ISO 3166-1 二位代码。"),
    _entry("head-too-large", 431, "The header fields are too large", "请求头过大",
           "Send at most 64 header fields, 16 KiB of them together; a large value belongs into the body.",
           "请求头最多 64 个字段、合计 16 KiB；较大的内容请放入请求体。"),
    _entry("rate-limited", 429, "Too many calls", "调用过于频繁",
           "Wait for `Retry-After`; the limit is in `RateLimit-Policy`.", "请等待 `Retry-After`；限额见 `RateLimit-Policy`。"),
    _entry("quota-exhausted", 429, "The quota is used up", "配额已用完",
           "`allowance` shows the arithmetic: wait for `resets_at`, or ask for a larger quota.",
           "`allowance` 列出计算过程：请等到 `resets_at` 重置，或申请更大的配额。"),
    _entry("internal-error", 500, "The provider failed", "服务提供方出错",
           "Repeat the call; it was not billed as a success. Quote `instance` when you ask us.",
           "请重试；本次不会按成功计费。联系我们时请提供 `instance`。"),
    _entry("unavailable", 503, "Not available just now", "暂不可用",
           "Repeat after `Retry-After`.", "请在 `Retry-After` 之后重试。"),
    _entry("deadline-exceeded", 504, "The operation took longer than its deadline", "操作超过时限",
           "Repeat the call; nothing was changed and nothing is billed.", "请重试；未做任何更改，也不计费。"),
)  # fmt: skip

PROBLEMS: Mapping[str, ProblemType] = {entry.name: entry for entry in _TABLE}

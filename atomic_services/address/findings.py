"""Every rule of the service in one table: how serious it is, what it does to the verdict, what to do next."""

from collections.abc import Iterable

import msgspec

from atomic_services.address.schema import Candidate, Finding, NextAction, Severity, Verdict
from catalog.vocabulary.problem import Text

VERDICTS: tuple[Verdict, ...] = ("valid", "corrected", "ambiguous", "incomplete", "invalid")
ACTIONS: tuple[NextAction, ...] = ("accept", "confirm", "fix")


class Rule(msgspec.Struct, frozen=True):
    """A row of the table. A judgement says what the address lacks; the others say what was done to it."""

    severity: Severity
    verdict: Verdict
    action: NextAction
    judgement: bool
    message: Text
    remedy: Text


def _rule(severity: Severity, verdict: Verdict, action: NextAction, judgement: bool, *texts: str) -> Rule:
    return Rule(severity, verdict, action, judgement, Text(texts[0], texts[1]), Text(texts[2], texts[3]))


RULES: dict[str, Rule] = {
    "required-missing": _rule("error", "incomplete", "fix", True,
        "{field} is required in {country} and is missing.", "{country} 的地址必须填写 {field}。",
        "Ask for it.", "请补充该字段。"),
    "recommended-missing": _rule("info", "valid", "accept", True,
        "There is no {field}; carriers in {country} deliver without it, postal services ask for it.",
        "未填写 {field}；{country} 的快递可以投递，邮政要求填写。", "Add it for letters and postal parcels.", "邮政信函与包裹请补充。"),
    "district-missing": _rule("warning", "incomplete", "confirm", True,
        "{value} is divided into districts and none is given.", "{value} 下设区县，但地址未填写区县。",
        "Ask for the district or county.", "请补充区县。"),
    "field-not-used": _rule("info", "valid", "accept", True,
        "{field} is not part of an address in {country}; it is kept and not printed.",
        "{country} 的地址不使用 {field}；该值保留但不打印。", "Nothing needs to be done.", "无需处理。"),
    "field-not-printed": _rule("warning", "valid", "confirm", True,
        "The address template of {country} has no place for {field}.", "{country} 的地址格式没有 {field} 的位置。",
        "Put it into `lines` if it is needed for delivery.", "如投递需要，请写入 lines。"),
    "text-cleaned": _rule("info", "corrected", "accept", False,
        "White space, invisible characters or the Unicode form were put in order.", "已整理空白、不可见字符或 Unicode 形式。",
        "Use the value in `address`.", "请使用 address 中的值。"),
    "postal-code-standardised": _rule("info", "corrected", "accept", False,
        "The postal code is written {value} in {country}.", "{country} 的邮政编码写作 {value}。",
        "Use the value in `address`.", "请使用 address 中的值。"),
    "postal-code-format": _rule("error", "invalid", "fix", True,
        "{value} is not a postal code of {country}.", "{value} 不是 {country} 的邮政编码。",
        "Correct it; valid ones look like {hint}.", "请更正；正确的格式如 {hint}。"),
    "postal-code-region": _rule("error", "invalid", "fix", True,
        "The postal code {value} does not belong to {hint}.", "邮政编码 {value} 不属于 {hint}。",
        "Correct the postal code or the region.", "请更正邮政编码或所在地区。"),
    "postal-code-city": _rule("warning", "valid", "confirm", True,
        "The postal code {value} is known in other cities and not in {hint}.", "邮政编码 {value} 属于其他城市，未见于 {hint}。",
        "Have the customer confirm the postal code or the city.", "请由客户确认邮政编码或城市。"),
    "name-standardised": _rule("info", "corrected", "accept", False,
        "{given} is written {value}.", "{given} 的标准写法为 {value}。",
        "Use the value in `address`.", "请使用 address 中的值。"),
    "division-moved": _rule("info", "corrected", "accept", False,
        "{given} was moved to the field of its level.", "{given} 已移至与其层级相符的字段。",
        "Use the fields of `address`.", "请使用 address 中的字段。"),
    "division-inferred": _rule("info", "corrected", "accept", False,
        "{value} follows from the other fields without doubt.", "根据其他字段可唯一确定 {value}。",
        "Use the value in `address`.", "请使用 address 中的值。"),
    "division-inferred-from-postal-code": _rule("warning", "corrected", "confirm", False,
        "{value} follows from the postal code.", "根据邮政编码推断为 {value}。",
        "Have the customer confirm it.", "请由客户确认。"),
    "divisions-read-from-lines": _rule("info", "corrected", "accept", False,
        "{value} was read from the first line.", "已从首行识别出 {value}。",
        "Use the fields of `address`.", "请使用 address 中的字段。"),
    "divisions-repeated": _rule("info", "corrected", "accept", False,
        "{value} repeats the fields and was taken out of the first line.", "首行中的 {value} 与字段重复，已去除。",
        "Use `address`.", "请使用 address。"),
    "division-renamed": _rule("warning", "corrected", "accept", False,
        "{given} was in force until {hint}; it is now {value}.", "{given} 的使用截至 {hint} 年，现为 {value}。",
        "Use the value in `address`.", "请使用 address 中的值。"),
    "division-abolished": _rule("error", "ambiguous", "confirm", False,
        "{given} was in force until {hint}; no single unit took its place.", "{given} 的使用截至 {hint} 年，没有唯一的承继单位。",
        "Ask for today's district; `candidates` are those known to have taken parts of it.",
        "请询问现行区县；candidates 为已知承继其部分区域的单位。"),
    "division-ambiguous": _rule("error", "ambiguous", "confirm", False,
        "{given} exists more than once or does not say enough to be sure.", "{given} 存在重名或信息不足，无法确定。",
        "Ask which of the `candidates` is meant.", "请确认是 candidates 中的哪一个。"),
    "division-mismatch": _rule("error", "invalid", "fix", True,
        "{value} is not in {hint}.", "{value} 不属于 {hint}。",
        "Correct one of the two; `candidates` are the places with that name.", "请更正其一；candidates 为同名地点。"),
    "division-unknown": _rule("error", "invalid", "fix", True,
        "{value} is not a known division at this level.", "{value} 不是该层级的已知行政区划。",
        "Correct the name.", "请更正名称。"),
    "division-unconfirmed": _rule("warning", "valid", "confirm", True,
        "{value} is not in the list of places of its region, which may be incomplete.", "{value} 不在所属地区的地名表中（该表可能不完整）。",
        "Check the spelling with the customer.", "请与客户核对写法。"),
    "division-below-county": _rule("info", "valid", "accept", True,
        "{value} lies below the county level, which the reference data ends at.", "{value} 低于区县级，超出参考数据范围。",
        "Nothing needs to be done.", "无需处理。"),
    "lines-disagree": _rule("error", "ambiguous", "confirm", True,
        "The first line begins with {value}, which disagrees with the fields.", "首行以 {value} 开头，与字段不一致。",
        "Ask which of the two is meant.", "请确认以哪一个为准。"),
    "division-moved-away": _rule("warning", "corrected", "accept", False,
        "{value} belonged to {given} before and lies in {hint} today.", "{value} 曾隶属 {given}，现属 {hint}。",
        "Use the value in `address`.", "请使用 address 中的值。"),
    "division-by-town": _rule("info", "corrected", "accept", False,
        "{value} follows from the town {given}, which only it has.", "根据仅见于该地的 {given} 确定为 {value}。",
        "Use the value in `address`.", "请使用 address 中的值。"),
    "divisions-contradict": _rule("error", "invalid", "fix", False,
        "{given} and {value} do not lie in one another.", "{given} 与 {value} 互不隶属。",
        "Ask which is meant; `candidates` are places that part of the text agrees with.",
        "请确认以哪一个为准；candidates 为与部分内容相符的地点。"),
    "division-unexplained": _rule("warning", "valid", "confirm", False,
        "{value} beside {given} is neither a part of its name nor a division that it is known to lie in; it was kept as written.",
        "与 {given} 相邻的“{value}”既不是其名称的一部分，也不是其已知的上级行政区划，按原文保留。",
        "Have the customer confirm the division and the spelling.", "请由客户确认行政区划及写法。"),
    "division-not-found": _rule("error", "incomplete", "fix", False,
        "No province, city or district was recognised.", "未识别出省、市或区县。",
        "Ask for them.", "请补充省、市、区县。"),
    "development-zone": _rule("info", "valid", "accept", False,
        "{value} is a development zone: carriers know it, GB/T 2260 does not.", "{value} 为开发区：快递可识别，但不属于 GB/T 2260 行政区划。",
        "Nothing needs to be done.", "无需处理。"),
    "town-unconfirmed": _rule("info", "valid", "accept", False,
        "{value} is not in the list of towns of {hint}, which ends in June 2023.", "{value} 不在 {hint} 的乡镇街道表中（该表截至 2023 年 6 月）。",
        "Check it if delivery depends on it.", "如影响投递请核对。"),
    "town-elsewhere": _rule("warning", "valid", "confirm", False,
        "{value} is a town of another district of the city and not of {hint}.", "{value} 属于该市其他区县，而非 {hint}。",
        "Ask for the district; `candidates` are those that have the town.", "请核对区县；candidates 为设有该乡镇街道的区县。"),
    "recipient-assumed": _rule("warning", "corrected", "confirm", False,
        "{value} was taken for the recipient by its place and form.", "根据位置与形式推定 {value} 为收件人。",
        "Show it to the customer.", "请由客户确认。"),
    "recipient-doubtful": _rule("warning", "valid", "confirm", False,
        "{value} may be the recipient or a part of the address; it stays in the lines.", "{value} 可能是收件人，也可能是地址的一部分，保留在 lines 中。",
        "Ask for the recipient.", "请确认收件人。"),
    "sender-named": _rule("warning", "valid", "confirm", False,
        "{value} is named as the sender; whose address and number these are is not said.", "{value} 为寄件人；内容未说明地址与电话属于谁。",
        "Ask for the recipient.", "请确认收件人。"),
    "remark-separated": _rule("info", "valid", "accept", False,
        "{value} is said to the shop or the carrier; it is in `notes`.", "{value} 为给商家或快递员的留言，已放入 notes。",
        "Pass it on.", "请转达。"),
    "locality-assumed": _rule("warning", "corrected", "confirm", False,
        "{value} was taken for the locality by its place; no reference data has it.", "根据位置推定 {value} 为城市；参考数据中没有该地名。",
        "Show it to the customer.", "请由客户确认。"),
    "country-inferred": _rule("info", "corrected", "accept", False,
        "The text is an address in {value}.", "根据内容判断为 {value} 的地址。",
        "Send `country` if it is known.", "如已知请传入 country。"),
    "country-not-recognised": _rule("error", "incomplete", "fix", False,
        "The text does not say in which country it is.", "无法从内容判断国家或地区。",
        "Send `country`.", "请传入 country。"),
    "phone-unconfirmed": _rule("warning", "valid", "confirm", False,
        "No numbering plan has the number {value}.", "{value} 不符合任何号码规则。",
        "Check the number.", "请核对号码。"),
    "phones-several": _rule("info", "valid", "accept", False,
        "There are several telephone numbers; `phone` is the first.", "内容中有多个电话；phone 为第一个。",
        "Choose from `phones`.", "请从 phones 中选择。"),
    "digits-not-recognised": _rule("warning", "valid", "confirm", False,
        "{value} is neither a telephone number nor a postal code; it stays in the lines.", "{value} 既不是电话也不是邮政编码，保留在 lines 中。",
        "Check it.", "请核对。"),
    "text-kept": _rule("info", "valid", "accept", False,
        "No reference data has {value}; it stays in the lines as it was written.", "参考数据中没有 {value}，按原文保留在 lines 中。",
        "Nothing needs to be done.", "无需处理。"),
}  # fmt: skip


def finding(
    rule: str,
    pointer: str,
    *,
    candidates: tuple[Candidate, ...] = (),
    field: str = "",
    country: str = "",
    given: str | None = "",
    value: str | None = "",
    hint: str = "",
) -> Finding:
    """A finding of the table's `rule` at `pointer`; the other arguments fill the places in its texts."""
    row = RULES[rule]
    places = {"field": field, "country": country, "given": given, "value": value, "hint": hint}
    message = Text(row.message.en.format_map(places), row.message.chinese().format_map(places))
    remedy = Text(row.remedy.en.format_map(places), row.remedy.chinese().format_map(places))
    return Finding(rule, row.severity, pointer, message, remedy, candidates)


def conclude(findings: Iterable[Finding]) -> tuple[Verdict, NextAction]:
    """The worst verdict and the most demanding action among the findings; valid and accept without any."""
    verdict, action = 0, 0
    for found in findings:
        row = RULES[found.rule]
        verdict = max(verdict, VERDICTS.index(row.verdict))
        action = max(action, ACTIONS.index(row.action))
    return VERDICTS[verdict], ACTIONS[action]

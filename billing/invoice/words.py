"""What is printed on a document beside its figures, in English and Chinese."""

from collections.abc import Mapping

from catalog.vocabulary.problem import Text

KINDS = {
    "statement": Text("Statement", "内部结算单"),
    "invoice": Text("Invoice", "账单发票"),
    "credit_note": Text("Credit note", "红字通知单"),
}
NUMBER = Text("Number", "编号")
DRAFT = Text("Draft", "草稿")
DRAFT_NOTE = Text("Draft: figures move until the month is closed.", "草稿：月结之前数字仍会变动。")
SANDBOX_NOTE = Text("Test environment: not payable.", "测试环境：无需支付。")
MONTH = Text("Month", "月份")
TIME_ZONE = Text("Time zone", "时区")
ISSUED = Text("Issued", "开具时间")
RECIPIENT = Text("To", "致")
TAX_ID = Text("Tax id", "税号")
BY_SERVICE = Text("By service", "按服务")
SERVICE = Text("Service", "服务")
LINES = Text("Lines", "明细")
OPERATION = Text("Operation", "操作")
PRICE = Text("Price version", "价格版本")
CALLS = Text("Calls", "调用次数")
UNITS = Text("Units", "计费量")
AMOUNT = Text("Amount", "金额")
PRECISE = Text("Before rounding", "舍入前")
SLA_CREDIT = Text(
    "Service credit: {objective} reached {measured}, promised {target} %; {percent} % of {charges}",
    "服务赔付：{objective} 实际 {measured}，承诺 {target}%；按 {charges} 的 {percent}% 赔付",
)
CHARGES: Mapping[str, Text] = {
    "fee": Text("Access fee", "接入费"),
    "discount": Text("Discount on {base}", "{base} 的折扣"),
    "top_up": Text("Top-up of {base} to the minimum", "{base} 补足至最低消费"),
    "true_up": Text("Committed spend, {base} of it used", "承诺消费，已用 {base}"),
    "tax": Text("{name} on {base}", "{base} 的税 {name}"),
}
CORRECTION = Text("correction of {month}", "{month} 更正")
COST_CENTRES = Text("By cost centre and application", "按成本中心与应用")
COST_CENTRE = Text("Cost centre", "成本中心")
APPLICATION = Text("Application", "应用")
NO_COST_CENTRE = Text("none", "无")
TOTAL = Text("Total", "合计")
PAGE = Text("Page {page} of {pages}", "第 {page} 页，共 {pages} 页")

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
SELLER = Text("From", "开票方")
RECIPIENT = Text("To", "致")
TAX_ID = Text("Tax id", "税号")
DUE = Text("Due", "付款到期日")
DUE_WITHIN = Text("within {days} days", "{days} 天内付款")
PAYMENT = Text("Payment", "付款说明")
BANK = Text("Pay to", "收款账户")
CORRECTS = Text("Corrects", "更正单据")
REASONS: Mapping[str, Text] = {
    "correction": Text("correction", "更正"),
    "sla_credit": Text("service credit", "服务赔付"),
    "void": Text("cancelled", "作废"),
    "dispute_lost": Text("accepted dispute", "争议成立"),
    "net_credit": Text("credit of a later month", "以后月份冲减"),
}
DOCUMENT = Text("Document", "单据")
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
WHOLE_BILL = Text("Contract", "合同条款")
TAXES = Text("Tax", "税")
STEPS: Mapping[str, Text] = {
    "event_bounds": Text("bounds of single calls", "单次上下限调整"),
    "result_bounds": Text("bounds of single results", "单项结果上下限调整"),
    "success_factor": Text("success rate", "按成功率调整"),
    "discount_pct": Text("discount", "折扣"),
    "discount_amount": Text("fixed discount", "固定减免"),
    "minimum": Text("up to the minimum", "补足最低额"),
    "maximum": Text("down to the maximum", "封顶减免"),
    "counted_before": Text("already counted earlier this month", "当月此前已计"),
    "billed_before": Text("already billed", "此前已计费"),
}
CAPACITY = Text("{unit}: {most}, up to {bound}", "{unit} {most}，不超过 {bound}")
CAPACITY_BEYOND = Text("{unit}: {most}, beyond the other tiers", "{unit} {most}，超出其他各档")
CAPACITY_UNITS: Mapping[str, Text] = {
    "calls": Text("calls in the month", "当月调用次数"),
    "units": Text("units in the month", "当月计费量"),
    "calls_per_day": Text("calls on one day", "单日调用次数"),
    "units_per_day": Text("units on one day", "单日计费量"),
    "calls_per_hour": Text("calls in one hour", "单小时调用次数"),
    "units_per_hour": Text("units in one hour", "单小时计费量"),
}
FLAT_FEE = Text("flat fee", "固定费")
CHARGES: Mapping[str, Text] = {
    "fee": Text("Access fee", "接入费"),
    "discount": Text("Discount on {base}", "{base} 的折扣"),
    "top_up": Text("Top-up of {base} to the minimum", "{base} 补足至最低消费"),
    "true_up": Text("Committed spend, {base} of it used", "承诺消费，已用 {base}"),
    "tax": Text("{name} on {base}", "{base} 的税 {name}"),
    "net_credit": Text("Credited on {name}, in place of {base}", "{base} 已在 {name} 上以红字通知单冲减"),
    "credited": Text("{name}", "{name}"),
}
CORRECTION = Text("correction of {month}", "{month} 更正")
COST_CENTRES = Text("By cost centre and application", "按成本中心与应用")
COST_CENTRE = Text("Cost centre", "成本中心")
APPLICATION = Text("Application", "应用")
NO_COST_CENTRE = Text("none", "无")
TOTAL = Text("Total", "合计")
PAGE = Text("Page {page} of {pages}", "第 {page} 页，共 {pages} 页")

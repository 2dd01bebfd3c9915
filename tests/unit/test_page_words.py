"""Pages put prices, promises and problems into words that are complete in both languages."""

import string
from typing import Any

import msgspec
import pytest

from catalog.load import load
from catalog.plan import MODELS, parse_price
from catalog.plan.price import CAPACITY_UNITS
from catalog.vocabulary.problem import LANGUAGES, PROBLEMS
from gateway.control.pages.language import choose_language
from gateway.control.pages.phrases import PHRASES, Phrases
from gateway.control.pages.prices import price_text
from gateway.control.pages.problems import problem_view
from gateway.control.pages.promises import limit_texts
from gateway.control.pages.render import render
from gateway.control.pages.visit import Visit
from tests.passports import echo_passport

ENGLISH = Phrases("en")
TIERS = [
    {"up_to": "50", "unit_price": "3.60", "flat_fee": "0"},
    {"up_to": "200", "unit_price": "3.40", "flat_fee": "1.50"},
    {"up_to": None, "unit_price": "3.20", "flat_fee": "0"},
]
RATES = [{"up_to": None, "rate_pct": "2", "flat_fee": "0"}]
BLOCKS = [{"block_size": "10", "max_blocks": None, "block_price": "5"}]
PRICES: dict[str, dict[str, Any]] = {
    "per_unit": {"unit_price": "0.055", "free_units": "100"},
    "unit_conversion": {"unit_price": "1.20", "divide_by": "1000"},
    "flat": {"amount": "2.00"},
    "graduated": {"tiers": TIERS},
    "volume": {"tiers": TIERS},
    "package": {"package_size": "100", "package_price": "0.90", "minimum": "5"},
    "percentage": {"rate_pct": "1.5"},
    "graduated_percentage": {"tiers": RATES},
    "volume_percentage": {"tiers": RATES},
    "block_graduated": {"tiers": BLOCKS},
    "block_volume": {"tiers": BLOCKS},
    "dynamic": {"multiplier": "1.08"},
    "capacity": {"tiers": [{"max": None, "price": "9"}]},
    "matrix": {"dimensions": ["lane"], "cells": [], "default": "7"},
    "success_tiered": {"tiers": [{"min_success_rate": "0", "unit_price": "0.3"}]},
    "outcome": {"rate_pct": "10", "maximum": "500", "discount_pct": "5"},
    "bucketed": {"model": "per_unit", "price": {"unit_price": "0.02"}},
}


@pytest.mark.parametrize("model", [name for name in MODELS if name != "sla_credit"])
def test_a_price_of_any_model_has_words_in_every_language(model: str) -> None:
    price = parse_price(model, PRICES[model])
    for language in LANGUAGES:
        text = price_text(price, model, "a call", Phrases(language))
        assert text.lines
        assert all(line.amount and line.condition for line in text.lines)


def test_tiers_say_where_they_begin_and_end() -> None:
    text = price_text(parse_price("graduated", PRICES["graduated"]), "graduated", "a call", ENGLISH)
    assert [(line.amount, line.condition) for line in text.lines] == [
        ("3.60", "1 to 50"),
        ("3.40", "51 to 200, plus 1.50 once"),
        ("3.20", "from 201"),
    ]
    broken = [{"up_to": "0.5", "unit_price": "2"}, {"up_to": None, "unit_price": "1"}]
    text = price_text(parse_price("volume", {"tiers": broken}), "volume", "a call", ENGLISH)
    assert [line.condition for line in text.lines] == ["up to 0.5", "above 0.5"]


def test_a_capacity_says_what_each_tier_has_room_for() -> None:
    tiers = [
        {"max": dict.fromkeys(CAPACITY_UNITS, "9"), "price": "90"},
        {"max": None, "price": "400"},
    ]
    price = parse_price("capacity", {"tiers": tiers})
    text = price_text(price, "capacity", "a call", ENGLISH)
    assert [(line.amount, line.condition) for line in text.lines] == [
        (
            "90",
            "a month, up to 9 calls · 9 units · 9 calls a day · 9 units a day · 9 calls an hour · 9 units an hour",
        ),
        ("400", "a month, beyond that"),
    ]
    chinese = price_text(price, "capacity", "每次", Phrases("zh-CN"))
    assert chinese.lines[0].condition.startswith("每月，不超过 9 次调用 · 9 个单位 · 每日 9 次调用")


def test_what_costs_nothing_is_called_free_and_allowances_are_told() -> None:
    free = price_text(parse_price("per_unit", {"unit_price": "0"}), "per_unit", "a call", ENGLISH)
    assert free.lines[0].free
    assert free.lines[0].amount == "free"
    allowance = price_text(parse_price("per_unit", PRICES["per_unit"]), "per_unit", "a call", ENGLISH)
    assert "The first 100 units of a month are free." in allowance.notes
    package = price_text(parse_price("package", PRICES["package"]), "package", "a call", ENGLISH)
    assert "At least 5 a month." in package.notes
    assert [line.condition for line in package.lines] == ["for 100 units"]


def test_a_quota_says_what_it_counts_and_whether_more_is_refused() -> None:
    passport = echo_passport(
        limits=[
            {
                "kind": "quota",
                "per": "account",
                "period": "day",
                "q": 5000,
                "hard": True,
                "counts": "service",
            },
            {"kind": "quota", "per": "application", "period": "month", "q": 10, "hard": False},
        ]
    )
    assert limit_texts(passport, ENGLISH) == (
        "5,000 calls a day for each account, of all operations together; more are refused",
        "10 calls a month are foreseen for each application, of each operation; more are not refused",
    )
    assert limit_texts(passport, Phrases("zh-CN")) == (
        "每账户每日最多 5,000 次调用（所有操作合计），超出即拒绝",
        "每应用每月预计 10 次调用（按操作分别计），超出不拒绝",
    )


def test_every_phrase_says_the_same_in_both_languages() -> None:
    def blanks(text: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}

    for key, phrase in PHRASES.items():
        assert phrase.zh_cn, key
        if phrase.en:
            assert blanks(phrase.en) == blanks(phrase.chinese()), key


def test_names_of_the_interface_are_set_off_as_names_in_both_languages() -> None:
    def names(text: str) -> set[str]:
        assert text.count("`") % 2 == 0, text
        return set(text.split("`")[1::2])

    for text in PHRASES.values():
        if text.en:
            assert names(text.en) == names(text.chinese()), text.en
    nothing_on_sale = load((), ())
    for kind in PROBLEMS.values():
        english, chinese = (problem_view(kind, nothing_on_sale, Phrases(one)) for one in LANGUAGES)
        for told in ("title", "meaning", "remedy", "repeat", "billing"):
            assert names(getattr(english, told)) == names(getattr(chinese, told)), (kind.name, told)


def test_every_problem_of_the_table_has_a_whole_page() -> None:
    nothing_on_sale = load((), ())
    for kind in PROBLEMS.values():
        for language in LANGUAGES:
            view = problem_view(kind, nothing_on_sale, Phrases(language))
            page = render("problem.html", Visit("/", language, False, "http://h"), problem=view).decode()
            for told in (view.title, view.meaning, view.remedy, view.repeat, view.billing):
                assert told
            shown = msgspec.json.decode(view.example)
            assert shown["detail"] != shown["remedy"] == kind.remedy.en, (
                "a sample tells what was wrong with one request"
            )
            assert f"/problems/{kind.name}" in page


@pytest.mark.parametrize(
    ("asked", "accepted", "language"),
    [
        (None, "zh;q=0.2, en;q=0.1", "zh-CN"),
        (None, "zh;q=0, de", "en"),
        (None, "zh;q=nonsense", "en"),
        (None, "ZH-hant", "zh-CN"),
        ("ZH-cn", "", "zh-CN"),
        ("", "zh", "zh-CN"),
    ],
)
def test_a_language_is_chosen_whatever_a_client_sends(
    asked: str | None, accepted: str, language: str
) -> None:
    assert choose_language(asked, accepted) == language


def test_a_share_of_results_says_what_is_billed_and_when() -> None:
    price = parse_price("outcome", {"rate_pct": "10", "max": "500"})
    text = price_text(price, "outcome", "a call", ENGLISH)
    assert [(line.amount, line.condition) for line in text.lines] == [("10 %", "of each proven result")]
    assert text.notes == (
        "At most 500 a result.",
        "Billed once you have accepted the result; calls cost nothing.",
    )

"""Pages: every link leads somewhere, nothing is loaded from elsewhere, and a reader finds it in English and Chinese."""

import re
from html import unescape
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest

from atomic_services.address import fields
from catalog.vocabulary.problem import PROBLEMS
from gateway.control.api import ENDPOINTS
from gateway.control.pages import routes
from gateway.control.pages.render import render
from tests.control_plane import Installation

_VOID = {"meta", "link", "path", "rect", "br", "input"}


class Page(HTMLParser):
    """What a test looks at: language, links, ids, resources, and whether every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.language = ""
        self.links: set[str] = set()
        self.ids: list[str] = []
        self.resources: set[str] = set()
        self.forbidden: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "html":
            self.language = given["lang"]
        if tag in ("script", "iframe", "object", "form", "style") or any(
            n == "style" or n.startswith("on") for n in given
        ):
            self.forbidden.append(self.get_starttag_text() or tag)
        if tag == "a":
            self.links.add(given["href"])
        if tag == "link" and given["rel"] != "alternate":
            self.resources.add(given["href"])
        if "src" in given:
            self.resources.add(given["src"])
        if "id" in given:
            self.ids.append(given["id"])
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self._open.pop() == tag


async def test_every_link_of_every_page_leads_somewhere_in_both_languages(plane: Installation) -> None:
    waiting = ["/"]
    pages: dict[str, Page | None] = {}
    fragments: set[tuple[str, str]] = set()
    while waiting:
        address = waiting.pop()
        if address in pages:
            continue
        reply = await plane.get(address)
        assert reply.status_code == 200, address
        if not reply.headers["content-type"].startswith("text/html"):
            pages[address] = None
            continue
        page = pages[address] = Page(reply.text)
        assert page.forbidden == [], address
        assert len(page.ids) == len(set(page.ids)), address
        assert page.language == reply.headers["content-language"]
        for resource in page.resources:
            assert resource.startswith(("/assets/", "data:")), resource
            waiting += [resource] if resource.startswith("/") else []
        for link in page.links:
            target = urlsplit(urljoin(address, link))
            assert not target.netloc, "no link leaves the installation"
            there = target._replace(fragment="").geturl()
            waiting.append(there)
            if target.fragment:
                fragments.add((there, target.fragment))
    for address, fragment in fragments:
        found = pages[address]
        assert found is not None
        assert fragment in found.ids, (address, fragment)
    visited = {urlsplit(address).path for address in pages}
    assert visited >= {f"/problems/{name}" for name in PROBLEMS} | {
        "/docs",
        "/services/address",
        "/services/stock",
    }
    languages = {page.language for page in pages.values() if page is not None}
    assert languages == {"en", "zh-CN"}


async def test_the_language_is_the_readers(plane: Installation) -> None:
    chinese, english = "订单能力", "Order operations"
    for path, accepted, words in (
        ("/", "zh-CN,zh;q=0.9,en;q=0.8", chinese),
        ("/", "en-GB,en;q=0.9,zh;q=0.8", english),
        ("/", "fr, *;q=0.1", english),
        ("/", "", english),
        ("/?lang=zh-CN", "en", chinese),
        ("/?lang=zh", "en", chinese),
        ("/?lang=en", "zh-CN", english),
        ("/?lang=xx", "zh-CN", chinese),
    ):
        reply = await plane.get(path, accept_language=accepted)
        assert words in reply.text, (path, accepted)
        assert reply.headers["vary"] == "Accept-Language"


async def test_a_service_page_tells_what_it_takes_costs_and_promises(plane: Installation) -> None:
    text = (await plane.get("/services/stock?lang=en")).text
    for told in (
        "stock/reserve",
        "reservation_id",
        "Authorization: Bearer $ORDERGATE_KEY",
        "Idempotency-Key: $(cat /proc/sys/kernel/random/uuid)",
        "0.090",
        "0.0130",
        "≥ 99.95 %",
        "≤ 100 ms",
        "99.0 % to below 99.95 %",
        "25 %",
        "Not enough stock",
        "A burst of 200 calls for each application and operation, refilled at 200 in 1 s",
        "warehouse-network",
    ):
        assert told in text, told
    for kept in ("0.065", "internal-2026", "0.038", "pagerduty"):
        assert kept not in text, kept


async def test_the_address_in_an_example_is_the_readers_own_and_never_markup(plane: Installation) -> None:
    assert (
        "curl -i https://orders.example:8443/v1/"
        in (await plane.client.get("https://orders.example:8443/docs")).text
    )
    assert "http://127.0.0.1:8080/v1/" in (await plane.get("/docs", host="un_usual")).text
    assert "<b>" not in (await plane.get("/docs", host="x/'><b>")).text
    literal = unescape((await plane.get("/docs", host="[::1]:8080")).text)
    assert "curl -i 'http://[::1]:8080/v1/" in literal, "a shell would take brackets for a pattern"


async def test_however_many_hosts_are_made_up_a_page_is_made_once_and_tells_each_reader_its_own(
    plane: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page costs milliseconds in which the worker answers no call, so a stranger's header must not buy one."""
    rendered: list[str] = []

    def counted(template: str, *args: Any, **values: Any) -> bytes:
        rendered.append(template)
        return render(template, *args, **values)

    monkeypatch.setattr(routes, "render", counted)
    for number in range(300):
        page = (await plane.get("/", host=f"made-up-{number}.example")).text
        assert f"http://made-up-{number}.example/v1/" in page
        assert "invalid" not in page
    assert f"http://made-up-{number - 1}." not in page
    for path in ("/", "/?x=1", "/?y=2"):
        await plane.get(path, host="127.0.0.1:8080")
    assert rendered == ["home.html"]


@pytest.mark.parametrize("name", ["insufficient-stock", "rate-limited", "invalid-input"])
async def test_a_problem_page_says_what_it_means_and_what_to_do(plane: Installation, name: str) -> None:
    kind = PROBLEMS[name]
    english = unescape((await plane.get(f"/problems/{name}?lang=en")).text)
    chinese = (await plane.get(f"/problems/{name}?lang=zh-CN")).text
    assert kind.title.en in english
    assert str(kind.status) in english
    assert kind.title.chinese() in chinese
    assert "处理办法" in chinese
    assert ("stock/reserve" in english) == (name == "insufficient-stock")


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    "path", ["/nowhere", "/services/nothing", "/problems/none", "/docs/<b>", "/api-keys"]
)
async def test_a_browser_gets_a_page_for_what_is_not_there_and_a_program_a_problem(
    plane: Installation, path: str
) -> None:
    reply = await plane.get(path, accept=BROWSER, accept_language="zh-CN")
    assert (reply.status_code, reply.headers["content-language"]) == (404, "zh-CN")
    assert reply.headers["content-type"].startswith("text/html")
    page = Page(reply.text)
    assert page.forbidden == []
    assert page.links >= {"/", "/docs", "/problems"}
    assert "没有这个页面" in reply.text
    assert "<b>" not in reply.text.partition("<main")[2].partition("<ul")[0]
    assert "There is no such page" in (await plane.get(path + "?lang=en", accept=BROWSER)).text
    for accept in (
        "",
        "*/*",
        "application/json",
        "text/html;q=0.5, application/json",
        "text/html;q=0",
        "x/y;q",
    ):
        program = await plane.get(path, accept=accept)
        assert program.status_code == 404
        assert program.headers["content-type"] == "application/problem+json"
        assert program.json()["type"] == "/problems/not-found"
        assert {"Accept", "Accept-Language"} <= set(program.headers["vary"].split(", "))
    assert {"Accept", "Accept-Language"} <= set(reply.headers["vary"].split(", "))


@pytest.mark.parametrize("path", ["/api/nothing", "/api", "/openapi/none.json", "/metrics/x"])
async def test_interfaces_answer_problems_even_to_browsers(plane: Installation, path: str) -> None:
    reply = await plane.get(path, accept=BROWSER)
    assert reply.headers["content-type"] == "application/problem+json"


async def test_the_documentation_covers_every_route_of_the_control_plane_in_both_languages(
    plane: Installation,
) -> None:
    english = unescape((await plane.get("/docs?lang=en")).text)
    chinese = unescape((await plane.get("/docs?lang=zh-CN")).text)
    for endpoint in ENDPOINTS:
        anchor = f'id="api-{endpoint.id.replace("_", "-")}"'
        assert anchor in english
        assert anchor in chinese
        assert endpoint.path in english
        assert endpoint.summary.chinese() in chinese
        for parameter in endpoint.parameters:
            assert parameter.description.chinese().replace("`", "") in re.sub("</?code>|`", "", chinese)
    for told in ("A key with the scope", "What the key is for", "curl -X POST", "Any key of the account."):
        assert told in english, told
    assert "密钥用途，供人阅读。" in chinese


async def test_chinese_pages_describe_fields_in_chinese_and_mark_what_is_left_in_english(
    plane: Installation,
) -> None:
    chinese = unescape((await plane.get("/services/address?lang=zh-CN")).text)
    english = unescape((await plane.get("/services/address?lang=en")).text)
    for name in ("Country", "Lines", "PostalCode"):
        (meta,) = getattr(fields, name).__metadata__
        told = meta.extra_json_schema["x-ordergate"]["description"]["zh-CN"]
        assert told in chinese
        assert told not in english
        assert meta.description in english
        assert meta.description not in chinese
    contract = (await plane.get("/openapi/address.json")).json()
    country = contract["components"]["schemas"]["AddressAddress"]["properties"]["country"]
    assert country["description"].startswith("ISO 3166-1")
    assert "国家代码" in country["x-ordergate"]["description"]["zh-CN"]

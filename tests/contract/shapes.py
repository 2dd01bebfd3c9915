"""Hypothesis strategies from the types that operations take: whatever a request type allows is generated."""

from collections.abc import Mapping
from datetime import UTC, timedelta, timezone
from functools import cache
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect as mi

# Words that services know and that let calls meet each other: tried beside what the type alone would allow.
WORDS: Mapping[str, tuple[Any, ...]] = {
    "country": ("CN", "DE", "US", "GB", "JP", "BR", "IN", "de", "QQ"),
    "lines": (["Invalidenstr. 116"], ["广东省深圳市南山区深南大道9988号"], ["朝阳区建国路93号", "2号楼"], []),
    "administrative_area": ("广东省", "上海", "CA", "東京都", "Bayern"),
    "locality": ("深圳市", "Berlin", "上海市", "朝阳区", "San Francisco"),
    "dependent_locality": ("南山区", "朝阳区", "浦东新区"),
    "postal_code": ("10115", "518000", "SW1A 1AA", "94105-1234", "100-0001"),
    "language": ("en", "zh", "zh-Hant", "de"),
    "text": (
        "收货人：张三 13800138000 浙江省杭州市西湖区文三路 90 号",
        "北京朝阳建国路88号 李四 010-88888888",
        "Rm 1201, No. 88 Jianguo Rd, Chaoyang District, Beijing",
        "10115 Berlin, Invalidenstr. 116",
        "hzxh",
        "CNSHA",
    ),
    "components": (
        {"road": "Invalidenstraße", "house_number": "116", "postcode": "10115", "city": "Berlin"},
        {"city": "杭州市", "state": "浙江省"},
    ),
    "within": ("330000", "330100", "110000"),
    "sku": ("A", "B"),
    "skus": (["A"], ["A", "B", "A"]),
    "warehouse": ("N", "S"),
    "reservation_id": tuple(f"r{number}" for number in range(24)),
    "quantity": (1, 2, 7),
    "ttl_s": (1, 60, 86_400),
}
# JSON text may hold any character but controls and lone surrogates; these are the ones that programs stumble over.
_ODD = "\t \u00a0\u0301\u200b\u200d\u202e\u2028\u3000\ufe0f\ufeff\ufffd\uffff\U0001f469\U0010fffe%_\\'\"`${}<>&;\x7f\x85İß"
_TEXT = st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from(_ODD)


@cache
def values_of(type_: type[msgspec.Struct]) -> st.SearchStrategy[dict[str, Any]]:
    """JSON objects that `type_` accepts."""
    found: st.SearchStrategy[dict[str, Any]] = _values(mi.type_info(type_))
    return found


@cache
def field_names(type_: type[msgspec.Struct]) -> tuple[str, ...]:
    """The names that the outermost object of `type_` may have."""
    return tuple(field.encode_name for field in msgspec.structs.fields(type_))


def _values(info: mi.Type) -> st.SearchStrategy[Any]:
    match info:
        case mi.Metadata():
            return _values(info.type)
        case mi.StructType():
            return _object(info)
        case mi.UnionType():
            return st.one_of([_values(one) for one in info.types])
        case mi.LiteralType():
            return st.sampled_from(info.values)
        case mi.NoneType():
            return st.none()
        case mi.BoolType():
            return st.booleans()
        case mi.IntType():
            return _integers(info)
        case mi.StrType():
            return _text(info)
        case mi.ListType() | mi.VarTupleType():
            # Long lists are rare in generated data, so the longest is among them by name.
            least, most = info.min_length or 0, info.max_length or 8
            item = _values(info.item_type)
            full = item.map(lambda one: [one] * most)
            return st.lists(item, min_size=least, max_size=min(most, 4)) | full
        case mi.DictType():
            least, most = info.min_length or 0, info.max_length or 8
            return st.dictionaries(
                _values(info.key_type), _values(info.value_type), min_size=least, max_size=min(most, 4)
            )
        case mi.DateType():
            return st.dates().map(lambda day: day.isoformat())
        case mi.DateTimeType():
            moments = st.datetimes(timezones=st.sampled_from((UTC, timezone(timedelta(hours=8)))))
            return moments.map(lambda moment: moment.isoformat())
    raise NotImplementedError(f"say here how values of {info} are made")


def _object(info: mi.StructType) -> st.SearchStrategy[dict[str, Any]]:
    types = {field.encode_name: field.type for field in msgspec.structs.fields(info.cls)}
    fields = {field.encode_name: _field(field, types[field.encode_name]) for field in info.fields}
    required = {field.encode_name for field in info.fields if field.required}
    return st.fixed_dictionaries(
        {name: fields[name] for name in fields if name in required},
        optional={name: fields[name] for name in fields if name not in required},
    )


def _field(field: mi.Field, type_: Any) -> st.SearchStrategy[Any]:
    any_value = _values(field.type)
    words = [word for word in WORDS.get(field.encode_name, ()) if _is_accepted(word, type_)]
    if not words:
        return any_value
    # Three in four are words; what only the type allows would seldom get past the services' own look-ups.
    return st.integers(0, 3).flatmap(lambda chance: st.sampled_from(words) if chance else any_value)


def _is_accepted(word: Any, type_: Any) -> bool:
    try:
        msgspec.convert(word, type_)
    except msgspec.ValidationError:
        return False
    return True


def _integers(info: mi.IntType) -> st.SearchStrategy[int]:
    low = -(2**63) + 1 if info.ge is None else int(info.ge)
    high = 2**63 - 1 if info.le is None else int(info.le)
    return st.integers(low, high) | st.sampled_from((low, high))


def _text(info: mi.StrType) -> st.SearchStrategy[str]:
    least, most = info.min_length or 0, info.max_length or 300
    if info.pattern is not None:
        fitting = st.from_regex(info.pattern).filter(lambda text: least <= len(text) <= most)
        return fitting.filter(lambda text: "\n" not in text)
    longest = _TEXT.map(lambda one: one * most)
    return st.text(_TEXT, min_size=least, max_size=min(most, 30)) | longest

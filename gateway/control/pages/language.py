"""Which language a reader wants: `?lang=` first, then Accept-Language (RFC 9110 12.5.4), else English."""

from typing import Literal, get_args

from catalog.vocabulary.problem import Text

Language = Literal["en", "zh-CN"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
NAMES: dict[Language, str] = {"en": "English", "zh-CN": "中文"}
_RANGES_MAX = 20


def choose_language(asked: str | None, accepted: str) -> Language:
    """The language of a page; an unknown `?lang=` counts as none."""
    for language in LANGUAGES:
        if asked is not None and asked.lower() in (language.lower(), language.partition("-")[0]):
            return language
    best: tuple[float, Language] = (0.0, "en")
    for part in accepted.split(",")[:_RANGES_MAX]:
        tag, _, parameter = part.strip().partition(";")
        wanted = tag.strip().lower().partition("-")[0]
        for language in LANGUAGES:
            if wanted == language.partition("-")[0]:
                best = max(best, (_quality(parameter), language), key=lambda one: one[0])
    return best[1]


def _quality(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        return min(1.0, max(0.0, float(value)))
    except ValueError:
        return 0.0


def wording(text: Text, language: Language) -> str:
    """The text in a language."""
    return text.en if language == "en" else text.chinese()

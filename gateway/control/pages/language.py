"""Which language a reader wants: `?lang=` first, then Accept-Language (RFC 9110 12.5.4), else English."""

from catalog.vocabulary.problem import LANGUAGES, Language
from gateway.control.pages.accepting import accepted_ranges

NAMES: dict[Language, str] = {"en": "English", "zh-CN": "中文"}


def choose_language(asked: str | None, accepted: str) -> Language:
    """The language of a page; an unknown `?lang=` counts as none."""
    for language in LANGUAGES:
        if asked is not None and asked.lower() in (language.lower(), language.partition("-")[0]):
            return language
    best: tuple[float, Language] = (0.0, "en")
    for tag, quality in accepted_ranges(accepted):
        for language in LANGUAGES:
            if tag.partition("-")[0] == language.partition("-")[0]:
                best = max(best, (quality, language), key=lambda one: one[0])
    return best[1]

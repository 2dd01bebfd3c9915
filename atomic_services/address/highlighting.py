"""Which characters of a suggested name were typed."""

from collections.abc import Iterable

from atomic_services.address.han import fold_chinese
from atomic_services.address.suggest_schema import Highlight


def highlights(shown: str, typed: str, spoken: Iterable[tuple[str, ...]] = ()) -> tuple[Highlight, ...]:
    """The characters of a shown name that a folded text stands for; none where it is another name of the place.

    `spoken` are the readings of a Chinese name, syllable by syllable.
    """
    if not typed:
        return ()
    for length in range(1, len(shown) + 1):
        if fold_chinese(shown[:length]).startswith(typed):
            return (Highlight(0, length),)
    for syllables in spoken:
        for said in (syllables, tuple(syllable[0] for syllable in syllables)):
            for length in range(1, len(said) + 1):
                if "".join(said[:length]).startswith(typed):
                    return (Highlight(0, length),)
    return ()

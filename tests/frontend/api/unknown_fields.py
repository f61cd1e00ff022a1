"""What a vendor's description lets a client send, and a model of ours would drop without a word."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from tests.frontend.api.vendor_schemas import Schema, objects, properties, values


def unknown_fields(vendor: str, name: str, model: type[BaseModel]) -> set[str]:
    """Places of fields in the named schema, dots between, of which the model and those in it do not know."""
    return set(_unknown(vendor, properties(vendor, name), model, "", set()))


def _unknown(
    vendor: str, declared: Mapping[str, Schema], model: type[BaseModel], place: str, seen: set[Any]
) -> Iterator[str]:
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    yield from (place + name for name in declared.keys() - fields.keys())
    for name in declared.keys() & fields.keys():
        for inner in objects(vendor, declared[name]):
            for inner_model in _models(fields[name].annotation):
                key = (frozenset(inner), inner_model, name)
                if key not in seen and _takes(inner_model, vendor, inner):
                    seen.add(key)
                    yield from _unknown(vendor, inner, inner_model, f"{place}{name}.", seen)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """All that stand in an annotation, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and not _ignores(annotation):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _ignores(model: type[BaseModel]) -> bool:
    """Whether it drops fields on purpose."""
    return model.model_config.get("extra") == "ignore"


def _takes(model: type[BaseModel], vendor: str, declared: Mapping[str, Schema]) -> bool:
    """Whether the kinds of object that are told apart by a word, as by `type`, have one in common."""
    for name, field in model.model_fields.items():
        if own := _words(field.annotation):
            if name not in declared and field.is_required():
                return False
            others = values(vendor, declared[name]) if name in declared else set()
            if others and not own & others:
                return False
    return True


def _words(annotation: Any) -> set[object]:
    if get_origin(annotation) is Literal:
        return set(get_args(annotation))
    return {word for part in get_args(annotation) for word in _words(part)}

"""Text -> plain values: YAML or JSON of bounded size, without YAML's traps.

No aliases (a few lines of them describe gigabytes), no tags, no key twice, no dates (`2026-11-23` stays
text), and nothing nested deeper than any configuration is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import isfinite
from typing import Any

import yaml

LARGEST = 5 * 1024 * 1024  # bytes
DEEPEST = 50

# libyaml's parser is ten times as fast; both build values with the same safe constructor
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f'"{key.value}" twice', problem_mark=key.start_mark
                )
            seen.add(key.value)
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        return made


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _Base.yaml_implicit_resolvers.items()
}


def read(data: bytes) -> Any:
    """The document. Raises ValueError with a sentence that names the place."""
    if len(data) > LARGEST:
        raise ValueError(f"the document is larger than {LARGEST // 1024**2} MiB.")
    try:
        text = data.decode()
    except UnicodeDecodeError as exc:
        raise ValueError(f"the document is not UTF-8 text (byte {exc.start}).") from exc
    try:
        _bound(text)
        return yaml.load(text, _Loader)  # noqa: S506  (a safe loader)
    except yaml.MarkedYAMLError as exc:
        raise ValueError(f"{_place(exc.problem_mark)}{exc.problem}.") from exc
    except (yaml.YAMLError, ValueError) as exc:
        raise ValueError(f"{exc}".rstrip(".") + ".") from exc


def _bound(text: str) -> None:
    """Look at the bare events first, before anything is built from them."""
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(f"{_place(event.start_mark)}aliases (*{event.anchor}) are not accepted.")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise ValueError(f"{_place(event.start_mark)}nested deeper than {DEEPEST} levels.")


def _place(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""


def misfits(value: object, path: str) -> Iterator[str]:
    """What no JSON text and no database column can hold, each with its path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(key, str):
                yield from misfits(key, path)
                yield from misfits(inner, f"{path}.{key}" if path else key)
            else:
                yield f"{path or 'the document'}: the key {key!r} must be text."
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from misfits(inner, f"{path}[{index}]")
    elif isinstance(value, str):
        if not _storable(value):
            yield f"{path or 'the document'}: holds a character that cannot be stored."
    elif isinstance(value, float) and not isfinite(value):
        yield f"{path}: {value} is not a number that can be stored."
    elif not isinstance(value, bool | int | float | None):
        yield f"{path}: a {type(value).__name__} has no place here; put the text in quotes."


def _storable(text: str) -> bool:
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def dump(document: object) -> str:
    """YAML that `read` gives back unchanged, in the document's own order."""
    text: str = yaml.dump(
        json.loads(json.dumps(document)),  # no shared objects: they would become aliases
        Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper),
        sort_keys=False,
        allow_unicode=True,
        width=100,
    )
    return text

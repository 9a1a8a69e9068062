"""From definitions back to plain data and to YAML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec
import yaml

from parcours.definitions.load.document import NUMBER
from parcours.definitions.workspace import AnyDefinition

_ODD_BREAK = re.compile("[\r\x85\u2028\u2029\ufeff]")  # YAML reads these as an end of line, or drops them


def dump(definition: AnyDefinition) -> dict[str, Any]:
    """Return a definition as plain data that `load_data` reads back to an equal one; what is as usual is left out."""
    plain = _plain(definition)
    return plain if isinstance(plain, dict) else {}


def dump_yaml(definitions: Iterable[AnyDefinition]) -> str:
    """Return definitions as YAML, one document each, that `load` reads back to equal ones."""
    text: str = yaml.dump_all(
        [dump(definition) for definition in definitions],
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=120,
        explicit_start=True,
    )
    return text


_fields = lru_cache(maxsize=256)(msgspec.structs.fields)


def _plain(value: object) -> object:
    if isinstance(value, msgspec.Struct):
        config = type(value).__struct_config__
        plain: dict[str, object] = {} if config.tag_field is None else {config.tag_field: config.tag}
        for field in _fields(type(value)):
            item = getattr(value, field.name)
            usual = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
            if usual is msgspec.NODEFAULT or item != usual:
                plain[field.encode_name] = _plain(item)
        return plain
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


class _Dumper(yaml.SafeDumper):
    """Writes what this module's reader reads, so it quotes text that would be read as a number or a word."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 (every value is written where it stands)
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if _ODD_BREAK.search(text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(rf"^({NUMBER.pattern})$"), list("-0123456789"))

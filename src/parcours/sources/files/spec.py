"""How a file is to be read: an import, described in YAML, JSON or options of the command line."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from parcours.definitions.interaction import AttributeDefinition, AttributeType, InteractionDefinition
from parcours.definitions.load import Source, read
from parcours.definitions.message import CHANNELS
from parcours.definitions.validate import convert
from parcours.definitions.workspace import Workspace
from parcours.errors import InvalidDefinitionError, Problem
from parcours.sources.files.times import FormatError, compile_format
from parcours.sources.plain import NAMESPACE
from parcours.sources.segment import LONGEST_NAME

Kind = Literal["contacts", "interactions", "lists", "items"]
Format = Literal["csv", "jsonl", "parquet"]
State = Literal["opted_in", "opted_out", "unknown"]


class AttributeColumn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One attribute and the column it comes from."""

    column: Annotated[str, msgspec.Meta(description="The column; that with the attribute's name when empty.")] = ""
    type: Annotated[AttributeType | None, msgspec.Meta(description="What its values are.")] = None
    separator: Annotated[str, msgspec.Meta(description="What stands between the texts of a `strings`.")] = ""
    dates: Annotated[list[str], msgspec.Meta(description="Formats of its times, in place of the import's.")] = []


class ConsentColumn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A column that says whether somebody agreed to be written to."""

    column: str
    channel: Annotated[str, msgspec.Meta(description="The channel, such as `email`.")]
    topic: Annotated[str, msgspec.Meta(description="The topic; the whole channel when empty.")] = ""
    words: Annotated[dict[str, State], msgspec.Meta(description="What the column's own words mean.")] = {}


# `list` is also a field, and within a class a field's name means the field.
Texts = list[str]
Consents = list[ConsentColumn]


class ImportSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a file is to be read. What is not said is found out from the file."""

    kind: Annotated[Kind, msgspec.Meta(description="What the rows are.")]
    source: Annotated[
        str,
        msgspec.Meta(min_length=1, max_length=200, description="What message ids are told apart by."),
    ] = "file"
    backfill: Annotated[bool, msgspec.Meta(description="It is history: it counts, and triggers nothing.")] = False

    format: Annotated[Format | None, msgspec.Meta(description="By the file's name when not said.")] = None
    encoding: Annotated[str, msgspec.Meta(description="Such as `utf-8` or `cp1252`.")] = ""
    delimiter: Annotated[str, msgspec.Meta(description="What stands between cells.")] = ""
    quote: Annotated[str | None, msgspec.Meta(description="What stands around cells; empty for nothing.")] = None
    escape: Annotated[str | None, msgspec.Meta(description="What takes away the meaning of the next sign.")] = None
    header: Annotated[bool | None, msgspec.Meta(description="Whether the first row names the columns.")] = None
    names: Annotated[Texts, msgspec.Meta(description="Names of the columns, in place of a header's.")] = []

    dates: Annotated[
        Texts,
        msgspec.Meta(description="Formats of times: `iso`, `seconds`, `milliseconds`, `dd/mm/yyyy HH:MM`, `%d.%m.%Y`."),
    ] = []
    zone: Annotated[str, msgspec.Meta(description="Zone of times without an offset, such as `Europe/Paris`.")] = ""
    decimal_comma: Annotated[bool, msgspec.Meta(description="Numbers are written `1.234,5`.")] = False
    empty: Annotated[Texts, msgspec.Meta(description="Cells that hold nothing.")] = msgspec.field(
        default_factory=lambda: [""]
    )
    clear_empty: Annotated[
        bool, msgspec.Meta(description="An empty cell removes the contact's attribute, instead of leaving it.")
    ] = False

    id: Annotated[str, msgspec.Meta(description="Column of the message id, or of the item's id.")] = ""
    identities: Annotated[dict[str, str], msgspec.Meta(description="Namespace to column.")] = {}
    name: Annotated[str, msgspec.Meta(max_length=LONGEST_NAME, description="The interaction of every row.")] = ""
    name_column: Annotated[str, msgspec.Meta(description="Column of the interaction's name.")] = ""
    occurred_at: Annotated[str, msgspec.Meta(description="Column of the time.")] = ""
    attributes: Annotated[
        dict[str, AttributeColumn | str] | None,
        msgspec.Meta(description="Attribute to column: these and no others. All other columns when not said."),
    ] = None
    rename: Annotated[dict[str, str], msgspec.Meta(description="Column to attribute.")] = {}
    types: Annotated[dict[str, AttributeType], msgspec.Meta(description="Attribute to type.")] = {}
    separator: Annotated[
        str, msgspec.Meta(min_length=1, description="What stands between the texts of a `strings`.")
    ] = ","
    ignore: Annotated[Texts, msgspec.Meta(description="Columns to pass over.")] = []

    consent: Annotated[Consents, msgspec.Meta(description="Columns of consent.")] = []
    evidence: Annotated[
        dict[Literal["by", "how"], str], msgspec.Meta(description="Who recorded the consent, and in what way.")
    ] = {}
    list: Annotated[str, msgspec.Meta(description="The list of every row.")] = ""
    list_column: Annotated[str, msgspec.Meta(description="Column of the list's name.")] = ""
    action: Annotated[Literal["add", "remove"], msgspec.Meta(description="What is done with every row.")] = "add"
    action_column: Annotated[str, msgspec.Meta(description="Column of what is done: add or remove.")] = ""
    catalogue: Annotated[str, msgspec.Meta(description="The catalogue the items belong to.")] = ""


_Declared = Mapping[str, AttributeDefinition]


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the workspace declares, for types that the import does not."""

    interactions: Mapping[str, _Declared] = {}
    """By the folded name."""
    defined: Mapping[str, InteractionDefinition] = {}
    """Definitions of interactions, those that were archived, too, by the folded name."""
    contact: _Declared = {}
    catalogues: Mapping[str, _Declared] = {}
    namespaces: frozenset[str] = frozenset()
    file: str = ""
    """What tells the file from others, where an equal row of another file says something anew: of contacts, of lists."""

    @classmethod
    def of(cls, workspace: Workspace, file: str = "") -> Known:
        """Return what a workspace declares."""
        return cls(
            interactions={
                name: definition.attributes
                for name, definition in workspace.interactions.items()
                if not definition.archived
            },
            defined=dict(workspace.interactions),
            contact=workspace.settings.contacts.attributes,
            catalogues={name: definition.attributes for name, definition in workspace.catalogues.items()},
            namespaces=frozenset(workspace.settings.contacts.namespaces),
            file=file,
        )


def spec_from_text(name: str, text: str, options: Iterable[str] = ()) -> ImportSpec:
    """Read an import from YAML or JSON, with options on top.

    Args:
        name: The file's name, for messages.
        text: What the file holds.
        options: As for `spec_from_options`.

    Raises:
        InvalidDefinitionError: With every reason.
    """
    located, problems = read(Source(name, text))
    if problems:
        raise InvalidDefinitionError(problems)
    if len(located) != 1 or not isinstance(located[0].definition, dict):
        raise InvalidDefinitionError([_problem("it is one object", "", file=name)])
    try:
        return spec_from_data({**located[0].definition}, options)
    except InvalidDefinitionError as error:
        raise InvalidDefinitionError(
            msgspec.structs.replace(problem, file=name, line=located[0].line_of(problem.pointer))
            for problem in error.problems
        ) from None


def spec_from_options(options: Iterable[str]) -> ImportSpec:
    """Read an import from options: `kind=contacts`, `identities.user_id=customer`, `dates=dd/mm/yyyy`.

    Raises:
        InvalidDefinitionError: With every reason.
    """
    return spec_from_data({}, options)


def spec_from_data(data: dict[str, Any], options: Iterable[str] = ()) -> ImportSpec:
    """Read an import from plain data, with options on top.

    Raises:
        InvalidDefinitionError: With every reason.
    """
    problems: list[Problem] = []
    for option in options:
        path, equals, text = option.partition("=")
        if not equals or not path:
            problems.append(_problem(f"{option!r} is no option", "", "write name=value"))
        else:
            _put(data, path, text)
    spec, wrong = convert(data, ImportSpec)
    problems += wrong
    if spec is not None:
        problems += problems_of(spec)
    if spec is None or problems:
        raise InvalidDefinitionError(problems)
    return spec


_BOOLEANS = {"header", "decimal_comma", "backfill", "clear_empty"}
_LISTS = {"names", "dates", "empty", "ignore"}
_WORDS = {"true": True, "false": False, "yes": True, "no": False}


def _put(data: dict[str, Any], path: str, text: str) -> None:
    """Put the value of an option where its path leads; a list is given by repeating the option."""
    first, dot, rest = path.partition(".")
    if dot and first in {"identities", "attributes", "rename", "types", "evidence"}:
        within = data.get(first)
        data[first] = {**(within if isinstance(within, dict) else {}), rest: text}
    elif dot and first == "consent":
        channel, _, topic = rest.partition(".")
        within = data.get(first)
        column = {"column": text, "channel": channel, "topic": topic}
        data[first] = [*(within if isinstance(within, list) else []), column]
    elif first in _LISTS:
        within = data.get(first)
        data[first] = [*(within if isinstance(within, list) else []), text]
    else:
        data[path] = _WORDS.get(text, text) if path in _BOOLEANS else text


def problems_of(spec: ImportSpec) -> list[Problem]:
    """Return what is wrong with an import beyond the types of its fields."""
    problems = [
        _problem(f"{field!r} is one sign", f"/{field}", "a tab is written \\t")
        for field in ("delimiter", "quote", "escape")
        if len(getattr(spec, field) or "") > 1 or (getattr(spec, field) or " ") in "\r\n\0"
    ]
    if spec.delimiter and spec.delimiter in {spec.quote, spec.escape}:
        problems.append(_problem("the delimiter is also the quote or the escape", "/delimiter"))
    problems += _problems_of_texts(spec)
    for place, formats in [("/dates", spec.dates)] + [
        (f"/attributes/{name}/dates", column.dates)
        for name, column in (spec.attributes or {}).items()
        if isinstance(column, AttributeColumn)
    ]:
        for index, pattern in enumerate(formats):
            try:
                compile_format(pattern)
            except FormatError as error:
                problems.append(_problem(str(error), f"{place}/{index}", "for example dd/mm/yyyy HH:MM or %d.%m.%Y"))
    problems += [
        _problem(f"{namespace!r} is no namespace", f"/identities/{namespace}", "lower case letters, digits and _")
        for namespace in spec.identities
        if NAMESPACE.fullmatch(namespace) is None
    ]
    problems += [
        _problem(f"unknown channel {column.channel!r}", f"/consent/{index}/channel", f"one of {', '.join(CHANNELS)}")
        for index, column in enumerate(spec.consent)
        if column.channel not in CHANNELS
    ]
    if spec.names and len(set(spec.names)) < len(spec.names):
        problems.append(_problem("a name is given twice", "/names"))
    return problems + _problems_of_kind(spec)


def _problems_of_texts(spec: ImportSpec) -> list[Problem]:
    problems = []
    if spec.encoding:
        try:
            known = "\n".encode(spec.encoding) and codecs.lookup(spec.encoding)
        except (LookupError, UnicodeError):
            known = None
        if not known:
            problems.append(_problem(f"unknown encoding {spec.encoding!r}", "/encoding", "such as utf-8 or cp1252"))
    if spec.zone:
        try:
            ZoneInfo(spec.zone)
        except (KeyError, ValueError, OSError):
            problems.append(_problem(f"unknown zone {spec.zone!r}", "/zone", "such as Europe/Paris"))
    return problems


def _problems_of_kind(spec: ImportSpec) -> list[Problem]:
    wanted = {
        "contacts": {"consent", "evidence", "clear_empty"},
        "interactions": {"name", "name_column"},
        "lists": {"list", "list_column", "action", "action_column", "consent", "evidence"},
        "items": {"catalogue"},
    }
    usual = ImportSpec(kind=spec.kind)
    problems = [
        _problem(f"{field!r} says nothing of {spec.kind}", f"/{field}")
        for field in sorted(set().union(*wanted.values()) - wanted[spec.kind])
        if getattr(spec, field) != getattr(usual, field)
    ]
    if spec.kind == "items" and not spec.catalogue:
        problems.append(_problem("'catalogue' is missing", "/catalogue", "it says where the items belong"))
    for one, other in (("name", "name_column"), ("list", "list_column")):
        if getattr(spec, one) and getattr(spec, other):
            problems.append(_problem(f"{one!r} and {other!r} cannot both be given", f"/{other}"))
    return problems


def _problem(message: str, pointer: str, hint: str = "", file: str = "") -> Problem:
    return Problem(code="invalid_import", message=message, pointer=pointer, hint=hint, file=file)

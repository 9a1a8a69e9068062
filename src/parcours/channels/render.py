"""Liquid: from a message's templates and a contact's data to the text that is sent.

Templates are written by people we trust a little and filled with data from people we do not, so a template reads
nothing but its data, its loops and its output have limits, and what is data stays data: values are escaped in HTML
and cannot break out of a header.

Two names in the data have a meaning: `now` (a datetime, otherwise the machine's clock is asked) and `timezone` (an
IANA name, otherwise UTC), which the `date` filter uses.
"""

from __future__ import annotations

import functools
import re
import time as clocks
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time
from io import StringIO
from typing import Any, Final, TextIO
from zoneinfo import ZoneInfo

from liquid import BoundTemplate, Environment, RenderContext, Token
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.output import OutputNode
from liquid.exceptions import FilterArgumentError, LiquidError, OutputStreamLimitError, ResourceLimitError
from liquid.filter import sequence_filter
from liquid.stringify import to_liquid_string
from liquid.undefined import UNDEFINED, is_undefined
from liquid.utils import ReadOnlyChainMap

from parcours.definitions.message import MessageDefinition
from parcours.definitions.templates import Name
from parcours.errors import PermanentFailureError, Problem, TemporaryFailureError, did_you_mean

MAX_LOOP_ITERATIONS: Final = 10_000
"""How often the bodies of nested loops may run together, and how many numbers a range may hold."""
MAX_OUTPUT: Final = 1 << 20
"""How many characters one field, or one value on the way to it, may have."""
MAX_SECONDS: Final = 2.0
"""How much time of the processor one field may take: a template that loops over long texts stops nobody else for longer."""

_MARKUP = ("{{", "{%")
_HTML_FIELD = "html"
_HTML_POINTER = "/content/html"
_ONE_LINE_FIELDS = {"email": frozenset({"subject", "from", "reply_to"}), "sms": frozenset({"from"})}
_LINE_BREAKS = re.compile(r"[\r\n]+")
_SURROGATES = re.compile("[\ud800-\udfff]")
_MILLISECONDS_FROM = 100_000_000_000
"""A timestamp this large is in milliseconds: in seconds it would be the year 5138."""


class _Clock(Mapping[str, object]):
    """The names `now` and `today`, looked up only by a template that uses them."""

    def __getitem__(self, key: str) -> object:
        if key == "now":
            return datetime.now(UTC)
        if key == "today":
            return datetime.now(UTC).date()
        raise KeyError(key)

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[str]:
        return iter(("now", "today"))


_CLOCK = _Clock()


class _Buffer(StringIO):
    """Output that refuses to grow beyond a number of characters.

    The library's own counts bytes and so encodes every piece, which costs more and fails on lone surrogates.
    """

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def write(self, text: str, /) -> int:
        self.room -= len(text)
        if self.room < 0:
            raise OutputStreamLimitError(f"the text is longer than {MAX_OUTPUT} characters", token=None)
        return super().write(text)


class _Context(RenderContext):
    """The names a template sees: its own, then the data, then the clock."""

    def __init__(self, template: BoundTemplate, data: Mapping[str, object]) -> None:
        super().__init__(template, globals=data)
        # The library's `now` is the machine's local time without a zone.
        self.scope = ReadOnlyChainMap(self.locals, data, _CLOCK, self.counters)
        self.until = clocks.thread_time() + MAX_SECONDS

    def get(self, path: list[object], *, token: Token | None, default: object = UNDEFINED) -> object:
        # Whatever takes long looks up what is long, again and again.
        if clocks.thread_time() > self.until:
            raise ResourceLimitError(f"it takes more than {MAX_SECONDS:g} seconds", token=token)
        return super().get(path, token=token, default=default)

    def get_buffer(self, buf: TextIO | None = None) -> StringIO:
        return _Buffer(buf.room if isinstance(buf, _Buffer) else MAX_OUTPUT)


_ODD = frozenset({"size", "first", "last"})
"""What the library gives a meaning of its own at the end of a path."""


class _Template(BoundTemplate):
    @functools.cached_property
    def pieces(self) -> tuple[str | tuple[str, ...], ...] | None:
        """The texts and the paths of a template that has nothing else, as most have; None of one that does more."""
        found: list[str | tuple[str, ...]] = []
        for node in self.nodes:
            if isinstance(node, ContentNode):
                found.append(node.text)
                continue
            asked = node.expression if isinstance(node, OutputNode) else None
            if type(asked) is not FilteredExpression or asked.filters or not isinstance(asked.left, Path):
                return None
            path = tuple(part for part in asked.left.path if isinstance(part, str))
            if len(path) != len(asked.left.path) or _ODD.intersection(path):
                return None
            found.append(path)
        return tuple(found)

    def _put_together(self, data: Mapping[str, object]) -> str | None:
        """Return the text of a template of texts and paths; None when the library is to say what it is."""
        texts: list[str] = []
        escaped = self.env.autoescape
        for piece in self.pieces or ():
            if isinstance(piece, str):
                texts.append(piece)
                continue
            value: Any = data
            for key in piece:
                if type(value) is not dict and not isinstance(value, Mapping):
                    return None
                try:
                    value = value[key]
                except KeyError:
                    return None
            texts.append(to_liquid_string(value, escaped))
        text = "".join(texts)
        return text if len(text) <= MAX_OUTPUT else None

    def fill(self, data: Mapping[str, object]) -> str:
        if self.pieces is not None:
            # The library's own way takes ten times as long.
            text = self._put_together(data)
            if text is not None:
                return text
        buffer = _Buffer(MAX_OUTPUT)
        self.render_with_context(_Context(self, data), buffer)
        return buffer.getvalue()


class _Environment(Environment):
    loop_iteration_limit = MAX_LOOP_ITERATIONS
    local_namespace_limit = MAX_OUTPUT
    template_class = _Template

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        # A message stands on its own: nothing is read from files.
        del self.tags["include"], self.tags["render"]
        self.filters["date"] = _date
        self.filters["uniq"] = _uniq
        for name, function in self.filters.items():
            self.filters[name] = _limited(name, function)

    def error(self, exc: type[LiquidError] | LiquidError, msg: str | None = None, token: Token | None = None) -> None:
        # Errors at the end of an expression carry a token without a place; the tag around them has one.
        if isinstance(exc, LiquidError) and exc.token and exc.token.start_index < 0 and token is not None:
            exc.token = token
        super().error(exc, msg, token)


@sequence_filter
def _uniq(sequence: Iterable[Any], key: object = None) -> list[Any]:
    """Return the items of a list, or those of which what stands under a key is another one; of equal ones the first.

    The library compares each with all others, which takes hours for a contact's long list.
    """
    found: dict[object, Any] = {}
    for item in sequence:
        try:
            value = item if key is None else item[key]
        except (KeyError, IndexError):
            value = _MISSING
        except TypeError as error:
            raise FilterArgumentError(f"can't read property '{key}' of {item}", token=None) from error
        found.setdefault(_hashable(value), item)
    return list(found.values())


_MISSING = object()


def _hashable(value: Any) -> object:
    """Return what is equal for equal values of JSON, and can be looked up."""
    if isinstance(value, list | tuple):
        return "list", tuple(map(_hashable, value))
    if isinstance(value, Mapping):
        return "object", frozenset((key, _hashable(part)) for key, part in value.items())
    return value


def _too_long(name: str) -> FilterArgumentError:
    return FilterArgumentError(f"{name}: the result would be too long", token=None)


def _limited(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Keep a filter from making a huge value out of a small one; the library limits loops and output only."""

    @functools.wraps(function)
    def limited(value: Any, *args: Any, **options: Any) -> Any:
        for argument in (value, *args):
            # Compared by its ends: `len` fails on a range that is longer than the machine can count.
            if isinstance(argument, range) and argument.stop - argument.start > MAX_LOOP_ITERATIONS:
                raise FilterArgumentError(f"{name}: a range of more than {MAX_LOOP_ITERATIONS} numbers", token=None)
        # These two multiply, so looking at the result would be too late.
        if name == "join" and isinstance(value, list | tuple) and args:
            if len(value) * len(str(args[0])) > MAX_OUTPUT:
                raise _too_long(name)
        elif name == "replace" and len(args) > 1:
            text = str(value)
            if len(text) + text.count(str(args[0])) * len(str(args[1])) > MAX_OUTPUT:
                raise _too_long(name)
        result = function(value, *args, **options)
        if isinstance(result, str) and len(result) > MAX_OUTPUT:
            raise _too_long(name)
        return result

    return limited


@functools.lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise FilterArgumentError(f"date: there is no time zone {name[:64]!r}", token=None) from error


def _instant(value: object) -> datetime | None:
    """Return the time a value stands for, in UTC when it names no zone, or None."""
    if isinstance(value, datetime):
        instant = value
    elif isinstance(value, date):
        instant = datetime.combine(value, time())
    elif isinstance(value, int | float) and not isinstance(value, bool):
        try:
            instant = datetime.fromtimestamp(value / 1000 if abs(value) >= _MILLISECONDS_FROM else value, UTC)
        except (OverflowError, OSError, ValueError):
            return None
    elif isinstance(value, str):
        try:
            instant = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    else:
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _date(value: object, form: object = "%Y-%m-%d", zone: object = "", *, context: RenderContext) -> object:
    """Write a time with a strftime format, in the named zone, else in the data's `timezone`, else in UTC.

    Takes datetimes, dates, ISO 8601 text, seconds or milliseconds since the epoch, and the words `now` and `today`.
    Other values are returned as they are, as the reference implementation does.
    """
    if is_undefined(value):
        return ""
    instant = _instant(context.resolve(value) if value in ("now", "today") else value)
    if instant is None:
        return value
    if not zone or is_undefined(zone):
        zone = context.resolve("timezone", default="") or ""
    has_time = isinstance(value, datetime) or not isinstance(value, date)
    if has_time:  # a date is the same date everywhere
        instant = instant.astimezone(_zone(str(zone)) if zone else UTC)
    try:
        return instant.strftime(str(form))
    except ValueError as error:
        raise FilterArgumentError(f"date: {error}", token=None) from error


_date.with_context = True  # type: ignore[attr-defined]  # how the library knows to pass `context`


def _line(error: LiquidError, source: str) -> int:
    """Return the line of a template an error is in, counted from 1, the last one when it is at the end."""
    token = error.token
    if token is None or token.start_index < 0:
        return source.count("\n") + 1
    return source.count("\n", 0, token.start_index) + 1


class Renderer:
    """Fills the templates of messages. Keeps compiled templates, so one renderer serves a whole process.

    Args:
        cache_size: How many compiled templates are kept; the least recently used go first.
    """

    def __init__(self, cache_size: int = 2_048) -> None:
        self._plain = _Environment()
        self._html = _Environment(autoescape=True)
        # The text itself is the key: a changed definition needs no invalidation.
        self._template = functools.lru_cache(maxsize=cache_size)(self._parse)

    def _parse(self, source: str, html: bool) -> _Template:  # noqa: FBT001 (a private cache key)
        template = (self._html if html else self._plain).from_string(source)
        assert isinstance(template, _Template)  # noqa: S101 (tells the type checker what `template_class` says)
        return template

    def render(self, message: MessageDefinition, data: Mapping[str, object]) -> dict[str, str]:
        """Fill every field of a message.

        Names that are not in the data are empty. Values are escaped in the field `html` and nowhere else. Line
        breaks in an e-mail's headers become spaces.

        Args:
            message: Whose content is filled.
            data: What templates can refer to, by top-level name: JSON values, dates and datetimes.

        Returns:
            The text of every field the message has.

        Raises:
            PermanentFailureError: A template cannot be filled; message, field and line are named.
        """
        one_line = _ONE_LINE_FIELDS.get(message.channel, frozenset())
        texts: dict[str, str] = {}
        for field, source in message.content.items():
            text = source
            if "{" in source and any(mark in source for mark in _MARKUP):
                text = self._fill(message.name, field, source, data)
            if field in one_line:
                text = _LINE_BREAKS.sub(" ", text).strip()
            texts[field] = text
        return texts

    def _fill(self, name: str, field: str, source: str, data: Mapping[str, object]) -> str:
        try:
            text = self._template(source, field == _HTML_FIELD).fill(data)
        except (PermanentFailureError, TemporaryFailureError) as error:
            # What the data itself refuses, such as a secret that is not set.
            raise type(error)(f"message {name!r}, field {field!r}: {error}") from None
        except LiquidError as error:
            raise PermanentFailureError(
                f"message {name!r}, field {field!r}, line {_line(error, source)}: {error.message}"
            ) from error
        except Exception as error:
            # The library's filters let a few plain errors through (a number too long to print, say), and one
            # contact's odd data must not stop the outbox.
            raise PermanentFailureError(
                f"message {name!r}, field {field!r}: {type(error).__name__}: {error}"
            ) from error
        # Half a surrogate pair cannot be sent in any encoding.
        return text if text.isascii() else _SURROGATES.sub("\ufffd", text)

    def check(self, templates: Mapping[str, str]) -> list[Problem]:
        """Return what is wrong with templates, before anything is sent.

        Args:
            templates: Templates by pointer within their definition.

        Returns:
            The first syntax error of each, or every filter in it that does not exist, each with the pointer and the
            template's line in its text.
        """
        problems: list[Problem] = []
        for pointer, source in templates.items():
            try:
                template = self._template(source, pointer == _HTML_POINTER)
            except LiquidError as error:
                tag = error.token.value if error.token and str(error.message).startswith("unexpected tag") else ""
                hint = did_you_mean(tag, self._plain.tags) if tag else ""
                if tag in ("include", "render"):
                    hint = "a message cannot include other files"
                problems.append(
                    Problem(
                        code="invalid_template",
                        message=f"line {_line(error, source)}: {error.message}",
                        pointer=pointer,
                        hint=hint,
                    )
                )
                continue
            for name, places in template.analyze().filters.items():
                if name in self._plain.filters:
                    continue
                problems.extend(
                    Problem(
                        code="unknown_filter",
                        message=f"line {source.count(chr(10), 0, place.index) + 1}: there is no filter {name!r}",
                        pointer=pointer,
                        hint=did_you_mean(name, self._plain.filters),
                    )
                    for place in places
                )
        return problems

    def names(self, templates: Mapping[str, str]) -> list[Name]:
        """Return the names that templates look up, each with the pointer of its template and the line in it.

        Names that a template makes itself are left out, and templates that cannot be read have none.
        """
        found: list[Name] = []
        for pointer, source in templates.items():
            try:
                template = self._template(source, pointer == _HTML_POINTER)
            except LiquidError:
                continue
            for places in template.analyze().globals.values():
                found += [
                    Name(pointer, source.count("\n", 0, place.span.index) + 1, tuple(map(_part, place.segments)))
                    for place in places
                ]
        return found


def _part(segment: object) -> str | int | None:
    return segment if isinstance(segment, str | int) else None

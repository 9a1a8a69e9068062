"""Webhooks: what other services send of their own accord, to arrivals, as a mapping says that is written in YAML.

A mapping is declarative: how a delivery is signed, what its topic is, and for each topic what it becomes. Its
expressions are JMESPath (https://jmespath.org/specification.html) over `{"headers": {...}, "body": ...}`, names of
headers in lower case. docs/doors.md shows one whole. Sources of each vendor's rules stand in its mapping as
`documentation`.

Signatures are HMAC-SHA256 (RFC 2104) with a shared secret, or RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, section 8.2.2)
with public keys; both are compared in constant time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import jmespath
import msgspec
import yaml
from jmespath.exceptions import JMESPathError

from parcours.core.gate import Arrival, Happened
from parcours.definitions.message import CHANNELS
from parcours.errors import InvalidDefinitionError, Problem
from parcours.sources.plain import (
    Item,
    bad,
    checked_id,
    checked_name,
    decode,
    identities_in,
    instant_of,
    learned_from,
    refuse_unstorable,
)
from parcours.sources.segment import MalformedError, read_consent
from parcours.sources.words import told_of

BUILT_IN = Path(__file__).parent / "mappings"
"""The mappings that come with parcours."""

NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")
"""What a webhook's name looks like; it is the mapping file's."""

WHOLE = ""
"""The topic whose rules are for every topic that has none of its own."""

_MILLISECONDS_FROM = 100_000_000_000
"""A number for a time is in milliseconds from here on, and in seconds below; as seconds it would be the year 5138."""


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a delivery is signed.

    With `rsa-sha256` the secret is public keys in PEM. Where the vendor signs for all customers alike, `recipient` finds
    in the body for whom it is, and the secret's first line, before the keys, is who we are.
    """

    headers: tuple[str, ...]
    """Where signatures stand; one that is right is enough."""
    algorithm: Literal["hmac-sha256", "rsa-sha256"] = "hmac-sha256"
    encoding: Literal["base64", "hex"] = "base64"
    prefix: str = ""
    """What stands before the signature, such as `sha256=`."""
    timestamp: str = ""
    """The header with the time of sending, signed as the text before the body."""
    separator: str = ""
    """What is signed between the two."""
    tolerance: int = 300
    """Seconds by which the time of sending may differ from ours."""
    recipient: str = ""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a delivery becomes: an interaction with a name, or what is known of a contact."""

    interaction: str = ""
    contact: bool = False
    when: str = ""
    """The rule holds when this is neither null, false nor empty."""
    identities: dict[str, str] = {}
    attributes: dict[str, str] = {}
    consent: dict[str, str] = {}
    occurred_at: str = ""
    message_id: str = ""


class MappingFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping, as it is written."""

    signature: Signature
    topics: dict[str, list[Rule]]
    topic: str = ""
    documentation: list[str] = []
    identities: dict[str, str] = {}
    occurred_at: str = ""
    message_id: str = ""
    challenge: str = ""
    """The query parameter that the vendor wants back when it asks by GET whether the address is ours."""


class _CompiledRule:
    def __init__(self, rule: Rule, mapping: MappingFile) -> None:
        self.rule = rule
        self.when = _compile(rule.when)
        self.identities = _compile_all(rule.identities or mapping.identities)
        self.attributes = _compile_all(rule.attributes)
        self.consent = _compile_all(rule.consent)
        self.occurred_at = _compile(rule.occurred_at or mapping.occurred_at)
        self.message_id = _compile(rule.message_id or mapping.message_id)


class Webhook:
    """One mapping, ready for use.

    Args:
        name: What it is called; its arrivals have the source `webhook.` and the name.
        mapping: As it was written.

    Raises:
        JMESPathError: An expression cannot be read.
    """

    def __init__(self, name: str, mapping: MappingFile) -> None:
        self.name = name
        self.source = f"webhook.{name}"
        self.challenge = mapping.challenge
        self._signature = mapping.signature
        self._headers = [header.lower() for header in mapping.signature.headers]
        self._timestamp = mapping.signature.timestamp.lower()
        self._recipient = _compile(mapping.signature.recipient)
        self._topic = _compile(mapping.topic)
        self._rules = {
            topic: [_CompiledRule(rule, mapping) for rule in rules] for topic, rules in mapping.topics.items()
        }

    def refusal(self, secret: str, headers: Mapping[str, str], body: bytes, plain: bytes, now: int) -> str:
        """Return why a delivery is not known to be the vendor's, or an empty string when it is.

        Args:
            secret: The shared secret, or public keys in PEM.
            headers: By name in lower case.
            body: As it was sent, for this is what is signed.
            plain: The same, unpacked.
            now: Milliseconds since the epoch.
        """
        signature = self._signature
        signed = body
        if self._timestamp:
            sent = headers.get(self._timestamp, "")
            problem = _too_old(sent, signature.tolerance, now)
            if problem:
                return problem
            signed = f"{sent}{signature.separator}".encode("latin-1", "replace") + body
        given = [found for header in self._headers if (found := _decoded(headers.get(header, ""), signature))]
        if not given:
            return f"there is no signature in {' or '.join(signature.headers)}"
        if signature.algorithm == "hmac-sha256":
            expected = hmac.digest(secret.encode(), signed, "sha256")
            matches = [hmac.compare_digest(expected, found) for found in given]
        else:
            keys = public_keys(secret)
            matches = [verify_rsa(key, signed, found) for key in keys for found in given]
        if not any(matches):
            return "the signature is not right"
        if signature.recipient and not self._ours(secret, headers, plain):
            return "it is meant for somebody else"
        return ""

    def _ours(self, secret: str, headers: Mapping[str, str], plain: bytes) -> bool:
        us = secret.strip().partition("\n")[0].strip().encode()
        try:
            found = self._recipient.search({"headers": dict(headers), "body": read_json(plain)})
        except (MalformedError, JMESPathError):
            return False
        return isinstance(found, str) and hmac.compare_digest(found.encode("utf-8", "replace"), us)

    def topic(self, headers: Mapping[str, str], payload: Any) -> str:
        """Return what a delivery is about, empty when nothing says."""
        found = _search(self._topic, {"headers": dict(headers), "body": payload}, "topic")
        return found if isinstance(found, str) else ""

    def items(self, headers: Mapping[str, str], payload: Any, body: bytes) -> list[Item]:
        """Return what a delivery comes to: an item for each rule of its topic that holds, so none for other topics.

        A delivery without an id of its own is known again by its body.
        """
        try:
            topic = self.topic(headers, payload)
        except MalformedError as error:
            return [Item("", problem=error.problem)]
        data = {"headers": dict(headers), "body": payload}
        digest = hashlib.sha256(body).hexdigest()
        found: list[Item] = []
        for number, compiled in enumerate(self._rules.get(topic, self._rules.get(WHOLE, []))):
            id_ = ""
            try:
                if compiled.rule.when and not _truth(_search(compiled.when, data, "when")):
                    continue
                id_ = _text(_search(compiled.message_id, data, "message_id")) or digest
                if number:
                    id_ = f"{id_}#{number}"
                found.append(Item(id_, self._arrival(compiled, data, checked_id(id_))))
            except MalformedError as error:
                found.append(Item(id_[:512], problem=error.problem))
        return found

    def _arrival(self, compiled: _CompiledRule, data: dict[str, Any], id_: str) -> Arrival:
        rule = compiled.rule
        attributes = _search_all(compiled.attributes, data, "attributes")
        identities = _search_all(compiled.identities, data, "identities")
        refuse_unstorable({"attributes": attributes, "identities": identities, "message_id": id_})
        identities = {name: value for name, value in identities.items() if value != ""}
        occurred_at = _instant(_search(compiled.occurred_at, data, "occurred_at"))
        owners = identities_in(identities, "/identities")
        if not rule.contact:
            name = checked_name(rule.interaction, "interaction")
            return Arrival(self.source, id_, owners, Happened(name, attributes), occurred_at)
        learned = learned_from(attributes)
        learned.consent = read_consent(_search_all(compiled.consent, data, "consent"), "/consent")
        return Arrival(self.source, id_, owners, learned, occurred_at)


_json = msgspec.json.Decoder()


def read_json(body: bytes) -> Any:
    """Return a payload.

    Raises:
        MalformedError: It is not JSON.
    """
    return decode(_json, body)


# --- mappings ---------------------------------------------------------------------------------------------------------


def load_webhooks(*folders: Path) -> dict[str, Webhook]:
    """Return the webhooks whose mappings are in some folders, by name; a later folder's go before an earlier one's.

    A folder that is not there has none.

    Raises:
        InvalidDefinitionError: Some mappings are of no use; it holds every problem, with its file.
    """
    found: dict[str, Webhook] = {}
    problems: list[Problem] = []
    for path in (path for folder in folders for path in sorted(folder.glob("*.yaml"))):
        try:
            if NAME.fullmatch(path.stem) is None:
                raise bad(f"{path.stem!r} is no name for a webhook", "", "lower case letters, digits and -")
            found[path.stem] = read_mapping(path.stem, path.read_text(encoding="utf-8"))
        except MalformedError as error:
            problems.append(msgspec.structs.replace(error.problem, file=str(path)))
        except (OSError, UnicodeDecodeError) as error:
            problems.append(Problem(code="unreadable_file", message=f"cannot be read: {error}", file=str(path)))
    if problems:
        raise InvalidDefinitionError(problems)
    return found


def read_mapping(name: str, text: str) -> Webhook:
    """Return the webhook that a mapping, as YAML, describes.

    Raises:
        MalformedError: It is not of that form, or an expression cannot be read.
    """
    try:
        mapping = msgspec.convert(yaml.safe_load(text), MappingFile)
    except (yaml.YAMLError, RecursionError) as error:
        raise bad(f"not valid YAML: {error}", "", code="invalid_yaml") from None
    except msgspec.ValidationError as error:
        raise MalformedError(told_of(error)) from None
    for topic, rules in mapping.topics.items():
        for index, rule in enumerate(rules):
            place = f"/topics/{topic.replace('~', '~0').replace('/', '~1')}/{index}"
            if bool(rule.interaction) == rule.contact:
                raise bad("a rule has either 'interaction' or 'contact: true'", place, code="invalid_mapping")
            if not (rule.identities or mapping.identities):
                raise bad("nothing says whose this is", f"{place}/identities", code="no_identity")
            if unknown := set(rule.consent).difference(CHANNELS):
                raise bad(f"unknown channel {min(unknown)!r}", f"{place}/consent", code="invalid_mapping")
    if not mapping.signature.headers:
        raise bad("a signature stands in a header", "/signature/headers", code="invalid_mapping")
    try:
        return Webhook(name, mapping)
    except (JMESPathError, RecursionError) as error:
        raise bad(f"an expression cannot be read: {error}", "", code="invalid_expression") from None


def _compile(expression: str) -> Any:
    return jmespath.compile(expression or "`null`")


def _compile_all(expressions: Mapping[str, str]) -> dict[str, Any]:
    return {name: _compile(expression) for name, expression in expressions.items()}


def _search(compiled: Any, data: dict[str, Any], field: str) -> Any:
    try:
        return compiled.search(data)
    except (JMESPathError, ArithmeticError, RecursionError, TypeError, ValueError) as error:
        message = f"the expression {compiled.expression!r} does not fit: {error}"
        raise bad(message, f"/{field}", code="expression_failed") from None


def _search_all(compiled: Mapping[str, Any], data: dict[str, Any], field: str) -> dict[str, Any]:
    """Return what is found, without what is not there."""
    found = {name: _search(expression, data, f"{field}/{name}") for name, expression in compiled.items()}
    return {name: value for name, value in found.items() if value is not None}


def _truth(value: Any) -> bool:
    return value is not None and value is not False and (not isinstance(value, str | list | dict) or bool(value))


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    try:
        return str(value)
    except ValueError:
        return ""


def _instant(value: Any) -> int | None:
    """Return an instant in milliseconds, of ISO 8601 with an offset or of a number since the epoch."""
    if value is None or value == "":
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53:
        return int(value if value >= _MILLISECONDS_FROM else value * 1000)
    if not isinstance(value, str):
        raise bad("the time is neither text nor a number since 1970", "/occurred_at", code="wrong_type")
    try:
        return instant_of(datetime.fromisoformat(value), "/occurred_at")
    except ValueError:
        raise bad("the time is not ISO 8601", "/occurred_at", code="wrong_type") from None


# --- signatures -------------------------------------------------------------------------------------------------------


def _decoded(text: str, signature: Signature) -> bytes:
    if not text.startswith(signature.prefix):
        return b""
    try:
        given = text.removeprefix(signature.prefix).strip()
        return bytes.fromhex(given) if signature.encoding == "hex" else base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _too_old(sent: str, tolerance: int, now: int) -> str:
    """Return what is wrong with a time of sending: ISO 8601, or a number of seconds or milliseconds."""
    try:
        number = int(sent) if re.fullmatch(r"\d{1,15}", sent) else None
        instant = _instant(number if number is not None else sent)
    except MalformedError:
        instant = None
    if instant is None:
        return "the time of sending is missing or cannot be read"
    if abs(now - instant) > tolerance * 1000:
        return f"it was sent more than {tolerance} seconds before or after now ({datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ})"
    return ""


_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----(.*?)-----END PUBLIC KEY-----", re.DOTALL)
_SHA256_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")
"""The DER encoding of "a SHA-256 digest follows" (RFC 8017, section 9.2, note 1)."""

_INTEGER, _BIT_STRING, _SEQUENCE = 0x02, 0x03, 0x30


def public_keys(text: str) -> list[tuple[int, int]]:
    r"""Return the RSA keys in a text that has `PUBLIC KEY` blocks in PEM (RFC 7468), each as modulus and exponent.

    `\n` written out is taken for the end of a line, as environment variables often have it. Blocks that are no RSA keys
    are passed over.
    """
    found: list[tuple[int, int]] = []
    for match in _PEM.finditer(text.replace("\\n", "\n")):
        try:
            # SubjectPublicKeyInfo (RFC 5280, section 4.1): SEQUENCE {algorithm, BIT STRING {SEQUENCE {n, e}}}
            whole, _ = _der(base64.b64decode(match[1]), _SEQUENCE)
            _, rest = _der(whole, _SEQUENCE)
            bits, _ = _der(rest, _BIT_STRING)
            numbers, _ = _der(bits[1:], _SEQUENCE)
            modulus, rest = _der(numbers, _INTEGER)
            exponent, _ = _der(rest, _INTEGER)
        except (binascii.Error, ValueError):
            continue
        found.append((int.from_bytes(modulus), int.from_bytes(exponent)))
    return found


def verify_rsa(key: tuple[int, int], message: bytes, signature: bytes) -> bool:
    """Return whether a signature is RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, section 8.2.2) of a message.

    What should have been signed is built anew and compared as a whole, so that nothing is parsed that a forger chose.
    """
    modulus, exponent = key
    length = (modulus.bit_length() + 7) // 8
    number = int.from_bytes(signature)
    payload = _SHA256_PREFIX + hashlib.sha256(message).digest()
    if length < len(payload) + 11 or len(signature) != length or number >= modulus:
        return False
    expected = b"\x00\x01" + b"\xff" * (length - len(payload) - 3) + b"\x00" + payload
    return hmac.compare_digest(pow(number, exponent, modulus).to_bytes(length), expected)


def _der(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """Return the content of the DER element (X.690) that data begins with, and what follows it."""
    if len(data) < 2 or data[0] != tag:  # noqa: PLR2004 (a tag and a length)
        raise ValueError("not the element that was looked for")
    length, start = data[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start])
    if len(data) < start + length:
        raise ValueError("the element is cut off")
    return data[start : start + length], data[start + length :]


def missing_secrets(names: Iterable[str], webhooks: Mapping[str, Webhook]) -> list[str]:
    """Return those names of secrets for which there is no webhook."""
    return sorted(set(names).difference(webhooks))

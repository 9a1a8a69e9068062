from __future__ import annotations

import time
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcours.channels.render import MAX_LOOP_ITERATIONS, Renderer
from parcours.definitions.message import MessageDefinition
from parcours.definitions.templates import of_content
from parcours.errors import PermanentFailureError
from tests.profiles import examples

renderer = Renderer()


def fill(template, data=None, *, field="text", channel="email"):
    message = MessageDefinition(name="hello", channel=channel, content={field: template})
    return renderer.render(message, data or {})[field]


def test_every_field_is_filled():
    message = MessageDefinition(
        name="welcome",
        channel="push",
        content={
            "title": "Hi {{ contact.first_name | default: 'there' }}!",
            "body": "Order {{ event.total }}",
            "url": "x",
        },
    )
    assert renderer.render(message, {"contact": {"first_name": "Ann"}, "event": {"total": 12.5}}) == {
        "title": "Hi Ann!",
        "body": "Order 12.5",
        "url": "x",
    }


def test_names_that_are_not_there_are_empty():
    assert fill("[{{ a }}{{ a.b.c }}{{ a[0] }}{{ a | upcase }}{% for x in a %}x{% endfor %}]") == "[]"


def test_text_without_markup_is_left_alone():
    assert fill("{ not } liquid }}") == "{ not } liquid }}"


def test_only_html_is_escaped():
    data = {"name": "<b>Ann & Co</b>"}
    assert fill("<i>{{ name }}</i>", data, field="html") == "<i>&lt;b&gt;Ann &amp; Co&lt;/b&gt;</i>"
    assert fill("{{ name }}", data, field="text") == "<b>Ann & Co</b>"
    assert fill("{{ name }}", data, field="subject") == "<b>Ann & Co</b>"
    # The same template in both kinds of field: the cache must not mix them up.
    assert fill("{{ name }}", data, field="html") == "&lt;b&gt;Ann &amp; Co&lt;/b&gt;"


@pytest.mark.parametrize("field", ["subject", "from", "reply_to"])
def test_headers_stay_on_one_line(field):
    assert fill("Hi {{ name }}\r\n", {"name": "Ann\r\nBcc: eve@example.com\n\n"}, field=field) == (
        "Hi Ann Bcc: eve@example.com"
    )


def test_body_keeps_its_lines():
    assert fill("a\n{{ b }}", {"b": "c\nd"}) == "a\nc\nd"


def test_half_a_surrogate_pair_is_replaced():
    assert fill("{{ name }}", {"name": "a\ud800b😀"}) == "a\ufffdb😀"


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-21T22:30:00Z",
        "2026-11-21T23:30:00+01:00",
        "2026-11-21 22:30",
        datetime(2026, 11, 21, 22, 30, tzinfo=UTC),
        datetime(2026, 11, 21, 22, 30),  # noqa: DTZ001 (that a naive one is UTC is what is tested)
        1_795_300_200,
        1_795_300_200_000,
    ],
)
def test_dates_are_written_with_the_date_filter(value):
    assert fill("{{ at | date: '%Y-%m-%d %H:%M' }}", {"at": value}) == "2026-11-21 22:30"
    assert fill("{{ at | date: '%d %H:%M', 'Europe/Paris' }}", {"at": value}) == "21 23:30"
    assert fill("{{ at | date: '%d %H:%M' }}", {"at": value, "timezone": "Asia/Tokyo"}) == "22 07:30"


def test_a_time_without_a_zone_is_utc_wherever_the_machine_is(monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert fill("{{ at | date: '%H:%M' }}", {"at": "2026-11-21T22:30:00"}) == "22:30"
        assert fill("{{ at | date: '%H:%M' }}", {"at": 1_795_300_200}) == "22:30"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_day_has_no_time_zone():
    assert fill("{{ day | date: '%d.%m.' }}", {"day": date(2026, 11, 21), "timezone": "America/New_York"}) == "21.11."


def test_now_comes_from_the_data_when_it_has_one():
    data = {"now": datetime(2026, 11, 21, 9, tzinfo=UTC)}
    assert fill("{{ 'now' | date: '%F %H' }} {{ now | date: '%F' }}", data) == "2026-11-21 09 2026-11-21"
    assert fill("{{ now | date: '%Y' }}") == str(datetime.now(UTC).year)
    assert fill("{{ today | date: '%Y' }}") == str(datetime.now(UTC).year)


def test_what_is_no_date_is_left_as_it_is():
    assert fill("{{ 'soon' | date: '%Y' }}{{ x | date: '%Y' }}{{ true | date: '%Y' }}") == "soontrue"


@pytest.mark.parametrize(
    "template, line, reason",
    [
        ("a\n{{ 1 | divided_by: 0 }}", 2, "divide"),
        ("{{ now | date: '%Y', 'Mars/North' }}", 1, "time zone"),
        ("a\nb\n{{ 'x' | shout }}", 3, "shout"),
        ("a {{ b", 1, "expected"),
        ("\n{% include 'passwords' %}", 2, "include"),
        ("{% render 'passwords' %}", 1, "render"),
        ("{% break %}", 1, "break"),
    ],
)
def test_errors_name_message_field_and_line(template, line, reason):
    with pytest.raises(PermanentFailureError, match=rf"message 'hello', field 'text', line {line}: .*{reason}"):
        fill(template)


@pytest.mark.parametrize(
    "template",
    [
        f"{{% for i in (1..{MAX_LOOP_ITERATIONS + 1}) %}}x{{% endfor %}}",
        "{% for i in (1..200) %}{% for j in (1..200) %}{% endfor %}{% endfor %}",
        "{{ (1..9999999999999999999999) | join: ',' }}",
        "{% assign r = (1..999999999) %}{{ r | reverse | first }}",
        "{% assign a = 'aaaaaaaaaa' %}" + "{% assign a = a | append: a %}" * 40,
        "{{ 'aaaaaaaaaa'" + " | replace: 'a', 'aaaaaaaaaa'" * 30 + " }}",
        "{{ 'a'" + " | base64_encode" * 200 + " }}",
        "{% assign a = 'aaaaaaaaaa'" + " | replace: 'a', 'aaaaaaaaaa'" * 5 + " %}{{ a | split: '' | join: a }}",
        "{% assign l = 'a,b' | split: ',' %}" + "{% assign l = l | concat: l %}" * 24,
        "{{ 9" + " | times: 99999999999999999999" * 400 + " }}",
        "{% for i in (1..9000) %}{{ text }}{% endfor %}",
        "{% if true %}" * 100 + "{% endif %}" * 100,
    ],
)
def test_a_template_cannot_take_the_machine_down(template):
    with pytest.raises(PermanentFailureError):
        fill(template, {"text": "x" * 1_000})


@pytest.mark.parametrize(
    "loop",
    [
        "{% assign n = text | split: ',' | join: '.' | split: '.' | size %}",
        "{% if text contains needle %}x{% endif %}",
        "{% assign n = text | upcase | downcase | size %}",
    ],
)
def test_a_template_that_takes_long_is_stopped(monkeypatch: pytest.MonkeyPatch, loop: str):
    monkeypatch.setattr("parcours.channels.render.MAX_SECONDS", 0.05)
    data = {"text": "a," * 400_000, "needle": "a," * 100 + "b"}
    began = time.thread_time()
    with pytest.raises(PermanentFailureError, match=r"line 2: it takes more than 0\.05 seconds"):
        fill("\n{% for i in (1..9000) %}" + loop + "{% endfor %}", data)
    assert time.thread_time() - began < 1


def test_equal_items_are_left_out_of_long_lists_at_once():
    long = [str(number % 50_000) for number in range(100_000)]
    assert fill("{{ l | uniq | size }}", {"l": long}) == "50000"
    assert fill("{{ l | map: 'a' | uniq | size }}", {"l": [{"a": [one]} for one in long]}) == "50000"
    assert (
        fill(
            "{{ l | uniq: 'a' | map: 'b' | join: ',' }}",
            {"l": [{"a": 1, "b": 1}, {"a": 1.0, "b": 2}, {"b": 3}, {"b": 4}]},
        )
        == "1,3"
    )
    assert fill("{{ l | uniq | size }}", {"l": [{"a": [1]}, {"a": [1]}, {"a": [1, 2]}, None, None, "1", 1]}) == "5"


def test_templates_are_kept_in_a_bounded_cache():
    small = Renderer(cache_size=2)
    for number in range(5):
        message = MessageDefinition(name="m", channel="push", content={"title": f"{{{{ a }}}} {number}"})
        assert small.render(message, {"a": 1}) == {"title": f"1 {number}"}
    assert small._template.cache_info().currsize == 2


def test_check_finds_nothing_in_good_templates():
    assert (
        renderer.check(of_content({"subject": "Hi {{ name | upcase }}", "html": "{% if a %}b{% else %}c{% endif %}"}))
        == []
    )


def test_check_says_what_is_wrong_and_where():
    content = {
        "subject": "Hi {{ name",
        "text": "a\n{% fro x in y %}",
        "html": "{{ a | upcas }}\n{{ b | wibble | downcase }}",
        "from": "{% include 'x' %}",
        "a/b~c": "{% if %}{% endif %}",
        "reply_to": "a\n{{ }}\nb\n",
    }
    problems = renderer.check(of_content(content))
    assert [(p.code, p.pointer, p.message.partition(":")[0], p.hint) for p in problems] == [
        ("invalid_template", "/content/subject", "line 1", ""),
        ("invalid_template", "/content/text", "line 2", "did you mean 'for'?"),
        ("unknown_filter", "/content/html", "line 1", "did you mean 'upcase'?"),
        ("unknown_filter", "/content/html", "line 2", ""),
        ("invalid_template", "/content/from", "line 1", "a message cannot include other files"),
        ("invalid_template", "/content/a~1b~0c", "line 1", ""),
        ("invalid_template", "/content/reply_to", "line 2", ""),
    ]


@given(st.text())
def test_data_is_never_read_as_a_template(text):
    assert fill("{{ text }}", {"text": text}) == text
    assert fill("{{ text }}", {"text": "{{ secret }}{% if %}" + text, "secret": "s"}) == "{{ secret }}{% if %}" + text


@given(st.text())
def test_any_template_is_filled_or_refused(template):
    problems = renderer.check({"/content/text": template})
    try:
        fill(template)
    except PermanentFailureError:
        assert problems or "{%" in template or "{{" in template


@given(st.text(alphabet="{}%| \n'ai.:,()[]1-", max_size=40))
def test_any_markup_is_filled_or_refused(template):
    renderer.check({"/content/text": template, "/content/html": template})
    try:
        fill(template)
    except PermanentFailureError as error:
        assert "message 'hello', field 'text'" in str(error)  # noqa: PT017 (either outcome is right)


# --- templates of texts and paths alone -------------------------------------------------------------------------------

_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=5,
)
_paths = st.lists(st.sampled_from(["a", "b", "c", "now", "size", "first", "last"]), min_size=1, max_size=3).map(
    ".".join
)
_templates = st.lists(st.sampled_from(["x", "<b>", "é", " "]) | _paths.map("{{{{ {} }}}}".format), max_size=4).map(
    "".join
)


@examples(300)
@given(_templates, st.dictionaries(st.sampled_from("abc"), _values, max_size=3), st.booleans())
def test_what_is_put_together_at_once_is_what_the_library_makes(source: str, data: dict[str, Any], html: bool):
    quick, slow = Renderer(), Renderer()
    template = slow._template(source, html)
    template.__dict__["pieces"] = None

    def text(renderer: Renderer) -> str:
        try:
            return renderer._template(source, html).fill(data)
        except Exception as error:  # noqa: BLE001 (whatever it is, it must be the same)
            return f"{type(error).__name__}: {error}"

    if "now" not in source:
        assert text(quick) == text(slow)

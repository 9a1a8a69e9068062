"""Scenario files: what does not hold is said to fail, and what is written wrongly is said where."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from parcours.definitions.load import Source, read
from parcours.errors import InvalidDefinitionError
from parcours.testing.scenarios import HOSTS, Failure, read_scenarios, run, scenario_files, scenario_schema

HEAD = """
definitions:
  - {kind: message, name: receipt, channel: email, purpose: transactional,
     content: {subject: "Hello {{ contact.name }}", text: "You bought {{ interaction.item }}."}}
  - {kind: message, name: news, channel: email, content: {subject: News, text: News.}}
  - {kind: list, name: vip}
  - {kind: catalogue, name: products, attributes: {price: {type: number}}}
  - {kind: programme, name: club, tiers: {levels: [{name: bronze, at: 0}]}}
  - {kind: reward, name: ten, percent: 10}
  - {kind: rule, name: seen, programme: club, "on": [Go], points: 5}
  - {kind: segment, name: grown, condition: {contact: age, at_least: 18}}
  - kind: journey
    name: j
    entry: {type: interaction, interaction: Go, key: order}
    start: thank
    steps:
      thank: {type: send, messages: [receipt, news], next: listen}
      listen:
        type: wait_for
        events: [{type: interaction, interaction: Come, next: end}]
        timeout: {after: 2d}
      end: {type: end}
contacts:
  ann: {attributes: {name: Ann, age: 20, email: ann@example.com}, lists: vip}
  bob: null
scenarios:
  it:
"""

BEGIN = "{who: ann, track: Go, attributes: {order: a, item: A lamp}"


def played(tmp_path: Path, *steps: str, host: str = "memory") -> Failure | None:
    file = tmp_path / "scenarios.yaml"
    file.write_text(HEAD + "".join(f"    - {step}\n" for step in steps), encoding="utf-8")
    (scenario,) = read_scenarios(scenario_files([tmp_path]))
    return run(scenario, HOSTS[host]).failure


HOLDS = [
    "sent: receipt",
    "sent: {message: receipt, channel: email, to: ann@example.com, text: [Hello Ann, A lamp], no_text: Bob}",
    "sent: {message: receipt, text: {subject: Ann}, at: 2026-03-02 09:00}",
    "sent: receipt, suppressed: no_consent, nothing_else: true",
    "not_sent: news",
    "suppressed: {news: no_consent}",
    "suppressed: true",
    "held: false",
    "entered: true",
    "entered: 1",
    "entered: j",
    "refused: false",
    "ended: false",
    "way: []",
    "path: [thank, listen]",
    "step: listen",
    "waiting_until: 2d",
    "waiting_until: 2026-03-04 09:00",
    "waiting_until: wed 09:00",
    "runs: 1",
    "runs: 1, key: a",
    "runs: 0, key: b",
    "journey: j, key: a, entered: true",
    "key: b, entered: false",
    "attributes: {age: 20, height: null}",
    "consent: {email: unknown}",
    "in_segment: grown",
    "on_list: vip",
    "trace: {what: suppressed, reason: no_consent, detail: {message: news}}",
    "trace: [{what: entered, detail: {key: a}, version: 1}, {what: ended, times: 0}]",
    "points: 0, held_points: 0, tier: '', ledger: []",
    "declined: []",
    "coupons: {ten: ''}",
    "who: bob, nothing: true, not_in_segment: grown, not_on_list: vip, attributes: {age: null}",
]


@pytest.mark.parametrize("host", HOSTS)
def test_what_holds_passes(tmp_path: Path, host: str):
    for expect in HOLDS:
        assert played(tmp_path, f"{BEGIN}, expect: {{{expect}}}}}", host=host) is None, expect


FAILS = [
    ("sent: news", "'news' was to be sent to ann at Mon 2026-03-02 09:00:00"),
    ("sent: [receipt, receipt]", "2 times"),
    ("sent: {message: receipt, times: 2}", "2 times"),
    ("sent: {message: receipt, at: 2026-03-02 08:59}", "08:59:00; since the last look: receipt"),
    ("sent: {message: receipt, channel: push}", "was to go by push, and goes by email"),
    ("sent: {message: receipt, to: x@example.com}", "'ann@example.com'"),
    ("sent: {message: receipt, text: A chair}", "You bought A lamp."),
    ("sent: {message: receipt, text: {subject: lamp}}", "the subject of 'receipt', which says: Hello Ann"),
    ("sent: {message: receipt, no_text: lamp}", "was not to be in the text"),
    ("not_sent: true", "receipt was not to be sent to ann"),
    ("not_sent: [news, receipt]", "receipt was not to be sent to ann"),
    ("suppressed: opted_out", "news (no_consent)"),
    ("suppressed: {receipt: no_consent}", "'receipt' was to be suppressed"),
    ("suppressed: false", "nothing was to be suppressed"),
    ("held: true", "a message was to be held"),
    ("held: news", "'news' was to be held for ann; held: nothing"),
    ("sent: receipt, nothing_else: true", "news suppressed (no_consent)"),
    ("suppressed: true, nothing_else: true", "sent: receipt"),
    ("nothing: true", "nothing was to be decided"),
    ("entered: false", "ann was not to enter"),
    ("entered: 2", "2 times"),
    ("entered: other", "was to enter 'other'"),
    ("entered: [j, j]", "was to enter 'j'"),
    ("refused: entered_before", "as 'entered_before'"),
    ("ended: true", "something was to be ended"),
    ("called: thank", "'thank' was to make a call for ann; called: nothing"),
    ("goal: bought", "was to reach the goal 'bought'"),
    ("way: timeout", "the ways taken"),
    ("path: [thank]", "came to thank, listen"),
    ("step: thank", "stands at listen"),
    ("step: []", "stands at listen"),
    ("waiting_until: 1d", "Wed 2026-03-04 09:00:00"),
    ("waiting_until: never", "Wed 2026-03-04 09:00:00"),
    ("journey: other, waiting_until: 1d", "ann was to wait, and is in no run"),
    ("journey: other, waiting_until: never", "ann was to wait, and is in no run"),
    ("runs: 0", "there are: j a"),
    ("runs: 1, key: b", "there are: none"),
    ("key: b, entered: true", "was to enter"),
    ("attributes: {age: 21}", "is 20"),
    ("attributes: {age: null}", "is 20"),
    ("consent: {email: opted_in}", "is unknown"),
    ("not_in_segment: grown", "not to be in the segment"),
    ("in_segment: unknown", "there is no segment 'unknown'"),
    ("not_on_list: vip", "not to be on the list"),
    ("on_list: others", "there is no list 'others'"),
    ("recorded: Seen", "was to be recorded"),
    ("trace: {what: entered, detail: {key: b}}", "an entry of the trace"),
    ("trace: {what: entered, times: 0}", "an entry of the trace"),
    ("points: 5", "the balance of ann in 'club' was to be 5, and is 0; ann is no member"),
    ("points: {other: 5}", "'other'"),
    ("held_points: 5", "what is held"),
    ("tier: bronze", "was to be 'bronze', and is ''"),
    ("declined: no_member", "declined: nothing"),
    ("coupons: {ten: issued}", "the latest 'ten' of ann was to be issued, and is none"),
    ("coupons: {tin: issued}", "there is no reward 'tin'"),
    ("ledger: [{kind: earned}]", "it has: none"),
    ("who: bob, in_segment: grown", "bob was to be in the segment"),
    ("who: bob, on_list: vip", "bob was to be on the list"),
]


@pytest.mark.parametrize("expect, said", FAILS)
def test_what_does_not_hold_fails_and_says_so(tmp_path: Path, expect: str, said: str):
    failure = played(tmp_path, f"{BEGIN}, expect: {{{expect}}}}}")
    assert failure is not None
    assert said in failure.messages[0]
    assert failure.line == len(HEAD.splitlines()) + 1


def test_a_message_that_is_held_is_not_said_to_be_sent(tmp_path: Path):
    quiet = "{publish: [{kind: workspace, policy: {quiet_hours: {from: '08:00', to: '20:00', transactional: true}}}]}"
    failure = played(tmp_path, quiet, f"{BEGIN}, expect: {{sent: receipt}}}}")
    assert failure is not None
    assert "since the last look: receipt held for quiet hours, news suppressed (no_consent)" in failure.messages[0]


def test_every_expectation_was_seen_to_hold_and_to_fail():
    from parcours.testing.scenarios.expecting import CHECKS

    holds, fails = " ".join(HOLDS), " ".join(expect for expect, _ in FAILS)
    for field in CHECKS:
        assert f"{field}: " in fails
        assert f"{field}: " in holds or field in {"goal", "recorded", "called"}


def test_whatever_can_happen_is_done():
    from parcours.testing.scenarios.doing import DOES
    from parcours.testing.scenarios.format import Step
    from parcours.testing.scenarios.reading import INPUTS

    assert tuple(DOES) == INPUTS
    assert set(INPUTS) <= set(Step.__struct_fields__)


def test_a_failure_shows_the_timeline_up_to_where_it_is(tmp_path: Path):
    failure = played(tmp_path, BEGIN + "}", "{after: 1d, who: ann, track: Come, expect: {ended: other}}")
    assert failure is not None
    assert [line.what for line in failure.happened] == [
        "identify", "Go", "entered", "→", "sent", "suppressed", "→", "Come", "branched", "→", "ended", "✗ not so",
    ]  # fmt: skip
    assert "Tue 2026-03-03 09:00:00  Come" in str(failure)


def test_a_timeline_shows_what_was_looked_at_when(tmp_path: Path):
    failure = played(
        tmp_path,
        BEGIN + ", expect: {sent: receipt}}",
        "{after: 1d, who: bob, track: Seen, expect: {nothing: true}}",
        "{after: 1h, who: ann, expect: [{step: listen}, {runs: 9}]}",
    )
    assert failure is not None
    looks = [(line.when[4:20], line.what, line.why) for line in failure.happened if "line" in line.why]
    assert looks == [
        ("2026-03-02 09:00", "looked", "line 28"),
        ("2026-03-03 10:00", "looked", "line 30"),
        ("2026-03-03 10:00", "✗ not so", "line 30"),
    ]


@pytest.mark.parametrize(
    "expect, said",
    [
        ("not_sent: reciept", "there is no message 'reciept' (did you mean 'receipt'?)"),
        ("not_sent: [news, nws]", "there is no message 'nws' (did you mean 'news'?)"),
        ("journey: k, entered: false", "there is no journey 'k'"),
        ("journey: k, refused: false", "there is no journey 'k'"),
        ("sent: {message: recept}", "there is no message 'recept' (did you mean 'receipt'?)"),
        ("sent: [receipt, recept]", "there is no message 'recept'"),
        ("held: nws", "there is no message 'nws'"),
        ("suppressed: {nws: no_consent}", "there is no message 'nws'"),
        ("ended: {k: finished}", "there is no journey 'k'"),
        ("step: lisen", "there is no step 'lisen' (did you mean 'listen'?)"),
        ("path: [thank, lisen]", "there is no step 'lisen'"),
        ("called: thnk", "there is no step 'thnk' (did you mean 'thank'?)"),
        ("goal: bought", "there is no goal 'bought'"),
        ("points: {clb: 5}", "there is no programme 'clb' (did you mean 'club'?)"),
        ("tier: {clb: bronze}", "there is no programme 'clb'"),
    ],
)
def test_a_name_that_names_nothing_never_holds(tmp_path: Path, expect: str, said: str):
    failure = played(tmp_path, BEGIN + f", expect: {{{expect}}}}}")
    assert failure is not None
    assert any(said in message for message in failure.messages), failure.messages


def test_a_time_of_day_at_which_something_was_decided_is_the_latest_one(tmp_path: Path):
    later = "{after: 5d, who: ann, expect: {at: mon 9:00, sent: receipt}}"
    assert played(tmp_path, BEGIN + "}", later) is None
    ahead = played(tmp_path, BEGIN + "}", "{who: ann, expect: {at: 2026-03-03 09:00, sent: receipt}}")
    assert ahead is not None
    assert "Tue 2026-03-03 09:00:00 is asked for, and that lies ahead" in ahead.messages[0]


def test_why_somebody_is_in_no_segment_is_said(tmp_path: Path):
    failure = played(tmp_path, "{who: ann, identify: {age: 17}, expect: {in_segment: grown}}")
    assert failure is not None
    assert failure.messages == ["ann was to be in the segment 'grown': age ≥ 18 (it was 17)"]


@pytest.mark.parametrize("at", ["9:00", "09:00", "monday 9:00", "Mon 09:00", "MONDAY 09:00:00"])
def test_times_of_day_may_be_written_as_people_do(tmp_path: Path, at: str):
    assert played(tmp_path, BEGIN + "}", f"{{at: {at}, who: ann, expect: {{sent: receipt}}}}") is None


def test_what_was_looked_at_is_not_new_any_more(tmp_path: Path):
    step = BEGIN + ", expect: {sent: receipt}}"
    assert played(tmp_path, step, "{who: ann, expect: {nothing: true, not_sent: news}}") is None
    again = played(tmp_path, step, "{who: ann, expect: {sent: receipt}}")
    assert again is not None
    assert "since the last look: nothing" in again.messages[0]


@pytest.mark.parametrize(
    "step, said",
    [
        ("{who: ann, track: Go, id: '1', outcome: duplicate}", "this was accepted, not 'duplicate'"),
        ("{who: ann, track: Go, occurred_at: 2026-03-09}", "'occurred_in_future'"),
        ("{who: ann, lists: {others: true}}", "there is no list 'others'"),
        ("{who: ann, consent: {letter: opted_in}}", "unknown channel 'letter'"),
        ("{who: ann, track: ' '}", "'track' is missing"),
        ("{who: ann, react: opened}", "ann was sent 0 messages so far: nothing to react to"),
        ("{who: ann, react: opened, to: recept}", "nothing to react to (did you mean 'receipt'?)"),
        ("{who: ann, answer: {status: 200}}", "a step made 0 calls for ann so far"),
        ("{who: bob, erase: true}", "there is nothing known of bob"),
        ("{at: 2026-03-01}", "the clock stands at Mon 2026-03-02 09:00:00, and does not go back"),
        ("{change: {i: {state: draft}}}", "there is no journey 'i' to change (did you mean 'journey/j'?)"),
        ("{change: {j: {start: nowhere}}}", "there is no step 'nowhere'"),
        ("{items: {products: {lamp: {price: much}}}}", "price"),
        ("{publish: [{kind: segment, name: s, condition: {list: unknown}}]}", "unknown"),
    ],
)
def test_a_step_that_cannot_be_done_fails(tmp_path: Path, step: str, said: str):
    failure = played(tmp_path, step)
    assert failure is not None
    assert said in failure.messages[0]


@pytest.mark.parametrize("host", HOSTS)
def test_inputs_of_every_kind(tmp_path: Path, host: str):
    failure = played(
        tmp_path,
        "{who: bob, track: Seen, id: '1', ago: 2h}",
        "{who: bob, track: Seen, id: '1', outcome: duplicate}",
        "{who: bob, track: Seen, occurred_at: 2026-03-09, outcome: occurred_in_future}",
        "{who: bob, identify: {email: bob@example.com, age: 5}, consent: {email: {news: opted_in}}, lists: {vip: true}}",
        "{who: bob, expect: {attributes: {age: 5}, consent: {email: {news: opted_in}}, on_list: vip, nothing: true}}",
        "{items: {products: {lamp: {price: 5}, chair: null}}}",
        "{who: bob, track: Go, attributes: {order: b}, expect: {sent: receipt}}",
        "{who: bob, react: opened, to: receipt, nth: 1}",
        "{change: {j: {state: draft}, message/news: {purpose: transactional}}}",
        "{who: bob, track: Go, attributes: {order: c}, expect: {nothing: true}}",
        "{change: {j: {state: null}}}",
        "{who: bob, track: Go, attributes: {order: d}, expect: {sent: [receipt, news]}}",
        "{publish: [{kind: segment, name: young, condition: {contact: age, less_than: 18}}]}",
        "{who: bob, expect: {in_segment: young}}",
        "{who: bob, loyalty: {action: enrol}, expect: {tier: bronze}}",
        "{who: bob, track: Go, attributes: {order: e}, expect: {points: 5, ledger: [{kind: earned, amount: 5, rule: seen}]}}",
        "{who: bob, loyalty: {action: spend, points: 9}, expect: {declined: not_enough_points}}",
        "{who: bob, loyalty: {action: spend, points: 9, programme: other}, outcome: unknown_programme}",
        "{who: ann, merge: bob, expect: {on_list: vip, runs: 3, attributes: {name: Ann, email: ann@example.com}}}",
        "{who: bob, expect: {runs: 3}}",
        "{who: ann, erase: true, expect: {runs: 0, attributes: {name: null}}}",
        "{publish: [{kind: segment, name: s, condition: {list: unknown}}], outcome: unknown_reference}",
        host=host,
    )
    assert failure is None, failure


@pytest.mark.parametrize(
    "step, said",
    [
        ("{trak: Go}", "unknown key 'trak' (did you mean 'track'?)"),
        ("{track: Go}", "this does not say whose it is"),
        ("{who: anne, track: Go}", "there is no contact 'anne' (did you mean 'ann'?)"),
        ("{who: ann, track: Go, react: opened}", "a step lets one thing happen, and this one has track, react"),
        ("{who: ann, outcome: duplicate}", "nothing happens in this step, so outcome says nothing"),
        ("{}", "nothing happens in this step, and nothing is looked at"),
        ("{who: ann, note: later}", "nothing happens in this step, and nothing is looked at"),
        ("{at: someday 09:00}", "is no time"),
        ("{at: 09:00, after: 1d}", "both say when"),
        ("{at: 9 o'clock}", "is no time"),
        ("{at: 25:00}", "is no time of day"),
        ("{after: yesterday}", "is not a duration"),
        ("{after: 1h-2h}", "less than nothing"),
        ("{who: ann, expect: {waiting_until: soon}}", "'soon' is no time"),
        ("{who: ann, expect: {snet: news}}", "did you mean 'sent'?"),
    ],
)
def test_what_is_written_wrongly_is_refused_with_its_line(tmp_path: Path, step: str, said: str):
    with pytest.raises(InvalidDefinitionError) as caught:
        played(tmp_path, "{after: 1h}", step)
    assert said in str(caught.value)
    assert f"scenarios.yaml:{len(HEAD.splitlines()) + 2}" in str(caught.value)


def test_local_times_follow_the_zone(tmp_path: Path):
    head = HEAD.replace("scenarios:\n", "zone: Europe/Berlin\nscenarios:\n")
    file = tmp_path / "scenarios.yaml"
    steps = [
        "{at: 2026-03-28 09:00}",
        "{who: ann, track: Go, attributes: {order: a}, expect: {waiting_until: 2026-03-30 10:00}}",  # clocks go forward
        "{at: sun 09:00, who: ann, track: Come, expect: {trace: {what: ended}}}",
    ]
    file.write_text(head + "".join(f"    - {step}\n" for step in steps), encoding="utf-8")
    (scenario,) = read_scenarios([file])
    failure = run(scenario, HOSTS["memory"]).failure
    assert failure is None, failure


def test_the_schema_takes_what_the_reader_takes():
    root = Path(__file__).resolve().parents[2]
    validator = jsonschema.Draft202012Validator(scenario_schema())
    for file in scenario_files([root / "examples", root / "tests" / "scenarios"]):
        (located,), _ = read(Source(file.name, file.read_text(encoding="utf-8")))
        assert not list(validator.iter_errors(located.definition)), file
    assert not list(validator.iter_errors({"scenarios": {"a": [{"after": "1d", "expect": {"sent": ["x"]}}]}}))
    assert list(validator.iter_errors({"scenarios": {"a": [{"aftre": "1d"}]}}))

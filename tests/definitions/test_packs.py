"""Packs: what comes with parcours, and what switching one on and off does."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from parcours.definitions.interaction import InteractionDefinition
from parcours.definitions.load import Source, dump, dump_yaml, load, load_data
from parcours.definitions.packs import Pack, disable, enable, parts_of, put_away, read_pack, state_of
from parcours.definitions.settings import CHANNELS, SOURCE_TYPES
from parcours.definitions.workspace import AnyDefinition, Workspace, is_archived
from parcours.errors import InvalidDefinitionError
from parcours.sources.webhooks import BUILT_IN
from parcours.web.api.packs import built_in

PACKS = built_in()

EVENTS = {
    "segment-ecommerce": {
        "Products Searched": "",
        "Product List Viewed": "list_id category products",
        "Product List Filtered": "list_id category filters sorts products",
        "Promotion Viewed": "promotion_id creative name position",
        "Promotion Clicked": "promotion_id creative name position",
        "Product Clicked": "product_id sku category name brand variant price quantity coupon position url image_url",
        "Product Viewed": "product_id sku category name brand variant price quantity coupon currency position value "
        "url image_url",
        "Product Added": "cart_id product_id sku category name brand variant price quantity coupon position url "
        "image_url",
        "Product Removed": "cart_id product_id sku category name brand variant price quantity coupon position url "
        "image_url",
        "Cart Viewed": "cart_id products",
        "Checkout Started": "order_id affiliation value revenue shipping tax discount coupon currency products",
        "Checkout Step Viewed": "checkout_id step shipping_method payment_method",
        "Checkout Step Completed": "checkout_id step shipping_method payment_method",
        "Payment Info Entered": "checkout_id order_id step shipping_method payment_method",
        "Order Updated": "order_id affiliation total revenue shipping tax discount coupon currency products",
        "Order Completed": "checkout_id order_id affiliation subtotal total revenue shipping tax discount coupon "
        "currency products",
        "Order Refunded": "order_id total currency products",
        "Order Cancelled": "order_id affiliation total revenue shipping tax discount coupon currency products",
        "Coupon Entered": "order_id cart_id coupon_id",
        "Coupon Applied": "order_id cart_id coupon_id coupon_name discount",
        "Coupon Denied": "order_id cart_id coupon_id coupon_name reason",
        "Coupon Removed": "order_id cart_id coupon_id coupon_name discount",
        "Product Added to Wishlist": "wishlist_id wishlist_name product_id sku category name brand variant price "
        "quantity coupon position url image_url",
        "Product Removed from Wishlist": "wishlist_id wishlist_name product_id sku category name brand variant price "
        "quantity coupon position url image_url",
        "Wishlist Product Added to Cart": "wishlist_id wishlist_name cart_id product_id sku category name brand "
        "variant price quantity coupon position url image_url",
        "Product Shared": "share_via share_message recipient product_id sku category name brand variant price url "
        "image_url",
        "Cart Shared": "share_via share_message recipient cart_id products",
        "Product Reviewed": "product_id review_id review_body rating",
    },
    "mobile": {
        "Application Installed": "version build",
        "Application Opened": "from_background url referring_application version build",
        "Application Updated": "previous_version previous_build version build",
        "Application Backgrounded": "",
        "Application Uninstalled": "",
        "Application Crashed": "",
        "Install Attributed": "provider campaign",
        "Push Notification Received": "campaign",
        "Push Notification Tapped": "action campaign",
        "Push Notification Bounced": "action campaign",
        "Push Enabled": "",
        "Push Disabled": "",
        "Deep Link Clicked": "provider url",
        "Deep Link Opened": "provider url",
    },
    "social-commerce": {
        "Review Created": "review_id kind order_id rating comment product_id category",
        "Rating Given": "product_id category rating scale network",
        "Comment Posted": "comment_id post_id text network url",
        "Blog Post Published": "post_id title url tags product_id",
        "Photo Uploaded": "photo_id url products tags network",
        "Question Asked": "question_id text product_id category",
        "Post Liked": "post_id url network campaign",
        "Post Shared": "post_id url network campaign",
        "Account Followed": "account network",
    },
    "loyalty-visits": {
        "Store Check-In": "store_id store_name city way",
        "Gym Check-In": "gym_id gym_name city activity minutes",
        "Pass Added to Wallet": "pass_id pass_type platform",
        "Event Attended": "event_id event_name category city starts guests",
        "Playlist Shared": "playlist_id playlist_name url network",
    },
    "support": {
        "Ticket Created": "ticket_id subject priority status type tags channel",
        "Ticket Solved": "ticket_id subject priority status type tags channel previous_status",
        "Complaint Made": "complaint_id ticket_id order_id category text",
    },
}


def published(definitions: Iterable[AnyDefinition], known: Workspace | None = None) -> Workspace:
    workspace, errors, warnings = load_data([dump(one) for one in definitions], known)
    assert errors == warnings == []
    return workspace


# --- those that come with parcours ------------------------------------------------------------------------------------


def test_the_packs_are_these():
    assert set(PACKS) == set(EVENTS)


@pytest.mark.parametrize("name", EVENTS)
def test_a_pack_is_whole_by_itself(name: str):
    pack = PACKS[name]
    assert pack.title
    assert pack.description.endswith(".")
    assert pack.version
    published(pack.definitions)
    workspace, errors, warnings = load([Source("pack.yaml", dump_yaml(pack.definitions))])
    assert errors == warnings == []
    assert tuple(workspace.all()) == pack.definitions


def test_all_packs_fit_together():
    workspace = Workspace()
    for pack in PACKS.values():
        step = enable(pack, workspace)
        assert step.left == ()
        assert len(step.publish) == len(pack.definitions)
        workspace = published(step.publish, workspace)
    assert len(workspace.all()) == sum(len(pack.definitions) for pack in PACKS.values())
    assert {state_of(parts_of(pack, workspace)) for pack in PACKS.values()} == {"on"}


@pytest.mark.parametrize("name", EVENTS)
def test_every_documented_event_is_there_with_its_attributes(name: str):
    found = {one.name: " ".join(one.attributes) for one in interactions(PACKS[name])}
    assert found == EVENTS[name]


@pytest.mark.parametrize("name", EVENTS)
def test_events_are_learning_described_and_nothing_of_them_is_required(name: str):
    for one in interactions(PACKS[name]):
        assert not one.strict
        assert not one.archived
        assert one.title
        assert one.description.endswith(".")
        assert one.channel in CHANNELS
        assert one.source_type in SOURCE_TYPES
        for attribute in one.attributes.values():
            assert attribute.title
            assert not attribute.required
        if "category" in one.attributes:
            assert one.attributes["category"].type == "string"
            assert " > " in one.attributes["category"].title


@pytest.mark.parametrize("webhook, name", [("zendesk", "support"), ("reviews", "social-commerce")])
def test_what_webhooks_make_has_a_place_in_a_pack(webhook: str, name: str):
    text = (BUILT_IN / f"{webhook}.yaml").read_text(encoding="utf-8")
    made = {line.partition("interaction: ")[2] for line in text.splitlines() if "interaction: " in line}
    assert made
    assert made <= set(EVENTS[name])


def interactions(pack: Pack) -> list[InteractionDefinition]:
    found = [one for one in pack.definitions if isinstance(one, InteractionDefinition)]
    assert len(found) == len(pack.definitions)
    return found


# --- reading ----------------------------------------------------------------------------------------------------------

HEAD = "kind: pack\nname: mine\ntitle: Mine\ndescription: x\nversion: '1.0'\n"


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "expected an object"),
        ("kind: interaction\nname: x\n", "kind"),
        (HEAD.replace("version: '1.0'\n", ""), "missing key 'version'"),
        (HEAD.replace("mine", "Not A Name"), "not written as it must be"),
        (HEAD + "---\nkind: interaction\n", "missing key 'name'"),
        (HEAD + "---\nkind: interaction\nname: x\nchannel: nowhere\n", "no channel"),
        (HEAD + "---\nkind: [\n", "not YAML"),
    ],
)
def test_a_text_that_is_no_pack_is_refused(text: str, words: str):
    with pytest.raises(InvalidDefinitionError, match=words) as caught:
        read_pack(Source("mine.yaml", text))
    assert {problem.file for problem in caught.value.problems} == {"mine.yaml"}


# --- on and off -------------------------------------------------------------------------------------------------------

MINE = read_pack(
    Source(
        "mine.yaml",
        HEAD
        + """---
- {kind: interaction, name: Bought}
- {kind: interaction, name: Returned}
- {kind: segment, name: buyers, condition: {did: bought}}
- {kind: segment, name: happy-buyers, condition: {all: [{segment: buyers}, {not: {did: returned}}]}}
""",
    )
)


def names(definitions: Iterable[AnyDefinition]) -> list[str]:
    return [one.name for one in definitions]


def left(step) -> dict[str, str]:
    return {one.key[1]: one.why for one in step.left}


def test_off_on_and_off_again():
    empty = Workspace()
    assert state_of(parts_of(MINE, empty)) == "off"
    assert disable(MINE, empty).publish == ()
    on = published(enable(MINE, empty).publish)
    assert state_of(parts_of(MINE, on)) == "on"
    assert enable(MINE, on).publish == ()
    step = disable(MINE, on)
    assert names(step.publish) == ["Bought", "Returned", "buyers", "happy-buyers"]
    assert step.left == ()
    off = published(step.publish, on)
    assert all(map(is_archived, off.all()))
    assert state_of(parts_of(MINE, off)) == "off"
    assert set(parts_of(MINE, off).values()) == {"archived"}
    assert published(enable(MINE, off).publish, off) == on


def test_what_somebody_changed_is_theirs():
    own = {"kind": "interaction", "name": "BOUGHT", "title": "Mine"}
    before, _, _ = load_data([own])
    step = enable(MINE, before)
    assert names(step.publish) == ["Returned", "buyers", "happy-buyers"]
    assert left(step) == {"bought": "changed"}
    on = published(step.publish, before)
    assert on.interactions["bought"].title == "Mine"
    assert state_of(parts_of(MINE, on)) == "on"
    step = disable(MINE, on)
    assert names(step.publish) == ["Returned", "buyers", "happy-buyers"]
    off = published(step.publish, on)
    assert not off.interactions["bought"].archived
    assert state_of(parts_of(MINE, off)) == "off"
    away = published([put_away(off.interactions["bought"])], off)
    assert parts_of(MINE, away)["interaction", "bought"] == "changed"
    assert left(enable(MINE, away)) == {"bought": "changed"}


def test_what_is_used_stays_with_all_that_it_uses():
    on = published(MINE.definitions)
    used = published(load_data([{"kind": "segment", "name": "mine", "condition": {"segment": "buyers"}}], on)[0].all())
    step = disable(MINE, used)
    assert names(step.publish) == ["Returned", "happy-buyers"]
    assert left(step) == {"bought": "used", "buyers": "used"}
    assert {one.key[1]: one.users for one in step.left} == {
        "buyers": (("segment", "mine"),),
        "bought": (("segment", "buyers"),),
    }
    partly = published(step.publish, used)
    assert state_of(parts_of(MINE, partly)) == "partly"
    gone = published([put_away(partly.segments["mine"])], partly)
    assert state_of(parts_of(MINE, published(disable(MINE, gone).publish, gone))) == "off"


def test_a_draft_does_not_hold_a_pack():
    draft = {
        "kind": "journey",
        "name": "draft",
        "state": "draft",
        "entry": {"type": "interaction", "interaction": "bought"},
        "start": "end",
        "steps": {"end": {"type": "end"}},
    }
    on = published(MINE.definitions)
    with_draft, _, _ = load_data([draft], on)
    assert len(disable(MINE, with_draft).publish) == len(MINE.definitions)
    with_live, _, _ = load_data([draft | {"state": "live"}], on)
    assert left(disable(MINE, with_live)) == {"bought": "used"}


def test_a_workspace_that_lacks_some_is_partly_on():
    some = published(MINE.definitions[:2])
    assert state_of(parts_of(MINE, some)) == "partly"
    assert names(enable(MINE, some).publish) == ["buyers", "happy-buyers"]


def test_the_settings_are_not_put_away():
    settings = Workspace().settings
    assert put_away(settings) is settings

"""A small shop: valid, and using every kind of definition and step."""

from __future__ import annotations

SHOP = """\
kind: workspace
name: workspace
channels: {kiosk: Kiosk}
source_types: {till: ""}
contacts:
  attributes:
    city: {type: string, title: City}
  strict: true
  namespaces: {card: Card number}
---
kind: interaction
name: Order Completed
channel: kiosk
source_type: till
retention: 730d
attributes:
  total: {type: number, required: true}
  city: {type: string}
counts_when: {interaction: total, more_than: 0}
---
- kind: interaction
  name: Checkout Started
- kind: interaction
  name: Leaflet Handed Out
  source_type: staff
  archived: true
- kind: list
  name: friends
  title: Friends of the house
- kind: catalogue
  name: products
  attributes:
    price: {type: number, required: true}
  strict: true
- kind: segment
  name: regulars
  description: Three orders in a quarter.
  condition:
    did: order completed
    times: {at_least: 3}
    within: 90d
- kind: segment
  name: atlanta-regulars
  condition:
    all:
      - {segment: regulars}
      - {contact: city, in: [Atlanta, "Sandy Springs"]}
      - not: {contact: birthday, before: 1980-12-31}
      - {consent: email, topic: news}
---
kind: message
name: reminder
channel: email
topic: news
content:
  subject: Still there, {{ first_name }}?
  text: |
    Your basket waits.
---
kind: message
name: nudge
channel: push
purpose: transactional
content: {title: "Hello", body: "Your basket waits."}
---
kind: journey
name: basket
entry:
  type: interaction
  interaction: Checkout Started
  where: {interaction: total, more_than: 10}
  key: basket_id
re_entry: always
max_duration: 30d
start: listen
steps:
  listen:
    type: wait_for
    events:
      - {type: interaction, interaction: Order Completed, where: {segment: regulars}, key: basket_id, next: done}
    timeout: {after: 24h}
    next: vip
  vip:
    type: decision
    if: {interaction: total, at_least: 100}
    then: remind
    else: done
  remind: {type: send, messages: [reminder], next: watch, suppressed: push}
  watch:
    type: wait_for
    events:
      - {type: reaction, reaction: clicked, message: reminder, next: done}
      - {type: reaction, reaction: opened}
    timeout: {after: 7d, next: push}
    next: pause
  pause: {type: wait, for: 1d, next: vip}
  push: {type: send, messages: [nudge]}
  done: {type: end}
"""

"""Ways out: what makes a message's text, and what hands it to a provider.

`render` turns a message definition and a contact's data into the fields of a `Delivery`. Every other module is one
provider port, a `ports.Channel`: `email` speaks SMTP, `push` posts JSON over HTTP. A channel accepts a delivery by
returning; it refuses with `TemporaryFailureError` (the outbox tries again) or `PermanentFailureError` (it does not).
"""

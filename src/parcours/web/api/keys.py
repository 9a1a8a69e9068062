"""Keys over the API: listed, made, changed and revoked. A key itself is shown once, when it is made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from litestar import Controller, Request, delete, get, patch, post
from litestar.exceptions import HTTPException, NotAuthorizedException
from litestar.params import FromPath, JSONBody

from parcours.ports import Changes
from parcours.runtimes.clocks import wall_time
from parcours.web.api.common import caller_of, guard, host_of
from parcours.web.auth import Key, KeyChange, KeyRefusedError, Keys, KeyView, NewKey, marks_of, view_of


class MadeKey(KeyView, kw_only=True):
    """A new key; `key` is never shown again."""

    key: str


class KeyList(msgspec.Struct):
    """All keys, also those revoked, in the order in which they were made."""

    keys: list[KeyView]


class KeysApi(Controller):
    """Keys."""

    path = "/v1/keys"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @get("/", summary="All keys", opt={"scope": "keys:read"})
    async def list_keys(self, request: Request[Any, Any, Any]) -> KeyList:
        """Return what is kept of every key."""
        return KeyList([view_of(key) for key in _keys_of(request).all()])

    @post("/", summary="Make a key", opt={"scope": "keys:write"})
    async def make(self, request: Request[Any, Any, Any], data: JSONBody[NewKey]) -> MadeKey:
        """Make a key that may no more than the one it is asked with, and show it once."""
        text = ""

        def made(keys: Keys) -> Key:
            nonlocal text
            key, text = keys.made(data, caller_of(request), wall_time())
            return key

        key = await _change(request, made)
        return MadeKey(**msgspec.structs.asdict(view_of(key)), key=text)

    @patch("/{key:str}", summary="Change a key", opt={"scope": "keys:write"})
    async def change(self, request: Request[Any, Any, Any], key: FromPath[str], data: JSONBody[KeyChange]) -> KeyView:
        """Change a key: what is left out stays, and null takes a limit away."""
        return view_of(await _change(request, lambda keys: keys.changed(key, data, caller_of(request))))

    @delete("/{key:str}", summary="Revoke a key", status_code=200, opt={"scope": "keys:write"})
    async def revoke(self, request: Request[Any, Any, Any], key: FromPath[str]) -> KeyView:
        """Let a key be good for nothing, from now on. It stays in the list."""
        return view_of(await _change(request, lambda keys: keys.revoked(key, caller_of(request), wall_time())))


def _keys_of(request: Request[Any, Any, Any]) -> Keys:
    keys: Keys = request.app.state["keys"]
    return keys


async def _change(request: Request[Any, Any, Any], decide: Callable[[Keys], Key]) -> Key:
    """Keep what is decided about a key, and let it be so; one change after the other."""
    # A task of its own: what was begun in the store is finished, whatever becomes of the request.
    return await asyncio.shield(asyncio.create_task(_keep(request, decide)))


async def _keep(request: Request[Any, Any, Any], decide: Callable[[Keys], Key]) -> Key:
    host, keys = host_of(request), _keys_of(request)
    async with host.turn:
        if caller_of(request).revoked:  # while it waited for its turn
            raise NotAuthorizedException(detail="the key was revoked", headers={"WWW-Authenticate": "Bearer"})
        try:
            key = decide(keys)
        except KeyRefusedError as error:
            raise HTTPException(status_code=error.status, detail=str(error)) from None
        host.store.write(Changes(marks={**marks_of(key)}))
        # Writing to the disk needs no interpreter: meanwhile other requests are read.
        await asyncio.to_thread(host.store.finish)
        keys.put(key)
    return key

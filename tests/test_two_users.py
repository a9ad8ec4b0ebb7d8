"""Several users in one process: each model call goes out with its user's own key, over a real wire."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from hermes import App, Principal, StoredCredential
from hermes_testkit.model_server import ModelServer
from hermes_testkit.scripted import collect


def server_of(server: ModelServer) -> dict[str, Any]:
    provider = {"transport": "chat_completions", "base_url": server.url, "models": ["m"], "key_env": ["ACME_KEY"]}
    return {"model": {"provider": "acme"}, "providers": {"acme": provider}}


def test_two_users_of_one_process_each_reach_the_server_with_their_own_key(tmp_path: Path) -> None:
    """From their session, from their file, from the vault; who has none uses everyone's."""
    (tmp_path / "users" / "bob").mkdir(parents=True)
    (tmp_path / "users" / "bob" / ".env").write_text("ACME_KEY=key-of-bob\n")

    async def work(app: App) -> None:
        options = [
            {"principal": Principal(id="ann"), "secrets": {"ACME_KEY": "key-of-ann"}},
            {"principal": Principal(id="bob")},
            {"principal": Principal(id="cy")},
            {"principal": Principal(id="dee")},
        ]
        conversations = [await app.conversation(**its) for its in options]
        await asyncio.gather(*(collect(one.send(f"I am {one.session.scope.user}")) for one in conversations))

    with ModelServer() as server:
        settings = {"plugins": {"enabled": ["openai"]}, **server_of(server)}
        app = App(tmp_path, environ={"ACME_KEY": "key-of-all"}, overrides=settings, workspace=str(tmp_path))
        app.vault.put(StoredCredential(id="a", provider="acme", secret="key-of-cy", user="cy"))

        async def whole() -> None:
            async with app:
                await work(app)

        asyncio.run(whole())
        said = {
            request.json["messages"][-1]["content"]: request.headers["authorization"] for request in server.requests
        }
    assert {text.split("I am ")[1]: key for text, key in said.items()} == {
        "ann": "Bearer key-of-ann",
        "bob": "Bearer key-of-bob",
        "cy": "Bearer key-of-cy",
        "dee": "Bearer key-of-all",
    }

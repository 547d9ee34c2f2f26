"""A server of the official SDK: on its standard input and output, or with a key as its argument on a port that it prints."""

import os
import socket
import sys

from mcp.server.mcpserver import MCPServer

server = MCPServer("real")


@server.tool()
def say(word: str, times: int = 1) -> str:
    """Says a word so many times."""
    return " ".join([word] * times)


@server.tool()
def settings() -> dict[str, str]:
    """What a careless server tells."""
    return {"user": "ledger", "password": "q7Zr2Vx9" + "Lm4Tn8Kp3Ws6"}


@server.tool()
def fail() -> str:
    """Goes wrong."""
    raise RuntimeError("there is no such rule")


@server.tool()
def die() -> str:
    """Ends the server in the middle of the call."""
    os._exit(3)


def guarded(app, key):
    """Lets nobody in without the key."""

    async def checked(scope, receive, send):
        if scope["type"] == "http" and (b"authorization", key.encode()) not in scope["headers"]:
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        else:
            await app(scope, receive, send)

    return checked


if len(sys.argv) == 1:
    server.run("stdio")
else:
    import anyio
    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    app = guarded(server.streamable_http_app(), sys.argv[1])
    anyio.run(uvicorn.Server(uvicorn.Config(app, log_level="warning")).serve, [listener])

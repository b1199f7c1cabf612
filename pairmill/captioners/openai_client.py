"""A client of a server with OpenAI's API: its key, how turns are written, which models it has."""

import asyncio
import base64
import io
import os
from typing import Any

from pairmill.captioners.bounded_http import LeadsElsewhere, bounded_client, most_bytes
from pairmill.captioners.engine import Message
from pairmill.errors import MissingPackage, StageBroken, first_line
from pairmill.redaction import REDACTOR

JPEG = {"format": "JPEG", "quality": 95, "subsampling": 0}
"""How images go to the server."""
DEFAULT_KEY = "OPENAI_API_KEY"
LOOK_S = 30.0
"""Seconds within which a server has to say which models it has."""


def turn(message: Message) -> dict[str, Any]:
    """A turn as the API takes it; images as data URLs."""
    if not message.images:
        return {"role": message.role, "content": message.text}
    parts: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": data_url(image)}} for image in message.images
    ]
    return {"role": message.role, "content": message.parts(parts)}


def data_url(image: Any) -> str:
    """An RGB image as a data URL."""
    out = io.BytesIO()
    image.save(out, **JPEG)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


def client_of(stage: str, config: Any) -> Any:
    """A client with the key of the environment, which no message tells; its `http` speaks HTTP."""
    try:
        import openai
    except ImportError:
        raise MissingPackage("openai", "engine: openai", "openai") from None
    own = config.served_by() is not None
    ours = config.base_url is None and not own
    variable = config.api_key_env or (DEFAULT_KEY if ours else None)
    key = key_of(stage, variable) if variable else "none"
    try:
        # a server of the worker's own is on this machine, whatever proxy the environment names
        http = bounded_client()(most_bytes(config.max_new_tokens), trust_env=not own)
        client: Any = openai.AsyncOpenAI(
            api_key=key,
            base_url=config.base_url or "https://api.openai.com/v1",  # never of another variable
            max_retries=0,
            timeout=config.request_timeout_s,
            http_client=http,
        )
        client.http = http
    except (ImportError, ValueError, OSError) as error:
        raise StageBroken(
            f"stage {stage!r}: no connection can be made ready: {first_line(error)}; look at the "
            "environment's variables of proxies (ALL_PROXY, HTTPS_PROXY, …) and of certificates "
            "(SSL_CERT_FILE, SSL_CERT_DIR)"
        ) from None
    if not ours:  # nor does another's server learn whose account there is at OpenAI
        client.organization = client.project = None
    return client


def key_of(stage: str, variable: str) -> str:
    """The key in an environment variable, without blanks around it; raises StageBroken where there
    is none, or what no header can hold.
    """
    key = os.environ.get(variable, "").strip()
    if not key:
        raise StageBroken(
            f"stage {stage!r}: the environment variable {variable} (api_key_env) is not set where "
            "the stage runs; on a cluster, `pairmill submit --env` takes it along"
        )
    REDACTOR.add(key, variable)
    if not key.isascii() or not key.isprintable():
        raise StageBroken(
            f"stage {stage!r}: the environment variable {variable} (api_key_env) holds more than "
            "one line, or letters that no key has; set it to the key alone"
        )
    return key


def check_server(stage: str, config: Any) -> list[str]:
    """Asks the server which models it has; raises StageBroken where it cannot be reached, or has
    not this one.
    """
    return asyncio.run(checked_server(stage, config))


async def checked_server(stage: str, config: Any) -> list[str]:
    """See `check_server`."""
    import openai

    client = client_of(stage, config)
    where = f"the server {client.base_url}"
    try:
        async with client:
            found = await asyncio.wait_for(client.models.list(), LOOK_S)
            names = [model.id for model in found.data]
    except openai.AuthenticationError as error:
        raise StageBroken(
            f"stage {stage!r}: {where} does not take the key: {first_line(error)}"
        ) from None
    except (openai.APIConnectionError, asyncio.TimeoutError, LeadsElsewhere) as error:
        reason = first_line(error.__cause__ or error)
        raise StageBroken(f"stage {stage!r}: {where} cannot be reached: {reason}") from None
    except Exception:  # servers need not list their models
        return [f"{where} does not list its models; {config.model} was not looked for"]
    if names and config.model not in names:
        raise StageBroken(
            f"stage {stage!r}: {where} has no model {config.model!r} (has: {', '.join(names[:10])})"
        )
    return [f"{config.model} at {where}"]

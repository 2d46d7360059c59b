"""The service as an ASGI application: FastAPI, with predictions answered before its routes.

What FastAPI does for a request, models of its body and dependencies and middleware, takes longer than a policy does.
So `POST /predict` is answered by plain ASGI, and stands in the OpenAPI document by what the policy file says of itself.
"""

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Annotated, Any

from fastapi import FastAPI, Header, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException

from ..version import __version__
from . import counts
from .answering import Answering
from .asked import LONGEST_ID
from .body import body_of
from .refused import Refused
from .schema import predict_path

log = logging.getLogger("rlbench.service")
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON = (b"content-type", b"application/json")
REFUSED = {"type": "object", "properties": {"detail": {"type": "string"}}, "required": ["detail"]}
LIMITS = (
    "max_batch", "max_queue", "max_body", "max_observations", "body_timeout", "max_sessions", "session_ttl",
)  # fmt: skip
SHOWN = "Authorization: Bearer TOKEN, with the token of this service"
TAKEN_UP = 10.0  # seconds that a reload waits for all workers


class ServiceApp:
    """What uvicorn calls.

    Args:
        answering: of this worker.
    """

    def __init__(self, answering: Answering) -> None:
        self._answering, self._rest = answering, _routes(answering)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._rest(scope, receive, send)
            return
        path, count = scope["path"], self._answering.counts.request
        if path == "/predict":
            await self._predict(scope, receive, send)
            return

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                count(path, message["status"])  # before it is sent: who has an answer finds it counted
            await send(message)

        await self._rest(scope, receive, counting)

    async def _predict(self, scope: Message, receive: Receive, send: Send) -> None:
        began, status, headers = time.perf_counter(), 200, [JSON]
        try:
            if scope["method"] != "POST":
                raise Refused(405, "predictions are asked for by POST", [(b"allow", b"POST")])
            body = await body_of(scope["headers"], receive, self._answering.settings.max_body)
            if body is None:  # the client has gone
                return
            answer = await self._answering.predict(body)
        except Refused as e:
            status, answer = e.status, e.body()
            headers += e.headers
        except asyncio.CancelledError:  # the service ends, and has waited long enough
            status, answer = 503, Refused(503, "the service ended before this was answered").body()
        except Exception:
            log.exception("a prediction failed")
            status, answer = 500, Refused(500, "the policy could not be computed").body()
        self._answering.counts.request("/predict", status)
        self._answering.counts.seconds(time.perf_counter() - began)
        headers.append((b"content-length", b"%d" % len(answer)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer if scope["method"] != "HEAD" else b""})


def _routes(answering: Answering) -> FastAPI:
    app = FastAPI(title="rlbench", version=__version__, redirect_slashes=False)
    settings, state = answering.settings, answering.state

    @app.get("/spec", summary="What is served: environment, spaces, inputs and outputs, limits")
    async def spec() -> dict[str, Any]:
        answering.look()
        return {
            **answering.file.metadata.model_dump(mode="json"),
            "name": settings.name,
            "digest": answering.file.digest,
            "generation": answering.generation,
            "recurrent": answering.file.metadata.recurrent,
            "sessions": bool(answering.form.memory) and answering.form.sessions,
            "workers": settings.workers,
            "limits": {name: getattr(settings, name) for name in LIMITS},
        }

    @app.get("/healthz", summary="Whether this worker answers, and how many do")
    async def healthz() -> dict[str, Any]:
        answering.look()
        return {"status": "ok", "digest": answering.file.digest, "workers": state.answering}

    @app.get("/metrics", summary="Counters for Prometheus, of all workers", response_class=PlainTextResponse)
    async def metrics() -> PlainTextResponse:
        said = answering.file.metadata
        about = {"digest": answering.file.digest, "env": said.env, "agent": said.agent}
        rows = [state.row(i) for i in range(settings.workers)]
        text = counts.text(rows, about, state.answering, answering.generation)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.post("/reload", summary="Take up the file that lies on disk now", responses=_told(401, 403, 404, 409, 503))
    async def reload(authorization: Annotated[str | None, Header()] = None) -> dict[str, Any]:
        _allow(settings.token, authorization)
        generation = await asyncio.to_thread(answering.swapped)
        until = time.monotonic() + TAKEN_UP
        while (done := state.serving(generation)) < state.answering:
            answering.look()
            if time.monotonic() > until:
                raise Refused(
                    503, f"{done} of {state.answering} workers have taken it up so far", [(b"retry-after", b"1")]
                )
            await asyncio.sleep(0.02)
        state.drop_before(generation)
        return {"digest": answering.file.digest, "generation": generation, "workers": done}

    @app.post("/sessions/{session}/reset", summary="Another episode of a session begins", responses=_told(404, 422))
    async def reset(session: Annotated[str, Path(min_length=1, max_length=LONGEST_ID)]) -> dict[str, Any]:
        answering.begin_session(session)
        return {"session": session}

    def document() -> dict[str, Any]:
        answering.look()
        made = get_openapi(title=app.title, version=app.version, routes=app.routes, description=_about(answering))
        if not (answering.form.memory and answering.form.sessions):
            del made["paths"]["/sessions/{session}/reset"]
        made["paths"]["/predict"] = predict_path(answering.form, REFUSED)
        return made

    app.openapi = document  # type: ignore[method-assign]
    _handlers(app)
    return app


def _handlers(app: FastAPI) -> None:
    """Every error is one line under "detail"."""

    @app.exception_handler(Refused)
    async def refused(request: Request, e: Refused) -> Response:
        headers = {name.decode(): value.decode() for name, value in e.headers}
        return Response(e.body(), e.status, headers, media_type="application/json")

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, e: HTTPException) -> Response:
        detail = str(e.detail)
        if e.status_code == 404:
            detail = "there is POST /predict, GET /spec, /healthz, /metrics and /docs, POST /reload, and nothing here"
        return Response(Refused(e.status_code, detail).body(), e.status_code, e.headers, "application/json")

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, e: RequestValidationError) -> Response:
        first = e.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return Response(Refused(422, f"{place}: {first['msg']}").body(), 422, media_type="application/json")


def _told(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Responses of a route for the document."""
    return {c: {"description": "why not", "content": {"application/json": {"schema": REFUSED}}} for c in codes}


def _about(answering: Answering) -> str:
    said = answering.file.metadata
    return f"{said.agent} on {said.env}, seed {', '.join(map(str, said.seeds))}, after {said.env_steps:,} env steps."


def _allow(token: bytes | None, authorization: str | None) -> None:
    """Raises Refused unless the header shows the token. How long it takes tells nothing of the token."""
    if token is None:
        raise Refused(404, "nobody can reload: start the service with RLBENCH_RELOAD_TOKEN or --reload-token-file")
    scheme, _, given = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not given.strip():  # RFC 9110, 11.1: a scheme is written in any case
        raise Refused(401, f"a reload needs the header {SHOWN}", [(b"www-authenticate", b"Bearer")])
    if not hmac.compare_digest(given.strip().encode("utf-8", "replace"), token):
        raise Refused(403, f"the token is not the one of this service; a reload needs the header {SHOWN}")

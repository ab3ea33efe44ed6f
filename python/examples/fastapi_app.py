"""A FastAPI application whose streamed answers move the frontend's metrics.

    uvicorn --factory fastapi_app:create    # and http://localhost:8000/metrics

The request's object goes around the generator of the answer, not around the function that makes the response: the tokens come
after that has returned. A client that leaves ends the generator, which cancels the request.
"""

import asyncio
import json
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request, Response
from fastapi.exception_handlers import request_validation_exception_handler
from fastapi.exceptions import HTTPException, RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel

import dynamo_metrics
from dynamo_metrics import DistributedRuntime, Frontend

MODEL = "qwen"


class Completion(BaseModel):
    model: str
    prompt: str
    max_tokens: int = 16
    stream: bool = False


async def engine(prompt: str, max_tokens: int) -> AsyncIterator[str]:
    """Stands for an engine; fails for a prompt that is empty."""
    for _ in range(max_tokens):
        await asyncio.sleep(0)
        if not prompt:
            raise RuntimeError("the prompt is empty")
        yield "word "


async def generate(request: dynamo_metrics.Request, body: Completion) -> AsyncIterator[str]:
    """Yields the tokens of an answer, and counts each as it is sent."""
    with request:
        request.input_tokens(len(body.prompt.split()))
        async for word in engine(body.prompt, body.max_tokens):
            request.tokens(1)
            yield word


async def events(words: AsyncIterator[str]) -> AsyncIterator[str]:
    async for word in words:
        yield f"data: {json.dumps({'choices': [{'text': word}]})}\n\n"
    yield "data: [DONE]\n\n"


def create() -> FastAPI:
    runtime = DistributedRuntime()
    frontend = Frontend(runtime)
    frontend.add_model(MODEL, context_length=4_096)
    app = FastAPI()

    @app.post("/v1/completions")
    async def completions(body: Completion) -> Response:
        request = frontend.request(model=body.model, endpoint="completions", stream=body.stream)
        if body.model != MODEL:
            request.reject("not_found")
            raise HTTPException(404, f"there is no model {body.model!r}")
        words = generate(request, body)
        if body.stream:
            return StreamingResponse(events(words), media_type="text/event-stream")
        return JSONResponse({"choices": [{"text": "".join([word async for word in words])}]})

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        frontend.reject("completions", "validation")
        return await request_validation_exception_handler(request, error)

    @app.get("/metrics")
    def metrics() -> Response:  # not async: it runs on a thread, and never delays a token
        return Response(runtime.exposition(), media_type="text/plain; version=0.0.4")

    return app

"""The usual way in Python: FastAPI and httpx, an API key, an exact limit by one script call over redis-py."""

import os
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import redis.asyncio as redis
from fastapi import FastAPI, HTTPException, Request, Response
from pydantic import BaseModel

KEYS = set(Path(os.environ["KEYS"]).read_text().split())
client = httpx.AsyncClient(base_url=os.environ["UPSTREAM"], limits=httpx.Limits(max_connections=256))
store = redis.Redis(unix_socket_path=os.environ["STORE"])
limit = store.register_script(Path(os.environ["SCRIPT"]).read_text())


@asynccontextmanager
async def lifespan(_app: FastAPI):
    yield
    await client.aclose()


app = FastAPI(lifespan=lifespan)


class Price(BaseModel):
    id: int
    name: str
    amount: str


async def admit(request: Request) -> None:
    key = request.headers.get("x-api-key")
    if key not in KEYS:
        raise HTTPException(401)
    if not (await limit(keys=[f"limit:{key}"], args=[60_000_000, 100_000_000]))[0]:
        raise HTTPException(429)


@app.get("/bench/v1/prices/{id}")
async def find_price(id: int, request: Request) -> Price:
    if request.headers.get("x-api-key") not in KEYS:
        raise HTTPException(401)
    return Price(id=id, name=f"Product {id}", amount="19.90")


@app.api_route("/{path:path}", methods=["GET", "POST"])
async def relay(path: str, request: Request) -> Response:
    await admit(request)
    skipped = {"host", "x-api-key", "connection", "content-length"}
    fields = {name: value for name, value in request.headers.items() if name not in skipped}
    url = httpx.URL(path=request.url.path, query=request.url.query.encode())
    answer = await client.request(request.method, url, headers=fields, content=await request.body())
    kept = {name: value for name, value in answer.headers.items() if name in {"content-type", "etag", "cache-control"}}
    return Response(answer.content, answer.status_code, kept)

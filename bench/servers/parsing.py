"""What `shapes.py` compares with: an aiohttp handler that only parses the body, and answers or streams the same to all."""
import argparse
import json

from aiohttp import web

from common import DELTAS, JSON_BODY, PREFIX, SUFFIX


async def messages(request):
    body = json.loads(await request.read())
    if not body.get("stream"):
        return web.Response(body=JSON_BODY, content_type="application/json")
    resp = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await resp.prepare(request)
    for part in (PREFIX, *DELTAS, SUFFIX):
        await resp.write(part)
    await resp.write_eof()
    return resp


async def count(request):
    json.loads(await request.read())
    return web.Response(body=b'{"input_tokens":1}', content_type="application/json")


ap = argparse.ArgumentParser()
ap.add_argument("--port", type=int, default=8080)
app = web.Application()
app.router.add_post("/v1/messages", messages)
app.router.add_post("/v1/messages/count_tokens", count)
web.run_app(app, host="127.0.0.1", port=ap.parse_args().port, access_log=None, print=None)

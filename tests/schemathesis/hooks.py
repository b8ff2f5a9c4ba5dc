"""What schemathesis has to know beside the OpenAPI description: how to write bodies that are no JSON,
what strings of the formats `ndjson`, `glob` and `regex-rust` look like, and how to meet what is there."""

import json
import random
import re

import schemathesis
from hypothesis import strategies as st
from schemathesis import openapi

DICE = random.Random(7)
PATHS = ["data/a", "data/b c", "t", "p/q?#%", "é"]
KEYS = ["k", "n", "2026-11-21", "\x00\xff", "a/b"]

PART = st.sampled_from(["a", "b-", "é", "[", "?", "\\", "/", "*", "**"])
GLOBS = st.lists(PART, min_size=1, max_size=6).map("".join).filter(lambda text: "***" not in text)
REGEXES = st.lists(
    st.sampled_from(["a", "[0-9]+", "(b|c)", ".*", r"(?-u:\xff)", r"\w?", "é", "x{2,3}"]),
    min_size=1,
    max_size=5,
).map("".join)
OPERATION = st.one_of(
    st.builds(lambda key, value: {"put": {"key": key, "value": value}}, st.sampled_from(KEYS), st.text()),
    st.builds(lambda key: {"delete": {"key": key}}, st.sampled_from(KEYS)),
)
LINES = st.lists(OPERATION.map(json.dumps), min_size=1, max_size=5).map("\n".join)
openapi.format("ndjson", LINES)
openapi.format("glob", GLOBS)
openapi.format("regex-rust", REGEXES)


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf8", "surrogatepass")


@schemathesis.deserializer("application/octet-stream")
def bytes_of(context, response):
    return ""


@schemathesis.deserializer("application/protobuf")
def message_of(context, response):
    return ""


def short(parameters, name, most):
    """OpenAPI counts the characters of a string, and the door its bytes."""
    text = parameters.get(name)
    if not isinstance(text, str) or len(text) > most:
        return
    if len(text.encode("utf8", "surrogatepass")) > most:
        parameters[name] = text[: most // 4]


@schemathesis.hook
def map_path_parameters(context, parameters):
    """Most requests are about few databases and keys, so that they meet what others left."""
    for name, known in (("path", PATHS), ("key", KEYS)):
        if parameters and parameters.get(name) and DICE.random() < 0.8:
            parameters[name] = DICE.choice(known)
    for name, most in (("path", 512), ("key", 1024), ("name", 128)):
        short(parameters or {}, name, most)
    return parameters


@schemathesis.hook
def map_query(context, query):
    """Cursors are of one listing, which has one prefix; nobody has an hour to wait; and databases have
    three copies at most."""
    if query:
        short(query, "keyspace", 128)
        if query.get("prefix"):
            query.pop("cursor", None)
        if re.fullmatch("[0-9]+(ms|s|m|h|d)", str(query.get("timeout"))):
            query["timeout"] = "300ms"
        if re.fullmatch("[1-9][0-9]{0,8}", str(query.get("acks"))):
            query["acks"] = str(1 + int(query["acks"]) % 3)
        # There, whatever cannot be done is a 500, and nobody else is there who could acknowledge.
        if "/tarmac/" in context.operation.path:
            query.pop("acks", None)
    return query


@schemathesis.hook
def map_body(context, body):
    if isinstance(body, dict):
        short(body, "key", 1024)
        short(body, "name", 128)
    return body

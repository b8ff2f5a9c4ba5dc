"""A tour of the Redis door with redis-py (`pip install redis`), which fails where an answer is wrong.

    tidings serve --data data --definitions redis.yaml --redis 127.0.0.1:7379
    python3 examples/redis_py.py 7379

The definitions have to accept `redis/0`, as in docs/redis.md. Everything in that database is deleted.
"""

import sys
import threading

import redis

PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 7379


def values(r):
    assert r.set("greeting", "hello") is True
    assert r.get("greeting") == "hello" and r.get("none") is None
    assert r.set("greeting", "again", nx=True) is None
    assert r.set("greeting", "again", get=True) == "hello"
    assert r.append("greeting", "!") == 6 and r.getrange("greeting", 0, 4) == "again"
    assert r.mset({"a": "1", "b": "2"}) and r.mget("a", "none", "b") == ["1", None, "2"]
    assert r.getdel("a") == "1" and r.delete("a", "b", "none") == 1


def counters(r):
    assert r.incr("n") == 1 and r.incrby("n", 41) == 42 and r.decr("n") == 41
    assert r.expire("n", 100) and r.incr("n") == 42 and r.ttl("n") > 90
    with r.pipeline(transaction=True) as pipe:
        assert pipe.set("x", "1").incr("n").execute() == [True, 43]


def expiries(r):
    r.set("brief", "v", ex=100)
    assert 90 < r.ttl("brief") <= 100 and r.ttl("none") == -2
    assert not r.expire("brief", 50, gt=True)
    assert r.persist("brief") and r.ttl("brief") == -1
    assert r.expire("brief", -1) and not r.exists("brief")


def listings(r):
    r.mset({f"user:{number}": number for number in range(1000)})
    assert sorted(r.scan_iter("user:*")) == sorted(r.keys("user:*"))
    assert len(r.keys("user:??")) == 90


def transactions(r):
    with r.pipeline(transaction=True) as pipe:
        assert pipe.set("x", "1").set("y", "2").execute() == [True, True]
        assert pipe.get("x").delete("y").exists("y").execute() == ["1", 1, 0]
    with r.pipeline(transaction=False) as pipe:
        for number in range(5000):
            pipe.set(f"many:{number}", "v")
        assert all(pipe.execute())


def events(r):
    with r.pubsub() as listener:
        listener.psubscribe("__keyspace@0__:event:*")
        assert listener.get_message(timeout=5)["type"] == "psubscribe"
        r.set("event:1", "v")
        message = listener.get_message(timeout=5)
        assert (message["channel"], message["data"]) == ("__keyspace@0__:event:1", "set")


def many_at_once(r):
    def append():
        for _ in range(100):
            r.append("log", "x")

    threads = [threading.Thread(target=append) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert r.strlen("log") == 1000, "nothing that was appended is lost"


def refusals(r):
    for refused, word in [
        (lambda: r.set("text", "v") and r.incr("text"), "not an integer"),
        (lambda: r.lpush("list", "v"), "unknown command"),
        (lambda: r.set("", "v"), "1 to 1024 bytes"),
    ]:
        try:
            refused()
        except redis.ResponseError as error:
            assert word in str(error), error
        else:
            raise AssertionError(f"not refused: {word}")


for protocol in (2, 3):
    client = redis.Redis(port=PORT, protocol=protocol, decode_responses=True)
    client.flushdb()
    for part in (values, counters, expiries, listings, transactions, events, many_at_once, refusals):
        part(client)
    info = client.info()
    print(f"RESP{protocol}: all as expected, by {info['server_name']} {info['tidings_version']}")
    client.flushdb()

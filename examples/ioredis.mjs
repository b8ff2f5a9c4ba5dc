// A tour of the Redis door with ioredis (`npm install ioredis`), which fails where an answer is wrong.
//
//     tidings serve --data data --definitions redis.yaml --redis 127.0.0.1:7379
//     node examples/ioredis.mjs 7379
//
// The definitions have to accept `redis/0`, as in docs/redis.md. Everything in that database is deleted.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

// From wherever it was installed: NODE_PATH counts for `require` only.
const { Redis } = createRequire(import.meta.url)("ioredis");
const port = Number(process.argv[2] ?? 7379);

async function values(r) {
  assert.equal(await r.set("greeting", "hello"), "OK");
  assert.equal(await r.get("greeting"), "hello");
  assert.equal(await r.get("none"), null);
  assert.equal(await r.set("greeting", "again", "NX"), null);
  assert.equal(await r.set("greeting", "again", "GET"), "hello");
  assert.equal(await r.append("greeting", "!"), 6);
  assert.equal(await r.mset({ a: 1, b: 2 }), "OK");
  assert.deepEqual(await r.mget("a", "none", "b"), ["1", null, "2"]);
  assert.equal(await r.getdel("a"), "1");
  assert.equal(await r.del("a", "b", "none"), 1);
  const bytes = Buffer.from([0, 255, 13, 10, 128]);
  await r.set("bytes", bytes);
  assert.deepEqual(await r.getBuffer("bytes"), bytes);
}

async function counters(r) {
  assert.equal(await r.incr("n"), 1);
  assert.equal(await r.incrby("n", 41), 42);
  assert.equal(await r.decr("n"), 41);
}

async function expiries(r) {
  await r.set("brief", "v", "EX", 100);
  const ttl = await r.ttl("brief");
  assert.ok(ttl > 90 && ttl <= 100, `${ttl}`);
  assert.equal(await r.persist("brief"), 1);
  assert.equal(await r.ttl("brief"), -1);
  assert.equal(await r.ttl("none"), -2);
}

async function listings(r) {
  const users = Object.fromEntries([...Array(1000).keys()].map((n) => [`user:${n}`, n]));
  await r.mset(users);
  const found = new Set();
  for await (const keys of r.scanStream({ match: "user:*", count: 100 })) {
    keys.forEach((key) => found.add(key));
  }
  assert.deepEqual([...found].sort(), Object.keys(users).sort());
  assert.equal((await r.keys("user:??")).length, 90);
}

async function pipelines(r) {
  const pipeline = r.pipeline();
  for (let n = 0; n < 5000; n += 1) pipeline.set(`many:${n}`, "v");
  const answers = await pipeline.exec();
  assert.ok(answers.every(([error, answer]) => error === null && answer === "OK"));
  const transaction = await r.multi().set("x", "1").set("y", "2").get("x").exec();
  assert.deepEqual(transaction, [[null, "OK"], [null, "OK"], [null, "1"]]);
}

async function events(r) {
  const listener = new Redis(port);
  await listener.psubscribe("__keyspace@0__:event:*");
  const told = new Promise((resolve) => {
    listener.on("pmessage", (_pattern, channel, what) => resolve([channel, what]));
  });
  await r.set("event:1", "v");
  assert.deepEqual(await told, ["__keyspace@0__:event:1", "set"]);
  listener.disconnect();
}

async function refusals(r) {
  await assert.rejects(r.lpush("list", "v"), /ERR/);
  await r.set("word", "many");
  await assert.rejects(r.incr("word"), /not an integer/);
}

const r = new Redis(port);
await r.flushdb();
for (const part of [values, counters, expiries, listings, pipelines, events, refusals]) {
  await part(r);
  console.log(`${part.name}: as expected`);
}
await r.flushdb();
r.disconnect();

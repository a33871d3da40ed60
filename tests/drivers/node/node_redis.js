// node-redis on the stable URI: the same client object before and after a failover, TLS 1.2 and 1.3, RESP2 and RESP3.
// Always: certificates and host names are verified.
'use strict';
const assert = require('node:assert');
const fs = require('node:fs');
const { createClient, RESP_TYPES, WatchError } = require('redis');
const { BINARY, Cases, canFailOver, eventually, service, settled, strikePrimary } = require('./cases');

const about = service();
const ca = fs.readFileSync(about.ca);
const run = new Cases();

async function connect(version, RESP) {
  const client = createClient({
    url: about.uri,
    RESP,
    socket: {
      tls: true, ca, minVersion: version, maxVersion: version, servername: about.host, reconnectStrategy: () => 100,
    },
  });
  client.on('error', () => {}); // reported by the command that waits
  return client.connect();
}

async function values(client, tag) {
  const bytes = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
  assert.strictEqual(await client.set(`${tag}:bin`, BINARY), 'OK');
  assert.deepStrictEqual(await bytes.get(`${tag}:bin`), BINARY);
  assert.strictEqual(await client.get(`${tag}:missing`), null);
  await client.hSet(`${tag}:h`, { f: 'x', g: 1 });
  assert.deepStrictEqual({ ...(await client.hGetAll(`${tag}:h`)) }, { f: 'x', g: '1' });
  await client.zAdd(`${tag}:z`, [{ score: 1.5, value: 'a' }, { score: 2, value: 'b' }]);
  assert.deepStrictEqual((await client.zRangeWithScores(`${tag}:z`, 0, -1)).map((m) => ({ ...m })),
    [{ value: 'a', score: 1.5 }, { value: 'b', score: 2 }]);
  await assert.rejects(client.incr(`${tag}:h`), /WRONGTYPE/);
}

async function pipelines(client, tag) {
  const all = await Promise.all(Array.from({ length: 500 }, () => client.incr(`${tag}:n`)));
  assert.deepStrictEqual(all.map((n) => n - all[0]), Array.from({ length: 500 }, (_, i) => i));
}

async function transactions(client, tag) {
  const key = `${tag}:tx`;
  assert.deepStrictEqual(await client.multi().set(key, 1).incr(key).get(key).exec(), ['OK', 2, '2']);
  const other = await client.duplicate().connect();
  await client.watch(key);
  await other.set(key, 10);
  await assert.rejects(client.multi().set(key, 11).exec(), WatchError);
  await client.watch(key);
  assert.deepStrictEqual(await client.multi().incr(key).exec(), [11]);
  other.destroy();
}

async function pubsub(client, tag) {
  const subscriber = client.duplicate();
  subscriber.on('error', () => {});
  await subscriber.connect();
  const got = [];
  await subscriber.subscribe(`${tag}:ch`, (message) => got.push(message), true);
  await subscriber.pSubscribe(`${tag}:c*`, (message) => got.push(message), true);
  assert.strictEqual(await client.publish(`${tag}:ch`, BINARY), 2);
  await eventually('two messages', 5, () => got.length === 2);
  got.forEach((message) => assert.deepStrictEqual(message, BINARY));
  subscriber.destroy();
}

async function scan(client, tag) {
  const wanted = Array.from({ length: 1000 }, (_, i) => `${tag}:scan:${i}`);
  await client.mSet(wanted.map((key) => [key, '1']));
  const found = new Set();
  for await (const keys of client.scanIterator({ MATCH: `${tag}:scan:*`, COUNT: 100 })) {
    [keys].flat().forEach((key) => found.add(key));
  }
  assert.deepStrictEqual([...found].sort(), wanted.sort());
}

const checks = { values, pipelines, transactions, pubsub, scan };
async function everything(client, tag) {
  for (const [name, check] of Object.entries(checks)) {
    await run.run(`node-redis ${tag} ${name}`, () => check(client, tag));
  }
}

// Under load of the same client object. A write is claimed only when its promise was fulfilled.
async function failover(client, tag) {
  const acknowledged = [];
  let running = true;
  const writers = Array.from({ length: 4 }, async (_, w) => {
    for (let n = 0; running; n++) {
      const key = `${tag}:load:${w}:${n}`;
      await client.set(key, n).then(() => acknowledged.push([key, String(n)]), () => {});
    }
  });
  const subscriber = client.duplicate();
  subscriber.on('error', () => {});
  await subscriber.connect();
  let heard = 0;
  await subscriber.subscribe(`${tag}:news`, () => (heard += 1));
  await eventually('writes', 10, () => acknowledged.length > 50);
  await strikePrimary();
  const before = acknowledged.length;
  await eventually('writes after the failover', 20, () => acknowledged.length > before + 50);
  running = false;
  await Promise.all(writers);
  const found = await client.mGet(acknowledged.map(([key]) => key));
  const lost = acknowledged.filter(([, value], i) => found[i] !== value);
  assert.strictEqual(lost.length, 0, `${lost.length} of ${acknowledged.length} acknowledged writes lost: ${lost[0]}`);
  await eventually('a message on the old subscription', 20, async () => {
    await client.publish(`${tag}:news`, 'after');
    return heard > 0;
  });
  subscriber.destroy();
  await settled();
}

async function main() {
  for (const [version, RESP] of [['TLSv1.2', 2], ['TLSv1.3', 3]]) {
    const tag = `nr:${version}:resp${RESP}`;
    const client = await connect(version, RESP);
    await everything(client, tag);
    if (canFailOver) {
      await run.run(`node-redis ${tag} failover`, () => failover(client, tag));
      await everything(client, `${tag}:after`);
    }
    client.destroy();
  }
}

main().then(() => run.finish(), (error) => { console.log(`FAILED node-redis: ${error.stack}`); process.exit(1); });

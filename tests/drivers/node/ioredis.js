// ioredis on the stable URI, and its cluster client on a service that redirects: the same client object before and
// after a failover, TLS 1.2 and 1.3. Always: certificates and host names are verified.
'use strict';
const assert = require('node:assert');
const fs = require('node:fs');
const Redis = require('ioredis');
const { BINARY, Cases, canFailOver, eventually, service, settled, strikePrimary } = require('./cases');

const about = service();
const ca = fs.readFileSync(about.ca);
const run = new Cases();

const connect = (version) =>
  new Redis(about.uri, {
    tls: { ca, minVersion: version, maxVersion: version },
    retryStrategy: () => 100,
    maxRetriesPerRequest: null,
  }).on('error', () => {}); // reported by the command that waits

async function values(client, tag) {
  assert.strictEqual(await client.set(`${tag}:bin`, BINARY), 'OK');
  assert.deepStrictEqual(await client.getBuffer(`${tag}:bin`), BINARY);
  assert.strictEqual(await client.get(`${tag}:missing`), null);
  await client.hset(`${tag}:h`, { f: 'x', g: 1 });
  assert.deepStrictEqual(await client.hgetall(`${tag}:h`), { f: 'x', g: '1' });
  await client.del(`${tag}:z`);
  await client.zadd(`${tag}:z`, 1.5, 'a', 2, 'b');
  assert.deepStrictEqual(await client.zrange(`${tag}:z`, 0, -1, 'WITHSCORES'), ['a', '1.5', 'b', '2']);
  await assert.rejects(client.incr(`${tag}:h`), /WRONGTYPE/);
}

async function pipelines(client, tag) {
  const pipe = client.pipeline();
  for (let i = 0; i < 200; i++) pipe.set(`${tag}:p:${i}`, i).get(`${tag}:p:${i}`);
  const replies = await pipe.exec();
  replies.forEach(([error, reply], i) => {
    assert.ifError(error);
    assert.strictEqual(reply, i % 2 ? String((i - 1) / 2) : 'OK');
  });
  const all = await Promise.all(Array.from({ length: 500 }, () => client.incr(`${tag}:n`)));
  assert.deepStrictEqual(all.map((n) => n - all[0]), Array.from({ length: 500 }, (_, i) => i));
}

async function transactions(client, tag) {
  const key = `${tag}:tx`;
  assert.deepStrictEqual(await client.multi().set(key, 1).incr(key).get(key).exec(),
    [[null, 'OK'], [null, 2], [null, '2']]);
  const other = client.duplicate();
  await client.watch(key);
  await other.set(key, 10);
  assert.strictEqual(await client.multi().set(key, 11).exec(), null);
  await client.watch(key);
  assert.deepStrictEqual(await client.multi().incr(key).exec(), [[null, 11]]);
  other.disconnect();
}

async function pubsub(client, tag) {
  const subscriber = client.duplicate();
  const got = [];
  subscriber.on('messageBuffer', (channel, message) => got.push(['message', message]));
  subscriber.on('pmessageBuffer', (pattern, channel, message) => got.push(['pmessage', message]));
  await subscriber.subscribe(`${tag}:ch`);
  await subscriber.psubscribe(`${tag}:c*`);
  assert.strictEqual(await client.publish(`${tag}:ch`, BINARY), 2);
  await eventually('two messages', 5, () => got.length === 2);
  assert.deepStrictEqual(got.map(([kind]) => kind).sort(), ['message', 'pmessage']);
  got.forEach(([, message]) => assert.deepStrictEqual(message, BINARY));
  subscriber.disconnect();
}

async function scan(client, tag) {
  const wanted = Array.from({ length: 1000 }, (_, i) => `${tag}:scan:${i}`);
  await client.mset(...wanted.flatMap((key) => [key, 1]));
  const found = new Set();
  for await (const keys of client.scanStream({ match: `${tag}:scan:*`, count: 100 })) {
    keys.forEach((key) => found.add(key));
  }
  assert.deepStrictEqual([...found].sort(), wanted.sort());
}

const checks = { values, pipelines, transactions, pubsub, scan };
async function everything(client, tag) {
  for (const [name, check] of Object.entries(checks)) await run.run(`ioredis ${tag} ${name}`, () => check(client, tag));
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
  let heard = 0;
  subscriber.on('message', () => (heard += 1));
  await subscriber.subscribe(`${tag}:news`);
  await eventually('writes', 10, () => acknowledged.length > 50);
  await strikePrimary();
  const before = acknowledged.length;
  await eventually('writes after the failover', 20, () => acknowledged.length > before + 50);
  running = false;
  await Promise.all(writers);
  const found = await client.mget(acknowledged.map(([key]) => key));
  const lost = acknowledged.filter(([, value], i) => found[i] !== value);
  assert.strictEqual(lost.length, 0, `${lost.length} of ${acknowledged.length} acknowledged writes lost: ${lost[0]}`);
  await eventually('a message on the old subscription', 20, async () => {
    await client.publish(`${tag}:news`, 'after');
    return heard > 0;
  });
  subscriber.disconnect();
  await settled();
}

async function refusals() {
  for (const [tls, reason] of [
    [{}, /self.signed|unable to (get|verify)/],
    [{ ca, servername: 'other.example' }, /altnames|does not match/],
  ]) {
    const client = new Redis(about.uri, { tls, retryStrategy: () => null });
    const error = await new Promise((resolve) => client.once('error', resolve));
    assert.match(error.message, reason);
    client.disconnect();
  }
}

async function stable() {
  await run.run('ioredis refusals', refusals);
  for (const version of ['TLSv1.2', 'TLSv1.3']) {
    const client = connect(version);
    const tag = `io:${version}`;
    await run.run(`ioredis ${tag} negotiated`, async () => {
      await client.ping();
      assert.strictEqual(client.stream.getProtocol(), version);
    });
    await everything(client, tag);
    if (canFailOver) {
      await run.run(`ioredis ${tag} failover`, () => failover(client, tag));
      await everything(client, `${tag}:after`);
    }
    client.disconnect();
  }
}

async function redirect() {
  const ports = about.nodes.map((node) => Number(node.client_addr.split(':').pop()));
  const client = new Redis.Cluster(ports.map((port) => ({ host: 'localhost', port })), {
    redisOptions: { tls: { ca }, username: about.user, password: about.password },
    clusterRetryStrategy: () => 100,
    retryDelayOnFailover: 100,
    maxRedirections: 100,
    slotsRefreshTimeout: 3000,
  }).on('error', () => {});
  const spread = async (tag) => {
    for (let i = 0; i < 300; i++) assert.strictEqual(await client.set(`${tag}:${i}`, i), 'OK');
    for (let i = 0; i < 300; i++) assert.strictEqual(await client.get(`${tag}:${i}`), String(i));
    assert.strictEqual(client.nodes('master').length, 1);
  };
  await run.run('ioredis cluster keys of many slots', () => spread('ioc'));
  if (canFailOver) {
    await run.run('ioredis cluster failover', async () => {
      const old = await strikePrimary();
      await eventually('a write at the new primary', 20, () => client.set('ioc:kept', 1));
      const gone = old.client_addr.split(':').pop();
      await eventually('the client to know the new primary', 20, async () => {
        await client.set('ioc:x', 1);
        return client.nodes('master').every((node) => String(node.options.port) !== gone);
      });
      assert.strictEqual(await client.get('ioc:7'), '7');
      await settled();
    });
    await run.run('ioredis cluster keys of many slots after', () => spread('ioc:after'));
  }
  client.disconnect();
}

(process.argv[2] === 'redirect' ? redirect() : stable()).then(() => run.finish());

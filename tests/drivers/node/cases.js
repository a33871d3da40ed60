// What the Node.js driver tests share: counting cases, the service file, and striking the primary.
// Always: a case that throws is a failure with its name; a failover that did not reach another node is one too.
'use strict';
const fs = require('node:fs');

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const service = () => JSON.parse(fs.readFileSync(process.env.PONTOON_SERVICE, 'utf8'));
const canFailOver = process.env.PONTOON_FAILOVER === '1';
const BINARY = Buffer.concat([
  Buffer.from(Array.from({ length: 256 }, (_, i) => i)),
  Buffer.from('\r\n$5\r\n\0end'),
]);

class Cases {
  passed = 0;
  failed = 0;

  async run(name, check) {
    const begin = process.hrtime.bigint();
    const late = new Promise((_, reject) => {
      this.timer = setTimeout(() => reject(new Error('no end within 60 s')), 60_000);
    });
    try {
      await Promise.race([check(), late]);
      this.passed += 1;
      console.log(`ok ${name} (${(Number(process.hrtime.bigint() - begin) / 1e9).toFixed(2)} s)`);
    } catch (error) {
      this.failed += 1;
      console.log(`FAILED ${name}: ${error.stack}`);
    } finally {
      clearTimeout(this.timer);
    }
  }

  finish() {
    console.log(`${this.passed} passed, ${this.failed} failed`);
    process.exit(this.failed || !this.passed ? 1 : 0);
  }
}

// Repeats `attempt` until it answers something true; what it throws in between is the reason.
async function eventually(what, seconds, attempt) {
  const end = Date.now() + seconds * 1000;
  let reason = 'no answer';
  while (Date.now() < end) {
    try {
      const answer = await attempt();
      if (answer) return answer;
    } catch (error) {
      reason = String(error);
    }
    await sleep(50);
  }
  throw new Error(`${what} did not happen within ${seconds} s (${reason})`);
}

function primary() {
  const found = service().nodes.filter((node) => node.role === 'primary');
  return found.length === 1 ? found[0] : null;
}

// kill -9 of the primary; ends once another node is primary.
async function strikePrimary() {
  const old = await eventually('one primary', 20, primary);
  process.kill(old.pid, 'SIGKILL');
  const next = await eventually(`another primary than node ${old.id}`, 20, () => {
    const now = primary();
    return now && now.id !== old.id && now;
  });
  console.log(`   killed node ${old.id} (pid ${old.pid}); node ${next.id} is primary`);
  return old;
}

// Waits until every node is up again, so that the next test begins with a whole cluster.
const settled = () =>
  eventually('every node primary or standby', 30, () =>
    service().nodes.every((node) => ['primary', 'standby'].includes(node.role)));

module.exports = { BINARY, Cases, canFailOver, eventually, primary, service, settled, sleep, strikePrimary };

// bullmq: 1,000 delayed jobs and a repeating one, while the primary is killed.
//
// Always: every job completes with the value computed here and is run at least once (a stalled job is run again: that is what
// bullmq promises); how many ran more often is printed.
'use strict'
const fs = require('fs')
const { Queue, Worker } = require('bullmq')

const about = () => JSON.parse(fs.readFileSync(process.env.PONTOON_SERVICE, 'utf8'))
const sleep = ms => new Promise(done => setTimeout(done, ms))
const primary = () => about().nodes.find(node => node.role === 'primary')

async function eventually(what, seconds, attempt) {
  const end = Date.now() + seconds * 1000
  let reason = 'no answer'
  while (Date.now() < end) {
    try {
      const answer = await attempt()
      if (answer) return answer
    } catch (error) { reason = String(error) }
    await sleep(50)
  }
  throw new Error(`${what} did not happen within ${seconds} s (${reason})`)
}

async function main() {
  const service = about()
  const connection = {
    host: service.host, port: service.port, username: service.user, password: service.password,
    tls: { ca: fs.readFileSync(service.ca), servername: service.host }, maxRetriesPerRequest: null,
  }
  const JOBS = 1000
  const runs = new Map()
  let ticks = 0
  const queue = new Queue('work', { connection })
  const worker = new Worker('work', async job => {
    if (job.name === 'tick') { ticks += 1; return 'tick' }
    runs.set(job.data.n, (runs.get(job.data.n) || 0) + 1)
    return job.data.n * 2
  }, { connection, concurrency: 20, stalledInterval: 3000, lockDuration: 6000 })
  queue.on('error', () => {})
  worker.on('error', () => {})
  await queue.upsertJobScheduler('ticker', { every: 500 }, { name: 'tick' })
  const add = async n => {
    // A job id of our own: a job whose reply the failover took is not added twice.
    await eventually(`job ${n}`, 30, () => queue.add('double', { n }, { jobId: `job-${n}`, delay: (n * 7) % 4000, attempts: 3 }))
  }
  for (let n = 0; n < JOBS / 2; n += 50) await Promise.all(Array.from({ length: 50 }, (_, i) => add(n + i)))
  if (process.env.PONTOON_FAILOVER === '1') {
    const old = primary()
    process.kill(old.pid, 'SIGKILL')
    const before = ticks
    const rest = []
    for (let n = JOBS / 2; n < JOBS; n += 1) rest.push(add(n))
    await eventually('another primary', 20, () => primary() && primary().id !== old.id)
    console.log(`   killed node ${old.id} (pid ${old.pid}); node ${primary().id} is primary`)
    await Promise.all(rest)
    await eventually('ticks after the failover', 20, () => ticks >= before + 4)
  } else {
    for (let n = JOBS / 2; n < JOBS; n += 1) await add(n)
  }
  await eventually('the end of all jobs', 40, () => runs.size === JOBS)
  await eventually('all completed', 20, async () => {
    const counts = await queue.getJobCounts('completed', 'failed', 'active', 'delayed', 'waiting')
    if (counts.failed) throw new Error(`${counts.failed} jobs failed`)
    return counts.completed >= JOBS && counts.active === 0
  })
  for (let n = 0; n < JOBS; n += 97) {
    const job = await queue.getJob(`job-${n}`)
    if (job.returnvalue !== 2 * n) throw new Error(`job ${n} returned ${job.returnvalue}`)
  }
  if (ticks < 4) throw new Error(`${ticks} repetitions`)
  const more = [...runs.values()].filter(count => count > 1).length
  console.log(`   ${runs.size} jobs ran, ${more} of them more than once; ${ticks} repetitions`)
  console.log('   closing the worker')
  await worker.close()
  console.log('   emptying the queue')
  await queue.obliterate({ force: true })
  await queue.close()
}

const bound = setTimeout(() => { console.log('FAILED bullmq: not done within 100 s'); process.exit(1) }, 100000)
main().then(() => { console.log('ok bullmq\n1 passed, 0 failed'); process.exit(0) },
  error => { console.log('FAILED bullmq:', error, '\n0 passed, 1 failed'); clearTimeout(bound); process.exit(1) })

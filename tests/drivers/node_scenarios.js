// node-postgres, as applications use it.
//
// usage: node node_scenarios.js NUMBER [SCENARIO | -SCENARIO ...]     only these, or all but these
// PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE say where.
'use strict';
const assert = require('node:assert/strict');
const { Readable, Writable } = require('node:stream');
const { pipeline } = require('node:stream/promises');
const { Client, Pool } = require('pg');
const Cursor = require('pg-cursor');
const { from: copyFrom, to: copyTo } = require('pg-copy-streams');

const number = Number(process.argv[2]);
const table = (name) => `${name}_${number}`;

async function withClient(work, options = {}) {
  const client = new Client(options);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

const one = async (client, text, values) => Object.values((await client.query(text, values)).rows[0])[0];
const state = (code) => (error) => error.code === code;

async function fresh(client, name, columns) {
  await client.query(`DROP TABLE IF EXISTS ${name}`);
  await client.query(`CREATE TABLE ${name} (${columns})`);
}

async function queries() {
  await withClient(async (client) => {
    const name = table('js_queries');
    await fresh(client, name, 'n int PRIMARY KEY, t text, j jsonb, at timestamptz, b bytea');
    const at = new Date(Date.UTC(2024, 1, 29));
    const inserted = await client.query(`INSERT INTO ${name} VALUES ($1, $2, $3, $4, $5) RETURNING *`, [
      1, 'Grüße', { a: [1] }, at, Buffer.from([0, 255]),
    ]);
    assert.deepEqual(inserted.rows[0], { n: 1, t: 'Grüße', j: { a: [1] }, at, b: Buffer.from([0, 255]) });
    const several = await client.query('SELECT 1 AS a; SELECT 2 AS b');
    assert.deepEqual(several.map((result) => result.rows), [[{ a: 1 }], [{ b: 2 }]]);
    const arrays = await client.query({ text: 'SELECT $1::int[] AS a', values: [[1, null, 3]], rowMode: 'array' });
    assert.deepEqual(arrays.rows, [[[1, null, 3]]]);
    // Queued by the driver, answered in order.
    const answers = await Promise.all(Array.from({ length: 100 }, (_, n) => one(client, 'SELECT $1::int AS n', [n])));
    assert.deepEqual(answers, Array.from({ length: 100 }, (_, n) => n));
    await assert.rejects(client.query(`INSERT INTO ${name} (n) VALUES (1)`), state('23505'));
    await assert.rejects(client.query('SELECT $1::int', ['x']), state('22P02'));
    await assert.rejects(client.query('SELEC'), state('42601'));
    assert.equal(await one(client, 'SELECT 1'), 1);
    await client.query(`DROP TABLE ${name}`);
  });
}

async function pools() {
  const name = table('js_pools');
  const pool = new Pool({ max: 10, maxUses: 20, idleTimeoutMillis: 1000 });
  try {
    await fresh(pool, name, 'worker int, n int');
    const work = async (worker) => {
      for (let n = 0; n < 10; n += 1) {
        const client = await pool.connect();
        try {
          await client.query('BEGIN');
          await client.query(`INSERT INTO ${name} VALUES ($1, $2)`, [worker, n]);
          const count = await one(client, `SELECT count(*)::int FROM ${name} WHERE worker = $1`, [worker]);
          assert.equal(count, n + 1);
          await client.query(n === 9 && worker === 0 ? 'ROLLBACK' : 'COMMIT');
        } finally {
          client.release();
        }
      }
    };
    await Promise.all(Array.from({ length: 16 }, (_, worker) => work(worker)));
    assert.equal(await one(pool, `SELECT count(*)::int FROM ${name}`), 159);
    await pool.query(`DROP TABLE ${name}`);
  } finally {
    await pool.end();
  }
}

async function prepared() {
  const pool = new Pool({ max: 10 });
  try {
    const work = async (n) => {
      const query = { name: 'times two', text: 'SELECT $1::int * 2 AS n, $2::text AS t', values: [n, String(n)] };
      assert.deepEqual((await pool.query(query)).rows, [{ n: 2 * n, t: String(n) }]);
      const other = { name: `plus ${n % 30}`, text: `SELECT $1::int + ${n % 30} AS n`, values: [n] };
      assert.deepEqual((await pool.query(other)).rows, [{ n: n + (n % 30) }]);
    };
    await Promise.all(Array.from({ length: 300 }, (_, n) => work(n)));
  } finally {
    await pool.end();
  }
  await withClient(async (client) => {
    const broken = { name: 'broken', text: 'SELECT nothing FROM nowhere' };
    await assert.rejects(client.query(broken), state('42P01'));
    for (let n = 0; n < 3; n += 1) {
      const failing = { name: 'divide', text: 'SELECT 1 / $1::int AS n', values: [n] };
      if (n === 0) await assert.rejects(client.query(failing), state('22012'));
      else assert.equal((await client.query(failing)).rows[0].n, n === 1 ? 1 : 0);
    }
  });
}

async function cursors() {
  await withClient(async (client) => {
    const cursor = client.query(new Cursor('SELECT n FROM generate_series(1, $1::int) AS n', [1000]));
    let total = 0;
    for (;;) {
      const rows = await cursor.read(70);
      if (rows.length === 0) break;
      total += rows.reduce((sum, row) => sum + row.n, 0);
    }
    assert.equal(total, 500500);
    await cursor.close();
    // Left early, and the connection goes on.
    const left = client.query(new Cursor('SELECT n FROM generate_series(1, 100000) AS n'));
    assert.equal((await left.read(10)).length, 10);
    await left.close();
    assert.equal(await one(client, 'SELECT 2'), 2);
    await client.query('BEGIN');
    const inside = client.query(new Cursor('SELECT generate_series(1, 3) AS n'));
    assert.deepEqual((await inside.read(2)).map((row) => row.n), [1, 2]);
    await inside.close();
    await client.query('COMMIT');
  });
}

async function copies() {
  const name = table('js_copies');
  await withClient(async (client) => {
    await fresh(client, name, 'n int PRIMARY KEY, t text');
    const lines = Array.from({ length: 5000 }, (_, n) => `${n}\t${'x'.repeat(200)}\n`);
    const sink = client.query(copyFrom(`COPY ${name} FROM STDIN`));
    await pipeline(Readable.from(lines), sink);
    assert.equal(sink.rowCount, 5000);
    let size = 0;
    const counting = new Writable({
      write(chunk, _, done) {
        size += chunk.length;
        done();
      },
    });
    await pipeline(client.query(copyTo(`COPY ${name} TO STDOUT`)), counting);
    assert.equal(size, lines.join('').length);
    await assert.rejects(
      pipeline(Readable.from(['1\tagain\n']), client.query(copyFrom(`COPY ${name} FROM STDIN`))), state('23505'));
    async function* giving_up() {
      yield '9000\tx\n';
      throw new Error('the program gives up');
    }
    await assert.rejects(
      pipeline(Readable.from(giving_up()), client.query(copyFrom(`COPY ${name} FROM STDIN`))), /gives up/);
    assert.equal(await one(client, `SELECT count(*)::int FROM ${name}`), 5000);
    await client.query(`DROP TABLE ${name}`);
  });
}

async function notifications() {
  const channel = table('js_channel');
  await withClient((listener) => withClient(async (sender) => {
    const heard = [];
    let more;
    listener.on('notification', (message) => {
      heard.push(message);
      if (more) more();
    });
    const until = async (count) => {
      const late = setTimeout(() => { more = null; }, 20000);
      while (heard.length < count) await new Promise((resolve) => { more = resolve; });
      clearTimeout(late);
    };
    await listener.query(`LISTEN ${channel}`);
    await sender.query(`NOTIFY ${channel}, 'one'`);
    await sender.query('SELECT pg_notify($1, $2)', [channel, 'two']);
    await until(2);
    assert.deepEqual(heard.map((message) => [message.channel, message.payload]), [[channel, 'one'], [channel, 'two']]);
    await listener.query(`NOTIFY ${channel}, 'own'`);
    await until(3);
    assert.equal(heard[2].processId, listener.processID);
    await listener.query(`UNLISTEN ${channel}`);
    await sender.query(`NOTIFY ${channel}, 'unheard'`);
    await listener.query('SELECT 1');
    assert.equal(heard.length, 3);
  }));
}

async function settings() {
  const schema = table('js_schema');
  const options = { application_name: 'mine', statement_timeout: 12000, options: '-c search_path=pg_catalog' };
  await withClient(async (client) => {
    await client.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
    await client.query(`CREATE SCHEMA ${schema}`);
    assert.equal(await one(client, 'SHOW application_name'), 'mine');
    assert.equal(await one(client, 'SHOW statement_timeout'), '12s');
    assert.equal(await one(client, 'SHOW search_path'), 'pg_catalog');
    await client.query(`SET search_path TO ${schema}`);
    await client.query('CREATE TABLE here (n int)');
    for (let n = 0; n < 4; n += 1) await client.query('INSERT INTO here VALUES ($1)', [n]);
    assert.equal(await one(client, 'SELECT sum(n)::int FROM here'), 6);
    await client.query('BEGIN');
    await client.query("SET LOCAL work_mem TO '9MB'");
    assert.equal(await one(client, 'SHOW work_mem'), '9MB');
    await client.query('COMMIT');
    assert.notEqual(await one(client, 'SHOW work_mem'), '9MB');
    await client.query(`DROP SCHEMA ${schema} CASCADE`);
  }, options);
  await withClient(async (client) => {
    await assert.rejects(client.query('SELECT pg_sleep(30)'), state('57014'));
    assert.equal(await one(client, 'SELECT 1'), 1);
  }, { statement_timeout: 100 });
  await assert.rejects(withClient(async () => {}, { password: 'wrong' }), state('28P01'));
}

async function temporary_tables() {
  await withClient(async (client) => {
    await client.query('CREATE TEMP TABLE staged (n int)');
    await client.query('INSERT INTO staged SELECT generate_series(1, 10)');
    for (let n = 0; n < 3; n += 1) assert.equal(await one(client, 'SELECT count(*)::int FROM staged'), 10);
  });
}

async function notices() {
  await withClient(async (client) => {
    const heard = [];
    client.on('notice', (notice) => heard.push(notice.message));
    for (let n = 0; n < 3; n += 1) await client.query(`DO $$ BEGIN RAISE NOTICE 'number ${n}'; END $$`);
    assert.deepEqual(heard, ['number 0', 'number 1', 'number 2']);
  });
}

async function main() {
  const scenarios = [queries, pools, prepared, cursors, copies, notifications, settings, temporary_tables, notices];
  const words = process.argv.slice(3);
  const wanted = words.filter((word) => !word.startsWith('-'));
  const chosen = (name) => (wanted.length === 0 || wanted.includes(name)) && !words.includes(`-${name}`);
  for (const scenario of scenarios.filter((one) => chosen(one.name))) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error('the time was over')), 60000);
    });
    try {
      await Promise.race([scenario(), late]);
      console.log('ok', scenario.name);
    } catch (error) {
      process.exitCode = 1;
      console.log('FAILED', scenario.name, error);
    }
    clearTimeout(timer);
  }
  process.exit();
}

main();

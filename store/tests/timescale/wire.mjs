// PostgreSQL's wire protocol, as much of it as a proxy needs: cutting a stream into messages,
// reading the few that matter, and making the few that we answer ourselves.
//
// A message is { type, body, raw }: one letter, what follows the length, and all of its bytes.
// What a client sends before it is let in has no letter; its type is ''.

/** Requests that come in place of a startup message, by their code. */
export const SSL_REQUEST = 80877103
export const GSS_REQUEST = 80877104
export const CANCEL_REQUEST = 80877102

/** Longer messages are taken for garbage: PostgreSQL's own limit is the same gigabyte. */
const BODY_BYTES_MAX = 1 << 30

/** Cuts a stream of bytes into messages, however they were chopped up on the way. */
export class Splitter {
  #rest = Buffer.alloc(0)
  #isStarting

  /** `isStarting`: the stream is a client's and opens with a startup message. */
  constructor({ isStarting = false } = {}) {
    this.#isStarting = isStarting
  }

  /** The messages that `chunk` completes. */
  push(chunk) {
    this.#rest = this.#rest.length ? Buffer.concat([this.#rest, chunk]) : chunk
    const messages = []
    for (let message = this.#take(); message; message = this.#take()) messages.push(message)
    return messages
  }

  #take() {
    const start = this.#isStarting ? 0 : 1
    if (this.#rest.length < start + 4) return undefined
    const length = this.#rest.readInt32BE(start)
    if (length < 4 || length > BODY_BYTES_MAX) throw new Error(`no message is ${length} bytes long`)
    const end = start + length
    if (this.#rest.length < end) return undefined
    const raw = this.#rest.subarray(0, end)
    this.#rest = this.#rest.subarray(end)
    const body = raw.subarray(start + 4)
    if (!this.#isStarting) return { type: String.fromCharCode(raw[0]), body, raw }
    const isRequest = body.length >= 4 && body.readInt32BE(0) > 0x40000
    this.#isStarting = isRequest
    return { type: '', body, raw }
  }
}

/** All messages in `bytes`, which holds whole ones. */
export function split(bytes) {
  return new Splitter().push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length))
}

/** The texts, each ended by a zero, that stand in `body` from `offset`; at most `count`. */
export function texts(body, count, offset = 0) {
  const found = []
  let from = offset
  while (found.length < count) {
    const end = body.indexOf(0, from)
    if (end < 0) break
    found.push(body.toString('utf8', from, end))
    from = end + 1
  }
  return found
}

/** What a startup message says: `user`, `database`, `application_name`, `options`, … */
export function startupParameters(body) {
  const all = texts(body, Infinity, 4)
  const parameters = {}
  for (let i = 0; i + 1 < all.length && all[i] !== ''; i += 2) parameters[all[i]] = all[i + 1]
  return parameters
}

/** A message of `type` whose body is `parts`: texts (ended by a zero) and bytes. */
export function message(type, ...parts) {
  const pieces = parts.map((part) => (typeof part === 'string' ? Buffer.from(`${part}\0`) : part))
  const body = Buffer.concat(pieces)
  const head = Buffer.alloc(5)
  head.write(type, 'latin1')
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

export function int16(number) {
  const bytes = Buffer.alloc(2)
  bytes.writeInt16BE(number)
  return bytes
}

export function int32(number) {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(number)
  return bytes
}

export const query = (sql) => message('Q', sql)
export const sync = message('S')
export const commandComplete = (tag) => message('C', tag)
export const readyForQuery = (status) => message('Z', Buffer.from(status))

/** That the server is ready for the data of a COPY with `columns` columns. */
export function copyInResponse(isBinary, columns) {
  const format = int16(isBinary ? 1 : 0)
  const formats = Array.from({ length: columns }, () => format)
  return message('G', Buffer.from([isBinary ? 1 : 0]), int16(columns), ...formats)
}

export function errorResponse(severity, code, text) {
  const fields = [`S${severity}`, `V${severity}`, `C${code}`, `M${text}`]
  return message('E', ...fields, Buffer.from([0]))
}

/** The text of an ErrorResponse. */
export function errorText(body) {
  return texts(body, Infinity).find((field) => field.startsWith('M'))?.slice(1) ?? 'no message'
}

// As much of MQTT 3.1.1 as a gateway needs that speaks for many devices and hears their commands, with QoS 1.
import { once } from "node:events";
import { connect } from "node:net";

const CONNECT = 0x10;
const CONNACK = 0x20;
const PUBLISH_QOS_1 = 0x32;
const PUBACK = 0x40;
const SUBSCRIBE = 0x82;
const SUBACK = 0x90;
const KEEP_ALIVE_S = 60;

function utf8(text) {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
}

function packet(type, body) {
  const length = [];
  for (let rest = body.length; rest > 0 || length.length === 0; rest >>= 7) {
    length.push((rest & 127) | (rest > 127 ? 128 : 0));
  }
  return Buffer.concat([Buffer.from([type, ...length]), body]);
}

/** The first packet of some bytes: its type with its flags, its body, and where it ends; null if it is not whole. */
function firstOf(bytes) {
  let length = 0;
  for (let i = 1; i < bytes.length && i < 5; i += 1) {
    length += (bytes[i] & 127) << (7 * (i - 1));
    if (bytes[i] > 127) continue;
    const end = i + 1 + length;
    return bytes.length < end ? null : { type: bytes[0], body: bytes.subarray(i + 1, end), end };
  }
  return null;
}

/** One connection. */
export class Connection {
  /** Hears messages: topic and payload, both text. */
  onMessage = () => undefined;
  #socket;
  #waiting = new Map();
  #next = 1;
  #rest = Buffer.alloc(0);

  /** Connects as a device, or as anybody where nobody is asked. */
  static async open({ host, port }, client, credentials = null) {
    const connection = new Connection();
    const socket = connect(port, host);
    connection.#socket = socket;
    await once(socket, "connect");
    const flags = 2 | (credentials === null ? 0 : 0xc0);
    const parts = [utf8("MQTT"), Buffer.from([4, flags, 0, KEEP_ALIVE_S]), utf8(client)];
    if (credentials !== null) parts.push(utf8(credentials.user), utf8(credentials.password));
    const accepted = new Promise((resolve, reject) => connection.#waiting.set(0, { resolve, reject }));
    socket.on("data", (bytes) => connection.#data(bytes));
    socket.on("error", () => socket.destroy());
    socket.on("close", () => connection.#lost());
    socket.write(packet(CONNECT, Buffer.concat(parts)));
    await accepted;
    return connection;
  }

  get isOpen() {
    return !this.#socket.destroyed;
  }

  /** Publishes, and returns when that is acknowledged. */
  publish(topic, payload) {
    return this.#ask(PUBLISH_QOS_1, (id) => [utf8(topic), id, Buffer.from(payload)]);
  }

  /** Subscribes with QoS 1, and returns when that is granted. */
  subscribe(filter) {
    return this.#ask(SUBSCRIBE, (id) => [id, utf8(filter), Buffer.from([1])]);
  }

  close() {
    this.#socket.destroy();
  }

  #ask(type, partsOf) {
    const id = this.#next;
    this.#next = (this.#next % 65_535) + 1;
    const answered = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    this.#socket.write(packet(type, Buffer.concat(partsOf(Buffer.from([id >> 8, id & 255])))));
    return answered;
  }

  #data(bytes) {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    for (let first = firstOf(this.#rest); first !== null; first = firstOf(this.#rest)) {
      this.#rest = this.#rest.subarray(first.end);
      this.#packet(first);
    }
  }

  #packet({ type, body }) {
    const id = (body[0] << 8) | body[1];
    if (type === CONNACK) this.#settle(0, body[1] === 0 ? null : new Error(`CONNACK ${body[1]}`));
    else if (type === PUBACK) this.#settle(id, null);
    else if (type === SUBACK) this.#settle(id, body[2] > 2 ? new Error(`SUBACK ${body[2]}`) : null);
    else if (type >> 4 === 3) this.#message(type, body);
    else throw new Error(`the broker sends a packet of type ${type}`);
  }

  #message(type, body) {
    const end = 2 + body.readUInt16BE(0);
    const isAcknowledged = (type & 6) !== 0;
    if (isAcknowledged) this.#socket.write(packet(PUBACK, body.subarray(end, end + 2)));
    this.onMessage(body.toString("utf8", 2, end), body.toString("utf8", end + (isAcknowledged ? 2 : 0)));
  }

  #settle(id, error) {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === null) waiting?.resolve();
    else waiting?.reject(error);
  }

  #lost() {
    for (const id of [...this.#waiting.keys()]) this.#settle(id, new Error("the broker closed the connection"));
  }
}

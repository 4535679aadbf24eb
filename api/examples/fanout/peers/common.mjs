// What both peers share: events at a steady rate, told to whoever listens. The parent writes to our
// standard input: first an event as JSON, then `RATE N`. We write the port, and `done` at the end.
import { createInterface } from "node:readline";

/** An instant of `performance`, in microseconds since 1970, as 16 digits. */
function stamp(at) {
  return String(Math.round((performance.timeOrigin + at) * 1000)).padStart(16, "0");
}

export async function serve(http, emit) {
  await new Promise((done) => http.listen(0, "127.0.0.1", done));
  console.log(http.address().port);
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const event = JSON.parse((await lines.next()).value);
  const [rate, n] = (await lines.next()).value.split(" ").map(Number);
  const start = performance.now();
  for (let i = 0; i < n; i++) {
    const due = start + (i * 1000) / rate;
    const wait = due - performance.now();
    await (wait > 0.5 ? new Promise((done) => setTimeout(done, wait)) : new Promise(setImmediate));
    event.alert.summary = `t=${stamp(due)}`;
    emit(event);
  }
  console.log("done");
  await lines.next();
  process.exit(0);
}
